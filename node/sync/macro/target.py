"""A macro block that somebody names before it is there."""

from dataclasses import dataclass
from typing import Final

from protocols.types import Hash32, Height

MAX_HEIGHT: Final = 0xFFFF_FFFF
"""Heights are unsigned 32-bit numbers on the wire."""


@dataclass(frozen=True, slots=True)
class Target:
    """A macro block that is said to be at a height."""

    height: Height
    hash: Hash32
