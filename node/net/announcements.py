"""Which gossip messages a node has seen, and which still wait for their one verdict.

    unseen --arrive--> WAITING --resolve--> decided
                          |
                          +--no verdict in time, or not taken by its reader--> IGNORED

Used by the simulated network. Pure: the time is an argument.
"""

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

from node.net.network import GossipMessage, MessageId, Verdict
from protocols.types import PeerId

MAX_SEEN: Final = 8192
"""Messages remembered, oldest forgotten first: minutes of traffic of a busy network."""

VERDICT_TIMEOUT_S: Final = 10.0
"""As on the real network: relaying a message later than this would be too late."""


@dataclass(slots=True)
class _Entry:
    message: GossipMessage
    deadline: float
    holders: list[PeerId]
    """Peers that have it already: it is not sent back to them."""
    verdict: Verdict | None = None


@dataclass(frozen=True, slots=True)
class Relay:
    """An accepted message goes on to everybody but those who have it."""

    message: GossipMessage
    holders: tuple[PeerId, ...]


@dataclass(frozen=True, slots=True)
class Blame:
    """A rejected message costs the peer that gave it to us."""

    message: GossipMessage


@dataclass(slots=True)
class Announcements:
    """The gossip messages of one node."""

    _entries: OrderedDict[MessageId, _Entry] = field(default_factory=OrderedDict)

    def arrive(self, message: GossipMessage, now: float) -> bool:
        """Note a message and tell whether it is new: WAITING from now on."""
        if (entry := self._entries.get(message.id)) is not None:
            entry.holders.append(message.sender)
            return False
        holders = [message.sender, message.source]
        self._entries[message.id] = _Entry(message, now + VERDICT_TIMEOUT_S, holders)
        if len(self._entries) > MAX_SEEN:
            self._entries.popitem(last=False)
        return True

    def ignore(self, message: MessageId) -> None:
        """WAITING -> IGNORED: nobody will give a verdict."""
        self._entries[message].verdict = Verdict.IGNORE

    def resolve(self, message: MessageId, verdict: Verdict, now: float) -> Relay | Blame | None:
        """WAITING -> decided. Return what follows, or None when nothing does or it is too late."""
        entry = self._entries.get(message)
        if entry is None:
            return None
        assert entry.verdict is None, f"second verdict {verdict} after {entry.verdict}"
        entry.verdict = verdict
        if now >= entry.deadline:
            return None
        match verdict:
            case Verdict.ACCEPT:
                return Relay(entry.message, tuple(entry.holders))
            case Verdict.REJECT:
                return Blame(entry.message)
            case Verdict.IGNORE:
                return None

    def waiting(self) -> tuple[GossipMessage, ...]:
        """Return the messages without a verdict, also those whose time ran out, oldest first."""
        return tuple(entry.message for entry in self._entries.values() if entry.verdict is None)
