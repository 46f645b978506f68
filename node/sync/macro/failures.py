"""How often peers that have left had failed, so that leaving does not make up for it."""

from typing import Final

from protocols.types import PeerId

KEPT_S: Final = 300.0
"""Five minutes: five times what a peer that stays has to wait after its last failure."""

KEPT_MAX: Final = 128
"""Peers remembered: more than are joined at once. Whoever left first is forgotten first."""


class Failures:
    """A bounded memory of the failures of peers that have left."""

    def __init__(self) -> None:
        self._left: dict[PeerId, tuple[int, float]] = {}

    def keep(self, peer: PeerId, count: int, now: float) -> None:
        """Remember a peer that leaves.

        Args:
            peer: It may have been remembered before.
            count: Its failures in a row; none are not remembered.
            now: Monotonic clock, seconds.
        """
        self._left.pop(peer, None)
        if count:
            self._left[peer] = count, now
        if len(self._left) > KEPT_MAX:
            del self._left[next(iter(self._left))]

    def take(self, peer: PeerId, now: float) -> int:
        """Return and forget the failures of a peer that is back.

        Args:
            peer: Any peer.
            now: Monotonic clock, seconds.
        """
        count, left_at = self._left.pop(peer, (0, now))
        return count if now < left_at + KEPT_S else 0
