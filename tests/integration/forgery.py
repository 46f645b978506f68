"""Gossip messages: properly signed ones, and ones that are wrong in one way."""

from libp2p.pubsub.pb import rpc_pb2

from node.net.libp2p.identity import Identity
from protocols.ids import Topic, topic_id
from protocols.types import Hash32
from tests.integration.nodes import seed_of

_PREFIX = b"libp2p-pubsub:"

_BAD_KEYS = {
    "garbage": b"\xff\xff\xff\xff",
    "ecdsa": bytes.fromhex("0803") + b"\x12\x10" + b"x" * 16,
    "rsa": bytes.fromhex("0800") + b"\x12\x10" + b"x" * 16,
    "secp256k1": bytes.fromhex("0802") + b"\x12\x21" + b"x" * 33,
    "short": bytes.fromhex("0801") + b"\x12\x05" + b"x" * 5,
}
"""Protobufs of public keys: kind and content, each of which breaks another decoder."""


def signed_message(
    genesis: Hash32,
    identity: Identity,
    payload: bytes,
    *,
    seqno: int = 1,
    topic: Topic = Topic.VOTES,
) -> rpc_pb2.Message:
    """Return a message as an honest publisher makes it."""
    message = rpc_pb2.Message(
        data=payload,
        topicIDs=[topic_id(genesis, topic)],
        from_id=identity.id.to_bytes(),
        seqno=seqno.to_bytes(8, "big"),
    )
    _sign(message, identity)
    return message


def forged_message(genesis: Hash32, kind: str) -> bytes:
    """Return an RPC with one message that no honest publisher makes."""
    identity = Identity.from_seed(seed_of(f"forger {kind}"))
    message = signed_message(genesis, identity, b"forged")
    match kind:
        case "no from":
            message.ClearField("from_id")
        case "no seqno":
            message.ClearField("seqno")
            _sign(message, identity)
        case "long seqno":
            message.seqno = bytes(9)
            _sign(message, identity)
        case "two topics":
            message.topicIDs.append(message.topicIDs[0])
            _sign(message, identity)
        case "bad topic":
            return _with_bad_topic(message)
        case "no signature":
            message.ClearField("signature")
        case _:
            # A hash instead of a key inside the id: the key has to be read from the message.
            message.from_id = bytes.fromhex("1220") + bytes(32)
            message.key = _BAD_KEYS[kind]
    return rpc_pb2.RPC(publish=[message]).SerializeToString()


def _with_bad_topic(message: rpc_pb2.Message) -> bytes:
    good = message.topicIDs[0].encode()
    rpc: bytes = rpc_pb2.RPC(publish=[message]).SerializeToString()
    return rpc.replace(good, b"\xff" * len(good))


def _sign(message: rpc_pb2.Message, identity: Identity) -> None:
    message.ClearField("signature")
    message.ClearField("key")
    message.signature = identity.key_pair.private_key.sign(_PREFIX + message.SerializeToString())
