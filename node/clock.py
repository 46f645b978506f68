"""Wall time as a value that is passed in, so that virtual time is only another clock."""

from typing import Protocol


class WallClock(Protocol):
    """Milliseconds since the Unix epoch, as block timestamps count them."""

    def now_ms(self) -> int:
        """Return the current time."""
        ...
