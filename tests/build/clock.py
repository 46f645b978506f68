"""A wall clock that stands where a test puts it."""

from dataclasses import dataclass

from tests.build.keys import GENESIS_TIMESTAMP


@dataclass
class FixedClock:
    """Implements `node.clock.WallClock`."""

    ms: int = GENESIS_TIMESTAMP + 10_000_000
    """Late enough for every block that a test builds."""

    def now_ms(self) -> int:
        return self.ms
