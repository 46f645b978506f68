"""What is left of a control message."""

from libp2p.pubsub.pb import rpc_pb2

from node.net.libp2p.router import (
    MAX_BACK_OFF_S,
    MAX_CONTROL_ENTRIES,
    MAX_CONTROL_IDS,
    bound_control,
)

TOPICS = {"ours"}


def test_honest_control_passes_unchanged() -> None:
    control = rpc_pb2.ControlMessage()
    control.ihave.add(topicID="ours", messageIDs=[b"1", b"2"])
    control.iwant.add(messageIDs=[b"3"])
    control.graft.add(topicID="ours")
    control.prune.add(topicID="ours", backoff=60)
    assert bound_control(control, TOPICS) == control


def test_other_topics_go() -> None:
    control = rpc_pb2.ControlMessage()
    control.ihave.add(topicID="other", messageIDs=[b"1"])
    control.graft.add(topicID="other")
    control.prune.add(topicID="other")
    assert bound_control(control, TOPICS) == rpc_pb2.ControlMessage()


def test_peers_to_dial_and_what_newer_versions_say_go() -> None:
    control = rpc_pb2.ControlMessage()
    prune = control.prune.add(topicID="ours", backoff=2**64 - 1)
    prune.peers.add(peerID=b"somebody", signedPeerRecord=b"record")
    control.idontwant.add(messageIDs=[b"1"])
    bounded = rpc_pb2.ControlMessage()
    bounded.prune.add(topicID="ours", backoff=MAX_BACK_OFF_S)
    assert bound_control(control, TOPICS) == bounded


def test_entries_and_ids_are_counted_over_the_message() -> None:
    control = rpc_pb2.ControlMessage()
    for _ in range(100):
        control.ihave.add(topicID="ours", messageIDs=[b"%d" % n for n in range(100)])
        control.iwant.add(messageIDs=[b"%d" % n for n in range(100)])
        control.graft.add(topicID="ours")
    bounded = bound_control(control, TOPICS)
    assert sum(len(ihave.messageIDs) for ihave in bounded.ihave) == MAX_CONTROL_IDS
    assert sum(len(iwant.messageIDs) for iwant in bounded.iwant) == MAX_CONTROL_IDS
    assert len(bounded.graft) == MAX_CONTROL_ENTRIES


def test_topic_in_no_encoding_is_none_of_ours() -> None:
    control = rpc_pb2.ControlMessage()
    control.graft.add(topicID="ours")
    broken = rpc_pb2.ControlMessage()
    broken.ParseFromString(control.SerializeToString().replace(b"ours", b"\xff\xff\xff\xff"))
    assert bound_control(broken, TOPICS) == rpc_pb2.ControlMessage()
