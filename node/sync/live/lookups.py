"""The lookups of missing blocks: their order, who they are for, and which of them hold a place.

Only lookups with a place are asked for. A place belongs to the share of a peer that announced a
descendant, and no peer's share is all of them: who announces blocks whose parents do not exist
fills its own share and nobody else's. A lookup keeps its place until it ends, so the answers that
wait for their turn are bounded too.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

from node.blocks.block import Block
from node.blocks.validators import Validators
from node.sync.live.config import QueueConfig
from node.sync.tickets import TicketId
from protocols.types import Direction, Hash32, Height, PeerId


class LookupState(Enum):
    """How far a lookup has got."""

    WAITING = "waiting"
    """For a place, for the end of a pause, or for a peer."""
    ASKED = "asked"
    CHECKING = "checking"
    READY = "ready"


@dataclass(slots=True, kw_only=True, eq=False)
class Lookup:
    """One missing block, and how far asking for it has got."""

    target: Hash32
    announcers: list[PeerId]
    """Peers that announced its descendants, the first one first."""
    place_of: PeerId | None = None
    """Whose share its place belongs to; None: it has no place."""
    next_peer: PeerId | None = None
    """The peer to ask next, if it is there."""
    state: LookupState = LookupState.WAITING
    tries: int = 0
    asked: set[PeerId] = field(default_factory=set)
    """Peers asked in this round; when it is all of them, a new round begins after a pause."""
    not_before: float = 0.0
    was_pruned: bool = False
    """A peer said that it had what is missing and no longer keeps it."""
    direction: Direction = Direction.FORWARD
    follow_ups: int = 0
    extra_locator: Hash32 | None = None
    """Last block of the answer before, which may not have been pushed yet."""
    above: Height = 0
    validators: Validators | None = None
    """Of the epoch that the next answer is in."""
    id: TicketId | None = None
    peer: PeerId | None = None
    asked_at: float = 0.0
    locators: tuple[Hash32, ...] = ()
    blocks: tuple[Block, ...] = ()
    ready_at: float = 0.0


class Lookups:
    """A bounded number of lookups for each peer, in the order in which they began."""

    def __init__(self, config: QueueConfig) -> None:
        self._config = config
        self._lookups: dict[Hash32, Lookup] = {}

    def __len__(self) -> int:
        """Count the lookups."""
        return len(self._lookups)

    def __iter__(self) -> Iterator[Lookup]:
        """Yield the lookups in their order. They may end meanwhile."""
        return iter(tuple(self._lookups.values()))

    @property
    def placed(self) -> list[Lookup]:
        """Those that hold a place, in their order."""
        return [lookup for lookup in self if lookup.place_of is not None]

    def get(self, target: Hash32) -> Lookup | None:
        """Return the lookup of a missing block."""
        return self._lookups.get(target)

    def find(self, ticket: TicketId, state: LookupState) -> Lookup | None:
        """Return the lookup in a state that a ticket names."""
        found = (each for each in self.placed if each.id == ticket and each.state is state)
        return next(found, None)

    def want(self, target: Hash32, peer: PeerId) -> bool:
        """Begin a lookup, or join one that is there.

        Args:
            target: The missing block.
            peer: Who announced what stands on it.

        Returns:
            Whether it is looked for: False if the peer has begun too many.
        """
        known = self._lookups.get(target)
        if known is None:
            begun = sum(lookup.announcers[0] == peer for lookup in self)
            if begun >= self._config.lookups_per_peer:
                return False
            self._lookups[target] = Lookup(target=target, announcers=[peer])
        elif peer not in known.announcers and len(known.announcers) < self._config.announcers_max:
            known.announcers.append(peer)
        return True

    def remove(self, lookup: Lookup) -> None:
        """End a lookup: its place is free."""
        del self._lookups[lookup.target]

    def fill_places(self) -> None:
        """Give free places away: to the peer that holds the fewest, then to the oldest lookup."""
        held = Counter(lookup.place_of for lookup in self.placed)
        for _ in range(self._config.requests_in_flight - held.total()):
            candidates = [
                (held[peer], order, peer, lookup)
                for order, lookup in enumerate(self)
                if lookup.place_of is None
                for peer in lookup.announcers
                if held[peer] < self._config.places_per_peer
            ]
            if not candidates:
                return
            _, _, peer, lookup = min(candidates, key=lambda each: each[:2])
            lookup.place_of = lookup.next_peer = peer
            held[peer] += 1

    def next_ready(self, now: float) -> Lookup | None:
        """Return the lookup whose answer is to be used next, if one is.

        That is the oldest with an answer. An older one without holds it back, but not for long.

        Args:
            now: Monotonic clock, seconds.
        """
        placed = self.placed
        ready = [lookup for lookup in placed if lookup.state is LookupState.READY]
        if not ready:
            return None
        is_next = ready[0] is placed[0]
        is_over = any(self._grace_end(lookup) <= now for lookup in ready)
        return ready[0] if is_next or is_over else None

    def next_release(self) -> float | None:
        """Return when an answer that is held back is held back no longer, or None."""
        ready = [lookup for lookup in self.placed if lookup.state is LookupState.READY]
        return min((self._grace_end(lookup) for lookup in ready), default=None)

    def _grace_end(self, lookup: Lookup) -> float:
        return lookup.ready_at + self._config.delivery_grace_s
