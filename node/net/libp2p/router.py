"""py-libp2p's gossipsub router without what a stranger can fill or misuse."""

from collections import defaultdict
from collections.abc import Container
from typing import Any, Final

from libp2p.custom_types import TProtocol
from libp2p.peer.id import ID
from libp2p.pubsub.gossipsub import GossipSub
from libp2p.pubsub.pb import rpc_pb2

MESHSUB: Final = TProtocol("/meshsub/1.1.0")
"""Newer versions send an IDONTWANT per message and mesh peer: half as much CPU again."""

DEGREE: Final = 6
DEGREE_LOW: Final = 4
DEGREE_HIGH: Final = 12
HEARTBEAT_S: Final = 1
"""py-libp2p's default is 120."""

MAX_CONTROL_ENTRIES: Final = 32
"""Of each kind in one RPC: one per topic is what honest routers send."""

MAX_CONTROL_IDS: Final = 512
"""Message ids in one RPC: more than three heartbeats of a busy network."""

MAX_BACK_OFF_S: Final = 600
"""A peer may ask us for 2^64 s."""

MAX_REPAIR_BYTES: Final = 2_000_000
"""Sent for one IWANT: two messages of the largest size."""


class Router(GossipSub):  # type: ignore[misc]
    """Overrides, each with the upstream line (pubsub/gossipsub.py) that it is about."""

    def __init__(self) -> None:
        super().__init__(
            [MESHSUB],
            DEGREE,
            DEGREE_LOW,
            DEGREE_HIGH,
            heartbeat_interval=HEARTBEAT_S,
            # Moves the degrees about by a guess at the network's health.
            adaptive_gossip_enabled=False,
            # Drops all above 10 messages per second and topic, our own included.
            spam_protection_enabled=False,
            # Wants peers of three addresses in every mesh; a local network has one.
            eclipse_protection_enabled=False,
        )
        # All its weights are zero and its tables grow; we keep a score of our own.
        self.scorer = None
        # 1080: keeps up to 100 messages for every peer that never subscribes.
        self._pending_messages = _Discarding(list)
        # 1089: a time per message, trimmed only when adaptive gossip is on.
        self.recent_message_deliveries = _Discarding(list)

    def _check_equivocation(self, msg: rpc_pb2.Message) -> bool:  # noqa: ARG002
        """Take every message: the signature has been checked, and an id is used once.

        2908 keeps whole messages, up to a thousand of them, to compare.
        """
        return True

    def note_holder(self, peer: ID, message_id: bytes) -> None:
        """Do not send a peer what it has sent us itself, as if it had said IDONTWANT.

        Forgotten with the next heartbeat (1667), which bounds it.
        """
        if peer in self.dont_send_message_ids:
            self.dont_send_message_ids[peer].add(message_id)

    async def handle_iwant(self, iwant_msg: rpc_pb2.ControlIWant, sender_peer_id: ID) -> None:
        """Send the messages that a peer misses, each once and up to a number of bytes.

        1778 sends a message as often as its id is repeated: 20,000 ids in one RPC are 4 GB.
        """
        if not self._check_iwant_rate_limit(sender_peer_id):
            return
        packet = rpc_pb2.RPC()
        size = 0
        for message_id in dict.fromkeys(iwant_msg.messageIDs):
            message = self.mcache.get(message_id)
            if message is not None and size < MAX_REPAIR_BYTES:
                packet.publish.append(message)
                size += message.ByteSize()
        if size:
            self.send_rpc(sender_peer_id, packet)


class _Discarding(defaultdict[Any, list[Any]]):
    """Gives an empty list for every key and keeps none."""

    def __missing__(self, _key: object) -> list[Any]:
        return []


def bound_control(
    control: rpc_pb2.ControlMessage, topics: Container[str]
) -> rpc_pb2.ControlMessage:
    """Return what we look at of a control message, in bounds.

    Topics that are not ours go: a back-off for each (1616) would be kept for ever. So do peers to
    dial (1670): whom we dial is not for strangers to say.
    """
    bounded = rpc_pb2.ControlMessage()
    places = MAX_CONTROL_IDS
    for ihave in _ours(control.ihave, topics):
        ids = ihave.messageIDs[:places]
        places -= len(ids)
        bounded.ihave.add(topicID=ihave.topicID, messageIDs=ids)
    places = MAX_CONTROL_IDS
    for iwant in control.iwant[:MAX_CONTROL_ENTRIES]:
        ids = iwant.messageIDs[:places]
        places -= len(ids)
        bounded.iwant.add(messageIDs=ids)
    for graft in _ours(control.graft, topics):
        bounded.graft.add(topicID=graft.topicID)
    for prune in _ours(control.prune, topics):
        bounded.prune.add(topicID=prune.topicID, backoff=min(prune.backoff, MAX_BACK_OFF_S))
    return bounded


def _ours(entries: Any, topics: Container[str]) -> list[Any]:
    # A topic that is not UTF-8 arrives as bytes, and is none of ours.
    return [entry for entry in entries[:MAX_CONTROL_ENTRIES] if entry.topicID in topics]
