"""Macro blocks that peers claim, fetched by hash from whoever claims them, each once.

    claimed --> asked for --> held --> taken by the fetcher, in the order of their heights
       ^            |
       +- refused, late, another block: the next one that claims it

Several blocks may be claimed for one height: the queue fetches them all and leaves it to the
fetcher which of them is true. A target that nobody claims any more is dropped.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from node.blocks.block import Block
from node.sync.effects import CancelRequest, SendRequest
from node.sync.macro.target import Target
from node.sync.tickets import Asker, TicketId
from protocols.messages.block import BlockRequest
from protocols.types import Height, PeerId

IN_FLIGHT: Final = 8
"""Open requests. A macro block takes about as long to verify as a request to a near peer, so this
keeps the worker busy over links eight times as slow."""

PER_PEER_MIN: Final = 2
"""Open requests to one peer: with many peers, three silent ones leave two places for the others."""

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
    deadline: float


@dataclass(slots=True)
class _Entry:
    claimants: dict[PeerId, None] = field(default_factory=dict)
    asked: Asked | None = None
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
        self._by_ticket: dict[TicketId, Target] = {}
        self._next_number = 0

    def __len__(self) -> int:
        """Return the number of targets."""
        return len(self._entries)

    @property
    def in_flight(self) -> int:
        """Open requests."""
        return len(self._by_ticket)

    @property
    def held_bytes(self) -> int:
        """Bytes fetched and not yet taken."""
        return sum(each.held.size_bytes for each in self._entries.values() if each.held)

    def next_deadline(self) -> float | None:
        """Return when the first open request is late, or None."""
        return min((asked.deadline for _, asked in self._open()), default=None)

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

    def asked(self, ticket: TicketId) -> tuple[Target, Asked] | None:
        """Return what is being asked for with this ticket."""
        target = self._by_ticket.get(ticket)
        if target is None:
            return None
        asked = self._entries[target].asked
        assert asked is not None
        return target, asked

    def late(self, now: float) -> list[PeerId]:
        """Return the peers that have let a request run out, each once.

        Args:
            now: Monotonic clock, seconds.
        """
        return list(dict.fromkeys(each.peer for _, each in self._open() if each.deadline <= now))

    def hold(self, target: Target, held: Held) -> None:
        """Keep a block that has come."""
        self.free(target)
        self._entries[target].held = held

    def free(self, target: Target) -> None:
        """The request for a target is over, or what has come for it cannot be used."""
        entry = self._entries[target]
        if entry.asked is not None:
            del self._by_ticket[entry.asked.ticket]
        entry.asked = entry.held = None

    def drop_peer(self, peer: PeerId) -> list[CancelRequest]:
        """Forget a peer: its claims, its open requests and what only it has claimed."""
        cancelled: list[CancelRequest] = []
        for target, entry in list(self._entries.items()):
            entry.claimants.pop(peer, None)
            if entry.asked is not None and entry.asked.peer == peer:
                cancelled.append(CancelRequest(entry.asked.ticket))
                self.free(target)
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
        peers = set(ready)
        per_peer = max(PER_PEER_MIN, IN_FLIGHT // max(len(peers), 1))
        load = dict.fromkeys(peers, 0)
        for _, asked in self._open():
            load[asked.peer] = load.get(asked.peer, 0) + 1
        sent: list[SendRequest] = []
        for target in self._wanted():
            if self.in_flight >= IN_FLIGHT:
                break
            claimants = self._entries[target].claimants
            free = [peer for peer in claimants if peer in peers and load[peer] < per_peer]
            if free:
                peer = min(free, key=load.__getitem__)
                load[peer] += 1
                sent.append(self._ask(target, peer, now))
        return sent

    def _wanted(self) -> list[Target]:
        """Return what is neither held nor asked for and may be held, lowest first."""
        if not self._entries:
            return []
        missing = [
            target
            for target, entry in self._entries.items()
            if entry.held is None and entry.asked is None
        ]
        if self.held_bytes >= HELD_BYTES:
            lowest = min(target.height for target in self._entries)
            missing = [target for target in missing if target.height == lowest]
        return sorted(missing, key=lambda target: target.height)

    def _ask(self, target: Target, peer: PeerId, now: float) -> SendRequest:
        self._next_number += 1
        ticket = TicketId(Asker.MACRO_BLOCK, self._next_number)
        self._entries[target].asked = Asked(ticket, peer, now + self._timeout_s)
        self._by_ticket[ticket] = target
        return SendRequest(ticket, peer, BlockRequest(hash=target.hash, with_body=False))

    def _drop(self, target: Target) -> list[CancelRequest]:
        asked = self._entries[target].asked
        self.free(target)
        del self._entries[target]
        return [] if asked is None else [CancelRequest(asked.ticket)]

    def _open(self) -> Iterator[tuple[Target, Asked]]:
        for target in self._by_ticket.values():
            asked = self._entries[target].asked
            assert asked is not None
            yield target, asked
