"""Messages that wait for their verdict: bounded over all and per forwarder. No I/O but waiting."""

from collections import Counter

import trio

from node.net.libp2p.limits import NetworkLimits
from node.net.network import GossipMessage, MessageId, Verdict
from protocols.types import PeerId


class Undecided:
    """One place per message, from its arrival to its verdict or its deadline."""

    def __init__(self, limits: NetworkLimits) -> None:
        self._limits = limits
        self._waiting: dict[MessageId, _Place] = {}
        self._by_sender: Counter[PeerId] = Counter()

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, message: MessageId) -> bool:
        return message in self._waiting

    def has_room(self, sender: PeerId) -> bool:
        """Tell whether a message of this forwarder may come in."""
        return (
            len(self._waiting) < self._limits.max_undecided
            and self._by_sender[sender] < self._limits.max_undecided_per_peer
        )

    async def wait(self, message: GossipMessage) -> Verdict:
        """Return the verdict, or IGNORE when the deadline comes first. Cancel-safe.

        The place is taken at once, so `resolve` may come before the first wait.
        """
        place = self._waiting[message.id]
        try:
            with trio.move_on_after(self._limits.verdict_timeout_s):
                await place.decided.wait()
            return place.verdict
        finally:
            self._release(message)

    def open(self, message: GossipMessage) -> None:
        """Take a place for a message that is new."""
        assert message.id not in self._waiting
        self._waiting[message.id] = _Place()
        self._by_sender[message.sender] += 1

    def resolve(self, message: MessageId, verdict: Verdict) -> None:
        """Give the verdict. A message that does not wait any more has been ignored."""
        place = self._waiting.get(message)
        if place is not None and not place.decided.is_set():
            place.verdict = verdict
            place.decided.set()

    def _release(self, message: GossipMessage) -> None:
        del self._waiting[message.id]
        self._by_sender[message.sender] -= 1
        if not self._by_sender[message.sender]:
            del self._by_sender[message.sender]


class _Place:
    __slots__ = ("decided", "verdict")

    def __init__(self) -> None:
        self.decided = trio.Event()
        self.verdict = Verdict.IGNORE
