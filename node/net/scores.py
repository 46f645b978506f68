"""What peers have done wrong, and who is banned for it.

A fault costs points; points fade with time; at the limit the peer is banned by its id and, unless
the address is a loopback one, by its IP address whatever the port. All nodes of a local network
share 127.0.0.1: banning it would ban the whole network, so there the id alone has to do.

Pure: the time is an argument, memory is bounded.
"""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Generic, TypeVar

from node.errors import Fault
from protocols.types import PeerId

Key = TypeVar("Key", bound=str)

BAN_LIMIT: Final = 100
"""Points at which a peer is banned; every other number here is a fraction of it."""

POINTS: Final[Mapping[Fault, int]] = MappingProxyType(
    {
        Fault.WRONG_NETWORK: BAN_LIMIT,
        Fault.FALSE_CLAIM: BAN_LIMIT,
        Fault.INVALID_BLOCK: BAN_LIMIT // 2,
        Fault.INVALID_PROOF: BAN_LIMIT // 2,
        Fault.INVALID_VOTE: BAN_LIMIT // 4,
        Fault.MALFORMED: BAN_LIMIT // 4,
        Fault.UNSOLICITED: BAN_LIMIT // 5,
        Fault.FLOODING: BAN_LIMIT // 10,
        Fault.INVALID_TRANSACTION: BAN_LIMIT // 10,
        Fault.MISSING_PARENT: BAN_LIMIT // 20,
        Fault.TOO_SLOW: BAN_LIMIT // 50,
    }
)
"""No honest node commits the first seven. The first two are beyond doubt: a handshake names its
network, and a macro block is final, so one is enough. Of the next five a rolled-back rule change
may cause a few. The last four happen to honest nodes under load or when a network comes together
again: only a stream of them reaches the limit before it fades. One missing parent in ten seconds
fades."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreLimits:
    """Bounds of a score book."""

    ban_at: int = BAN_LIMIT
    fade_per_s: float = 0.5
    """Points forgotten per second: a peer that behaves is clean after 200 s at most."""
    ban_s: float = 600.0
    """Ten minutes, as the wire's rules say."""
    max_entries: int = 4096
    """Peers remembered in each table; the one that matters least is forgotten first."""


@dataclass(slots=True)
class _Score:
    points: float
    updated: float


class ScoreBook:
    """Points and bans. Times are seconds of one monotonic clock."""

    def __init__(self, limits: ScoreLimits = ScoreLimits()) -> None:
        self._limits = limits
        self._scores: dict[PeerId, _Score] = {}
        self._banned_peers = _Bans[PeerId](limits)
        self._banned_hosts = _Bans[str](limits)

    def report(self, peer: PeerId, fault: Fault, now: float) -> bool:
        """Add the points of a fault.

        Returns:
            Whether the peer has reached the limit. Whoever gets True calls `ban` and disconnects.
        """
        points = self._points(peer, now) + POINTS[fault]
        self._scores[peer] = _Score(points, now)
        if len(self._scores) > self._limits.max_entries:
            del self._scores[min(self._scores, key=lambda each: self._points(each, now))]
        return points >= self._limits.ban_at

    def ban(self, peer: PeerId, host: str | None, now: float) -> None:
        """Ban a peer, and its host unless that is a loopback address.

        Args:
            peer: Starts with a clean score when the ban is over.
            host: IP address in text form without port, or None if unknown.
            now: Monotonic clock, seconds.
        """
        self._scores.pop(peer, None)
        self._banned_peers.add(peer, now)
        if host is not None and not is_loopback(host):
            self._banned_hosts.add(host, now)

    def points(self, peer: PeerId, now: float) -> int:
        """Return the points of a peer; 0 is clean."""
        return int(self._points(peer, now))

    def is_banned(self, peer: PeerId, now: float) -> bool:
        """Tell whether a peer may not connect."""
        return self._banned_peers.includes(peer, now)

    def is_host_banned(self, host: str, now: float) -> bool:
        """Tell whether nobody may connect from this IP address."""
        return self._banned_hosts.includes(host, now)

    def _points(self, peer: PeerId, now: float) -> float:
        score = self._scores.get(peer)
        if score is None:
            return 0.0
        return max(score.points - (now - score.updated) * self._limits.fade_per_s, 0.0)


class _Bans(Generic[Key]):
    """Who is banned until when, in the order in which the bans end."""

    def __init__(self, limits: ScoreLimits) -> None:
        self._limits = limits
        self._ends: dict[Key, float] = {}

    def add(self, key: Key, now: float) -> None:
        """Start a ban, or start it again."""
        self._ends.pop(key, None)
        self._ends[key] = now + self._limits.ban_s
        for oldest in list(self._ends):
            if self._ends[oldest] > now and len(self._ends) <= self._limits.max_entries:
                break
            del self._ends[oldest]

    def includes(self, key: Key, now: float) -> bool:
        """Tell whether a ban has not ended yet."""
        return self._ends.get(key, now) > now


def is_loopback(host: str) -> bool:
    """Tell whether an IP address in text form is one of this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
