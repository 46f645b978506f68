"""How far a node is, how fast it comes nearer to its target, and when it will be there. Pure."""

from collections import deque
from dataclasses import dataclass
from typing import Final

WINDOW_S: Final = 20.0
"""What the rate is measured over: long enough for pauses, short enough to follow a new source."""

MIN_SAMPLES: Final = 5
"""Fewer say nothing about when it will end."""

MIN_SAMPLE_S: Final = 0.25
"""Between two samples: a node that is busy tells its height much more often."""

MAX_ETA_S: Final = 7 * 24 * 3600
"""A longer time is as good as never."""


STEP_PERCENT: Final = 10
"""Between two milestones: ten lines in the log, however long it takes."""


@dataclass(frozen=True, slots=True)
class Progress:
    """What can be said at one moment. None is not known yet, or nothing to do."""

    rate: float | None = None
    """Blocks per second."""
    eta_s: tuple[int, int] | None = None
    """Seconds until the target is reached, at best and at worst."""


NOTHING_TO_DO: Final = Progress()


@dataclass(frozen=True, slots=True)
class _Sample:
    time: float
    height: int


class ProgressMeter:
    """Watches the height during one phase after the other."""

    def __init__(self) -> None:
        self._phase = ""
        self._samples: deque[_Sample] = deque()

    def look(self, now: float, *, phase: str, height: int, target: int | None) -> Progress:
        """Take in where the node stands, and say how it gets on.

        Args:
            now: Monotonic clock, seconds.
            phase: What it is doing; another one starts the measurement anew.
            height: Of its head.
            target: Height that it is on its way to; None if it is not on its way.
        """
        if phase != self._phase or target is None:
            self._phase = phase
            self._samples.clear()
        if target is None:
            return NOTHING_TO_DO
        if not self._samples or now - self._samples[-1].time >= MIN_SAMPLE_S:
            self._samples.append(_Sample(now, height))
        while now - self._samples[0].time > WINDOW_S:
            self._samples.popleft()
        if len(self._samples) < 2:
            return NOTHING_TO_DO
        rate = self._rate_since(0)
        return Progress(round(rate, 1), self._eta(rate, max(target - height, 0)))

    def _eta(self, rate: float, left: int) -> tuple[int, int] | None:
        """The whole window and its later half disagree by as much as the rate is uncertain."""
        if len(self._samples) < MIN_SAMPLES:
            return None
        rates = (rate, self._rate_since(len(self._samples) // 2))
        return _seconds(left, max(rates)), _seconds(left, min(rates))

    def _rate_since(self, index: int) -> float:
        first, last = self._samples[index], self._samples[-1]
        return max(last.height - first.height, 0) / (last.time - first.time)


class Milestones:
    """Says when another tenth is there."""

    def __init__(self) -> None:
        """Begin at nothing."""
        self._reached = 0

    def look(self, fraction: float) -> int | None:
        """Return the milestone that has been reached since the last look, in per cent, or None.

        What is lost again is not told, and told anew once it is back.

        Args:
            fraction: Part that is there, 0..1.
        """
        before, self._reached = self._reached, int(fraction * 100) // STEP_PERCENT * STEP_PERCENT
        return self._reached if self._reached > before else None


def _seconds(left: int, rate: float) -> int:
    if left == 0:
        return 0
    return MAX_ETA_S if rate * MAX_ETA_S <= left else round(left / rate)
