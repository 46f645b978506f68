"""Deciding when to dial the peers that a node was told to keep.

Life of one target:

    WAITING --due and a slot free--> DIALING --joined--> CONNECTED
       ^                                |                    |
       +------------- failed -----------+                    |
       +------------- left, with the back-off it had --------+

A connection that held for `stable_s` clears the back-off; one that breaks at once keeps it, so a
peer that refuses us is not dialled in a loop. The machine does no I/O and reads no clock.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from random import Random
from typing import TypeAlias

from protocols.types import PeerId


@dataclass(frozen=True, slots=True, kw_only=True)
class DialerLimits:
    """Bounds of the machine."""

    first_delay_s: float = 0.1
    """Nodes of a local network start together: the other side is up within moments."""
    max_delay_s: float = 10.0
    """A peer that was away for long is back in our mesh at most this late."""
    stable_s: float = 10.0
    """A connection that held this long was a good one."""
    max_dialing: int = 8
    """Handshakes at the same time: more only slow each other down."""


@dataclass(frozen=True, slots=True)
class Joined:
    """A peer is connected, whoever dialled."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class Left:
    """A connected peer is gone."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class DialFailed:
    """A dial of ours came to nothing."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class DeadlinePassed:
    """Time moved on."""


@dataclass(frozen=True, slots=True)
class Dial:
    """Connect to this multiaddr."""

    peer: PeerId
    address: str


Event: TypeAlias = Joined | Left | DialFailed | DeadlinePassed


class _State(Enum):
    WAITING = "waiting"
    DIALING = "dialing"
    CONNECTED = "connected"


@dataclass(slots=True)
class _Target:
    address: str
    state: _State
    since: float
    """When it is due while WAITING; when it connected while CONNECTED."""
    delay_s: float


class Dialer:
    """Keeps connections to a fixed set of peers."""

    def __init__(
        self, targets: Mapping[PeerId, str], rng: Random, limits: DialerLimits = DialerLimits()
    ) -> None:
        self._rng = rng
        self._limits = limits
        self._targets = {
            peer: _Target(address, _State.WAITING, 0.0, limits.first_delay_s)
            for peer, address in targets.items()
        }

    def handle(self, event: Event, now: float) -> list[Dial]:
        """Apply one event and return the dials that are due, in the order of the targets.

        Args:
            event: What happened. Peers that are no targets are ignored.
            now: Monotonic clock, seconds.
        """
        match event:
            case Joined(peer):
                self._on_joined(peer, now)
            case Left(peer):
                self._on_left(peer, now)
            case DialFailed(peer):
                self._on_dial_failed(peer, now)
            case DeadlinePassed():
                pass
        return self._dial_due(now)

    def next_deadline(self) -> float | None:
        """Clock time at which to pass `DeadlinePassed`, or None while nothing waits for a slot."""
        if self._dialing >= self._limits.max_dialing:
            return None
        waiting = (t.since for t in self._targets.values() if t.state is _State.WAITING)
        return min(waiting, default=None)

    @property
    def _dialing(self) -> int:
        return sum(target.state is _State.DIALING for target in self._targets.values())

    def _on_joined(self, peer: PeerId, now: float) -> None:
        """Any state -> CONNECTED: it may have dialled us first."""
        if target := self._targets.get(peer):
            target.state, target.since = _State.CONNECTED, now

    def _on_left(self, peer: PeerId, now: float) -> None:
        """CONNECTED -> WAITING."""
        target = self._targets.get(peer)
        if target is None or target.state is not _State.CONNECTED:
            return
        if now - target.since >= self._limits.stable_s:
            target.delay_s = self._limits.first_delay_s
        self._wait(target, now)

    def _on_dial_failed(self, peer: PeerId, now: float) -> None:
        """DIALING -> WAITING; ignored when the peer joined in the meantime."""
        target = self._targets.get(peer)
        if target is not None and target.state is _State.DIALING:
            self._wait(target, now)

    def _wait(self, target: _Target, now: float) -> None:
        target.state = _State.WAITING
        # Jitter keeps a restarted network from dialling in step.
        target.since = now + target.delay_s * self._rng.uniform(0.75, 1.25)
        target.delay_s = min(target.delay_s * 2, self._limits.max_delay_s)

    def _dial_due(self, now: float) -> list[Dial]:
        """WAITING and due -> DIALING, while there are slots."""
        free = self._limits.max_dialing - self._dialing
        due = [
            (peer, target)
            for peer, target in self._targets.items()
            if target.state is _State.WAITING and target.since <= now
        ]
        for _, target in due[:free]:
            target.state = _State.DIALING
        return [Dial(peer, target.address) for peer, target in due[:free]]
