"""Which list each connected peer is in.

    joined --lacks a service--> INCOMPATIBLE ---looked at again--+
      |                                                          v
      +------------------------> MACRO --near our head--> LIVE --ahead--> MACRO
                                  ^ |                       |
                                  | +------behind---+       +--behind--+
                                  |                 v                  v
                                  +--looked at-- OUTDATED <------------+
                                       again

A peer that is connected is in exactly one list, and in none after it left.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Final

from protocols.types import PeerId, Service

RECHECK_S: Final = 60.0
"""How often outdated and incompatible peers are looked at again."""

DRIFT_TIMEOUT_S: Final = 600.0
"""A peer out of both windows for this long, and coming no closer, is of no use to either side."""


class PeerList(Enum):
    """What a peer is to us."""

    MACRO = "macro"
    """New, or ahead of us: where it stands is being found out, or what it has is being fetched."""
    LIVE = "live"
    """Near our head: asked for blocks, counted for consensus."""
    OUTDATED = "outdated"
    """Behind us, or gave no useful answer."""
    INCOMPATIBLE = "incompatible"
    """Lacks a service that we need."""


@dataclass(slots=True)
class _Peer:
    services: Service
    list: PeerList
    moved_at: float
    apart_since: float | None
    """Since when it has been out of the windows without coming closer; None while in them."""
    smallest_gap: int | None = None


class PeerLists:
    """The list of every connected peer, and when to look at it again."""

    def __init__(self, needed: Service, *, drift_timeout_s: float = DRIFT_TIMEOUT_S) -> None:
        """Start without peers.

        Args:
            needed: Services without which a peer is of no use to us.
            drift_timeout_s: How long a peer may be out of both windows.
        """
        self._needed = needed
        self._drift_timeout_s = drift_timeout_s
        self._peers: dict[PeerId, _Peer] = {}

    @property
    def lists(self) -> Mapping[PeerId, PeerList]:
        """The list of each connected peer."""
        return MappingProxyType({peer: entry.list for peer, entry in self._peers.items()})

    def __contains__(self, peer: PeerId) -> bool:
        """Tell whether a peer is connected."""
        return peer in self._peers

    def members(self, which: PeerList) -> tuple[PeerId, ...]:
        """Return the peers of a list, in the order in which they joined."""
        return tuple(peer for peer, entry in self._peers.items() if entry.list is which)

    def serves(self, peer: PeerId, services: Service) -> bool:
        """Tell whether a connected peer serves all of these."""
        entry = self._peers.get(peer)
        return entry is not None and entry.services & services == services

    def join(self, peer: PeerId, services: Service, now: float) -> PeerList:
        """Put a new peer into its first list.

        Args:
            peer: Just connected.
            services: What it says it serves.
            now: Monotonic clock, seconds.
        """
        entry = _Peer(services, PeerList.MACRO, now, apart_since=now)
        self._peers[peer] = entry
        if not self._serves(entry):
            entry.list = PeerList.INCOMPATIBLE
        return entry.list

    def leave(self, peer: PeerId) -> None:
        """Take a peer off every list."""
        self._peers.pop(peer, None)

    def move(self, peer: PeerId, to: PeerList, now: float) -> None:
        """Put a peer into another list; one that is gone stays gone.

        Args:
            peer: Any peer.
            to: Its list from now on.
            now: Monotonic clock, seconds.
        """
        entry = self._peers.get(peer)
        if entry is None:
            return
        entry.list, entry.moved_at = to, now
        if to is PeerList.LIVE:
            entry.apart_since, entry.smallest_gap = None, None
        elif entry.apart_since is None:
            entry.apart_since = now

    def saw_gap(self, peer: PeerId, gap: int, now: float) -> None:
        """Note how far out of our window a peer's head is: coming closer buys it time.

        Args:
            peer: Any peer.
            gap: Blocks between its head and the nearest bound of the window.
            now: Monotonic clock, seconds.
        """
        entry = self._peers.get(peer)
        if entry is not None and (entry.smallest_gap is None or gap < entry.smallest_gap):
            if entry.smallest_gap is not None:
                entry.apart_since = now
            entry.smallest_gap = gap

    def helped(self, peer: PeerId, now: float) -> None:
        """Note that a peer has just brought us forward.

        Args:
            peer: Any peer.
            now: Monotonic clock, seconds.
        """
        entry = self._peers.get(peer)
        if entry is not None and entry.apart_since is not None:
            entry.apart_since = now

    def recheck(self, now: float) -> tuple[PeerId, ...]:
        """Move outdated and incompatible peers whose time has come back to MACRO.

        Args:
            now: Monotonic clock, seconds.

        Returns:
            Those that moved. A peer that still lacks a service stays where it is.
        """
        moved: list[PeerId] = []
        for peer, entry in self._peers.items():
            if entry.list in _RECHECKED and entry.moved_at + RECHECK_S <= now:
                entry.moved_at = now
                if self._serves(entry):
                    entry.list = PeerList.MACRO
                    moved.append(peer)
        return tuple(moved)

    def take_drifted(self, now: float) -> tuple[PeerId, ...]:
        """Return the peers that have been out of both windows for too long, each once.

        Those without a service that we need are spared: they may need ours.

        Args:
            now: Monotonic clock, seconds.
        """
        drifted: list[PeerId] = []
        for peer, entry in self._peers.items():
            if entry.list is PeerList.INCOMPATIBLE or entry.apart_since is None:
                continue
            if entry.apart_since + self._drift_timeout_s <= now:
                entry.apart_since = now
                drifted.append(peer)
        return tuple(drifted)

    def next_deadline(self) -> float | None:
        """Return when a peer is to be looked at again or has drifted, or None."""
        times: list[float] = []
        for entry in self._peers.values():
            if entry.list in _RECHECKED:
                times.append(entry.moved_at + RECHECK_S)
            if entry.apart_since is not None and entry.list is not PeerList.INCOMPATIBLE:
                times.append(entry.apart_since + self._drift_timeout_s)
        return min(times, default=None)

    def _serves(self, entry: _Peer) -> bool:
        return entry.services & self._needed == self._needed


_RECHECKED: Final = frozenset({PeerList.OUTDATED, PeerList.INCOMPATIBLE})
