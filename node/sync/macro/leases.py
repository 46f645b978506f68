"""Who is asked for what: open questions, spread over those who can answer.

free --open--> ASKED --sound answer--> free, its failures forgotten
 ^               |
 |               +--slow--> a quick peer is asked too, and the first answer counts
 |               +--late, failed--> free for others; too often in a row: given back
 +--pause over---+--busy, limited--> PAUSED; too often in a row: given back

A peer is quick unless it has just failed, has a slow question open, or is doubtful: given back for
failures, or overtaken by another when it was slow. Others get one question at a time beside it.
"""

from collections.abc import Collection, Container, Sequence
from dataclasses import dataclass

from node.sync.macro.doubtful import Doubtful
from node.sync.macro.epoch_download import Wanted
from node.sync.macro.history_items import Item
from node.sync.macro.history_limits import HistoryLimits
from node.sync.tickets import Asker, TicketId
from protocols.types import PeerId


@dataclass(frozen=True, slots=True)
class Lease:
    """An open question."""

    wanted: Wanted
    peer: PeerId
    slow_at: float
    deadline: float


@dataclass(slots=True)
class _Peer:
    open: int = 0
    failures: int = 0
    refusals: int = 0
    not_before: float | None = None
    asked_at: int = 0
    """Number of the last question: who waited longest comes first."""


class Leases:
    """The open questions of a history sync, and how its peers do."""

    def __init__(self, limits: HistoryLimits) -> None:
        self._limits = limits
        self._leases: dict[TicketId, Lease] = {}
        self._peers: dict[PeerId, _Peer] = {}
        self._tickets: dict[Item, dict[PeerId, TicketId]] = {}
        self._slow: set[TicketId] = set()
        """Open questions that have become slow."""
        self._tried: dict[Item, set[PeerId]] = {}
        """Who failed to answer what is still open."""
        self._doubtful = Doubtful(limits.doubtful_max)
        """Who was overtaken by another."""
        self._given_back = Doubtful(limits.doubtful_max)
        self._next_number = 0

    def add(self, peer: PeerId) -> None:
        """Let a peer be asked; one that failed before has to answer one question first."""
        self._peers[peer] = _Peer(failures=1 if peer in self._given_back else 0)

    def remove(self, peer: PeerId) -> list[TicketId]:
        """Forget a peer; return its open questions, which are closed now."""
        self._peers.pop(peer, None)
        tickets = [ticket for ticket, lease in self._leases.items() if lease.peer == peer]
        for ticket in tickets:
            self._give_up(ticket)
        return tickets

    def is_open(self, item: Item) -> bool:
        """Tell whether this is being asked, slow or not."""
        return item in self._tickets

    def is_quick(self, item: Item) -> bool:
        """Tell whether this is being asked, and not slow."""
        return not self._slow.issuperset(self._tickets.get(item, {}).values())

    def count(self, kind: type[Item]) -> int:
        """Count the open questions of a kind that are not slow."""
        return sum(
            isinstance(lease.wanted.item, kind)
            for ticket, lease in self._leases.items()
            if ticket not in self._slow
        )

    @property
    def given_back(self) -> Container[PeerId]:
        """Peers that failed too often and have not answered since."""
        return self._given_back

    @property
    def reserved_bytes(self) -> int:
        """What the open questions may bring: one answer to each is kept."""
        reserves = {
            lease.wanted.item: lease.wanted.reserve_bytes for lease in self._leases.values()
        }
        return sum(reserves.values())

    def next_deadline(self) -> float | None:
        """Return when the next question becomes slow or is late."""
        return min(
            (
                lease.deadline if ticket in self._slow else lease.slow_at
                for ticket, lease in self._leases.items()
            ),
            default=None,
        )

    def next_release(self) -> float | None:
        """Return when the next pause is over."""
        pauses = (each.not_before for each in self._peers.values())
        return min((pause for pause in pauses if pause is not None), default=None)

    def late(self, now: float) -> list[TicketId]:
        """Return the questions whose time is over, and note those that are slow."""
        self._slow |= {ticket for ticket, lease in self._leases.items() if lease.slow_at <= now}
        return [ticket for ticket, lease in self._leases.items() if lease.deadline <= now]

    def take_ticket(self) -> TicketId:
        """Return a new name for a question or an adoption."""
        self._next_number += 1
        return TicketId(Asker.HISTORY, self._next_number)

    def pick(self, item: Item, candidates: Sequence[PeerId], now: float) -> PeerId | None:
        """Return who is to be asked, or None as long as nobody has a place free.

        Args:
            item: What is missing.
            candidates: Who should have it.
            now: Monotonic clock, seconds.
        """
        tried = self._tried.get(item, set())
        untried = [peer for peer in candidates if peer not in tried]
        if not untried:
            # All have failed once; those that go on failing will be given back.
            self._tried.pop(item, None)
            untried = list(candidates)
        quick = self._quick(candidates)
        asked = self._tickets.get(item, {})
        if asked:
            untried = [peer for peer in untried if peer in quick and peer not in asked]
        share = -(-self._limits.requests_max // max(len(quick or candidates), 1))
        shares = {peer: share if peer in quick or not quick else 1 for peer in untried}
        free = [peer for peer in untried if self._is_free(self._peers[peer], shares[peer], now)]
        return min(free, key=lambda peer: (peer not in quick, self._turn(peer)), default=None)

    def open(self, wanted: Wanted, peer: PeerId, now: float) -> TicketId:
        """Note a question that is being asked."""
        ticket = self.take_ticket()
        limits = self._limits
        slow_at = now + min(limits.slow_s, limits.timeout_s)
        self._leases[ticket] = Lease(wanted, peer, slow_at, now + limits.timeout_s)
        self._tickets.setdefault(wanted.item, {})[peer] = ticket
        entry = self._peers[peer]
        entry.open += 1
        entry.asked_at = ticket.number
        return ticket

    def close(self, ticket: TicketId) -> Lease | None:
        """Note that a question is no longer open; None if it was not."""
        lease = self._leases.pop(ticket, None)
        if lease is None:
            return None
        self._slow.discard(ticket)
        asked = self._tickets[lease.wanted.item]
        del asked[lease.peer]
        if not asked:
            del self._tickets[lease.wanted.item]
        if lease.peer in self._peers:
            self._peers[lease.peer].open -= 1
        return lease

    def keep_only(self, wanted: Collection[Item]) -> list[TicketId]:
        """Close what is no longer wanted; return its names."""
        for item in [each for each in self._tried if each not in wanted]:
            del self._tried[item]
        unwanted = [
            ticket
            for item, asked in self._tickets.items()
            if item not in wanted
            for ticket in asked.values()
        ]
        for ticket in unwanted:
            self._give_up(ticket)
        return unwanted

    def succeeded(self, peer: PeerId) -> None:
        """Note a sound answer."""
        entry = self._peers[peer]
        entry.failures = entry.refusals = 0
        self._doubtful.discard(peer)
        self._given_back.discard(peer)

    def failed(self, lease: Lease) -> bool:
        """Note that nothing came; return whether it was too often."""
        self._tried.setdefault(lease.wanted.item, set()).add(lease.peer)
        entry = self._peers[lease.peer]
        entry.failures += 1
        if entry.failures < self._limits.failures_max:
            return False
        self._given_back.add(lease.peer)
        return True

    def was_busy(self, peer: PeerId, now: float) -> bool:
        """Leave a peer alone for a moment; return whether it was too often.

        Args:
            peer: It said that it cannot answer now.
            now: Monotonic clock, seconds.
        """
        entry = self._peers[peer]
        if entry.not_before is None or entry.not_before <= now:
            # Several questions that are refused at one moment count once.
            entry.refusals += 1
            entry.not_before = now + self._limits.busy_pause_s
        return entry.refusals >= self._limits.refusals_max

    def end_pauses(self, now: float) -> None:
        """Let peers be asked again whose pause is over.

        Args:
            now: Monotonic clock, seconds.
        """
        for entry in self._peers.values():
            if entry.not_before is not None and entry.not_before <= now:
                entry.not_before = None

    def _is_free(self, entry: _Peer, share: int, now: float) -> bool:
        if entry.not_before is not None and entry.not_before > now:
            return False
        # One that has just failed has to show that it still answers.
        return entry.open < (1 if entry.failures else share)

    def _turn(self, peer: PeerId) -> tuple[int, int]:
        entry = self._peers[peer]
        return entry.open, entry.asked_at

    def _quick(self, candidates: Collection[PeerId]) -> set[PeerId]:
        waiting = {self._leases[ticket].peer for ticket in self._slow}
        return {
            peer
            for peer in candidates
            if peer not in waiting and peer not in self._doubtful and not self._peers[peer].failures
        }

    def _give_up(self, ticket: TicketId) -> None:
        """Close a question that is no longer needed; who kept us waiting for it is doubtful."""
        is_slow = ticket in self._slow
        lease = self.close(ticket)
        if is_slow and lease is not None:
            self._doubtful.add(lease.peer)
