"""The two wall clocks: the system's, and one that follows trio's clock, real or virtual."""

import time
from typing import Final

import trio

VIRTUAL_EPOCH_MS: Final = 1_700_000_000_000
"""Wall time at which virtual time starts, so that a simulated run is the same on every day."""


class SystemClock:
    """The system's wall clock."""

    def now_ms(self) -> int:
        """Return milliseconds since the Unix epoch."""
        return time.time_ns() // 1_000_000


class VirtualClock:
    """Wall time that moves with trio's clock: inside a mock clock it costs nothing."""

    def now_ms(self) -> int:
        """Return milliseconds since the Unix epoch, as virtual time has it."""
        return VIRTUAL_EPOCH_MS + int(trio.current_time() * 1000)
