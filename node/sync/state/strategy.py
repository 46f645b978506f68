"""How a node without state gets one: at once with the chain that moves on, or first of all."""

from enum import StrEnum
from typing import Final


class SyncStrategy(StrEnum):
    """The value is the word of settings."""

    DYNAMIC = "dynamic"
    """The chain is followed meanwhile, blocks are queued, and the target moves."""
    STATIC = "static"
    """One target is synced to and nothing is queued: the chain is followed from there on."""

    @property
    def follows_chain(self) -> bool:
        """Whether blocks are taken in before there is a state."""
        return self is SyncStrategy.DYNAMIC


DEFAULT_STRATEGY: Final = SyncStrategy.DYNAMIC
