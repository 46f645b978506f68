"""Macro blocks that peers claim, fetched by hash from whoever claims them.

    claimed --> asked for --> held --> taken by the fetcher, in the order of their heights
       ^            |
       +- refused, late, another block: the next one that claims it
       +- slow: another one that is not slow is asked too, and the first answer counts

Several blocks may be claimed for one height: the queue fetches them all and leaves it to the
fetcher which of them is true. A target that nobody claims any more is dropped.

Whoever lets a question become slow is not at fault. It is asked after the others, and for one block
at a time, until it has answered one.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from node.blocks.block import Block
from node.sync.effects import CancelRequest, SendRequest
from node.sync.macro.doubtful import Doubtful
from node.sync.macro.target import Target
from node.sync.tickets import Asker, TicketId
from protocols.messages.block import BlockRequest
from protocols.types import Height, PeerId

IN_FLIGHT: Final = 8
"""Open requests that are not slow. A macro block takes about as long to verify as a request to a
near peer, so this keeps the worker busy over links eight times as slow."""

PER_PEER_MIN: Final = 2
"""Open requests to one peer: with many peers, three silent ones leave two places for the others."""

SLOW_S: Final = 2.0
"""After which another peer is asked too: a fifth of the time that one may take, ten times what a
block takes over a far link."""

DOUBTFUL_MAX: Final = 128
"""Peers remembered for having been slow: more than are joined at once. Coming again does not make
one quick."""

HELD_BYTES: Final = 16 * 1024 * 1024
"""Fetched and not yet taken: beyond it only blocks of the lowest claimed height are asked for. A
hundred election blocks of 512 validators."""


@dataclass(frozen=True, slots=True)
class Held:
    """A block that has come."""

    block: Block
    sender: PeerId
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Asked:
    """An open request."""

    ticket: TicketId
    peer: PeerId
    slow_at: float
    deadline: float


@dataclass(slots=True)
class _Entry:
    claimants: dict[PeerId, None] = field(default_factory=dict)
    asked: dict[PeerId, Asked] = field(default_factory=dict)
    held: Held | None = None


class OrderedQueue:
    """Targets, who claims them, and what has come."""

    def __init__(self, *, timeout_s: float) -> None:
        """Start empty.

        Args:
            timeout_s: How long one peer may take for one block.
        """
        self._timeout_s = timeout_s
        self._entries: dict[Target, _Entry] = {}
        self._by_ticket: dict[TicketId, tuple[Target, Asked]] = {}
        self._slow: set[TicketId] = set()
        """Open requests that have become slow."""
        self._doubtful = Doubtful(DOUBTFUL_MAX)
        self._has_answered: set[PeerId] = set()
        self._next_number = 0

    def __len__(self) -> int:
        """Return the number of targets."""
        return len(self._entries)

    @property
    def in_flight(self) -> int:
        """Open requests that are not slow."""
        return len(self._by_ticket) - len(self._slow)

    @property
    def held_bytes(self) -> int:
        """Bytes fetched and not yet taken."""
        return sum(each.held.size_bytes for each in self._entries.values() if each.held)

    def next_deadline(self) -> float | None:
        """Return when the first open request becomes slow or is late, or None."""
        return min(
            (
                asked.deadline if ticket in self._slow else asked.slow_at
                for ticket, (_, asked) in self._by_ticket.items()
            ),
            default=None,
        )

    def add(self, target: Target, peer: PeerId) -> None:
        """Note that a peer claims a block."""
        self._entries.setdefault(target, _Entry()).claimants[peer] = None

    def claimants(self, target: Target) -> tuple[PeerId, ...]:
        """Return who claims a block, in the order in which they did."""
        entry = self._entries.get(target)
        return () if entry is None else tuple(entry.claimants)

    def held_blocks(self) -> list[tuple[Target, Held]]:
        """Return what has come, in the order in which it was first claimed."""
        return [
            (target, entry.held)
            for target, entry in self._entries.items()
            if entry.held is not None
        ]

    def close(self, ticket: TicketId) -> tuple[Target, Asked] | None:
        """Note that a request is over; return what was asked for with this ticket."""
        found = self._by_ticket.pop(ticket, None)
        if found is None:
            return None
        target, asked = found
        self._slow.discard(ticket)
        del self._entries[target].asked[asked.peer]
        return found

    def late(self, now: float) -> list[PeerId]:
        """Return the peers that have let a request run out, each once.

        Args:
            now: Monotonic clock, seconds.
        """
        late = (each.peer for _, each in self._by_ticket.values() if each.deadline <= now)
        return list(dict.fromkeys(late))

    def hold(self, target: Target, held: Held) -> list[CancelRequest]:
        """Keep a block that has come; whoever else was asked for it need not answer."""
        self._doubtful.discard(held.sender)
        self._has_answered.add(held.sender)
        self._entries[target].held = held
        return self._cancel(target)

    def free(self, target: Target) -> None:
        """What has come for a target cannot be used."""
        self._entries[target].held = None

    def drop_peer(self, peer: PeerId) -> list[CancelRequest]:
        """Forget a peer: its claims, its open requests and what only it has claimed."""
        self._has_answered.discard(peer)
        cancelled: list[CancelRequest] = []
        for target, entry in list(self._entries.items()):
            entry.claimants.pop(peer, None)
            if (asked := entry.asked.get(peer)) is not None:
                cancelled.append(self._give_up(asked))
            if not entry.claimants:
                cancelled += self._drop(target)
        return cancelled

    def drop_up_to(self, height: Height) -> list[CancelRequest]:
        """Forget what is not above a height."""
        cancelled: list[CancelRequest] = []
        for target in [each for each in self._entries if each.height <= height]:
            cancelled += self._drop(target)
        return cancelled

    def send(self, ready: Iterable[PeerId], now: float) -> list[SendRequest]:
        """Ask for as much as may be asked for, lowest first.

        Args:
            ready: Peers that may be asked now.
            now: Monotonic clock, seconds.
        """
        self._slow |= {
            ticket for ticket, (_, asked) in self._by_ticket.items() if asked.slow_at <= now
        }
        row = self._row(ready)
        sent: list[SendRequest] = []
        for target in self._wanted():
            if self.in_flight >= IN_FLIGHT:
                break
            peer = row.pick(self._entries[target])
            if peer is not None:
                row.load[peer] += 1
                sent.append(self._ask(target, peer, now))
        return sent

    def _row(self, ready: Iterable[PeerId]) -> "_Row":
        waiting = {self._by_ticket[ticket][1].peer for ticket in self._slow}
        peers = set(ready)
        quick = {peer for peer in peers if peer not in waiting and peer not in self._doubtful}
        load = Counter(asked.peer for _, asked in self._by_ticket.values())
        return _Row(peers, quick, frozenset(self._has_answered), load)

    def _wanted(self) -> list[Target]:
        """Return what is neither held nor asked of a quick peer and may be held, lowest first."""
        if not self._entries:
            return []
        missing = [
            target
            for target, entry in self._entries.items()
            if entry.held is None
            and all(asked.ticket in self._slow for asked in entry.asked.values())
        ]
        if self.held_bytes >= HELD_BYTES:
            lowest = min(target.height for target in self._entries)
            missing = [target for target in missing if target.height == lowest]
        return sorted(missing, key=lambda target: target.height)

    def _ask(self, target: Target, peer: PeerId, now: float) -> SendRequest:
        self._next_number += 1
        ticket = TicketId(Asker.MACRO_BLOCK, self._next_number)
        asked = Asked(ticket, peer, now + min(SLOW_S, self._timeout_s), now + self._timeout_s)
        self._entries[target].asked[peer] = asked
        self._by_ticket[ticket] = target, asked
        return SendRequest(ticket, peer, BlockRequest(hash=target.hash, with_body=False))

    def _drop(self, target: Target) -> list[CancelRequest]:
        cancelled = self._cancel(target)
        del self._entries[target]
        return cancelled

    def _cancel(self, target: Target) -> list[CancelRequest]:
        return [self._give_up(asked) for asked in tuple(self._entries[target].asked.values())]

    def _give_up(self, asked: Asked) -> CancelRequest:
        if asked.ticket in self._slow:
            self._doubtful.add(asked.peer)
        self.close(asked.ticket)
        return CancelRequest(asked.ticket)


@dataclass(frozen=True, slots=True)
class _Row:
    """Whom to ask at one moment."""

    ready: set[PeerId]
    quick: set[PeerId]
    """Those that are neither slow now nor doubtful."""
    proven: frozenset[PeerId]
    """Those that have answered."""
    load: Counter[PeerId]

    def pick(self, entry: _Entry) -> PeerId | None:
        """Return whom to ask for a target, if anybody has a place free."""
        able = self.quick if entry.asked else self.ready
        free = [
            peer
            for peer in entry.claimants
            if peer in able and peer not in entry.asked and self.load[peer] < self._share(peer)
        ]
        return min(free, key=self._preference, default=None)

    def _share(self, peer: PeerId) -> int:
        if self.quick and peer not in self.quick:
            return 1
        return max(PER_PEER_MIN, IN_FLIGHT // max(len(self.quick or self.ready), 1))

    def _preference(self, peer: PeerId) -> tuple[bool, bool, int]:
        return peer not in self.quick, peer not in self.proven, self.load[peer]
