"""The states that a snapshot of the store can present: those of the last blocks of its chain."""

from dataclasses import dataclass

from node.accounts.state_at import StateAt
from node.accounts.state_history import changes_at, oldest_state
from node.storage.store import Reader
from protocols.types import Height


@dataclass(frozen=True, slots=True)
class ProvableStates:
    """The state after each block from `oldest` to `newest`. Only where state is kept."""

    reader: Reader
    newest: Height
    """Of the head: the state that is stored as it is."""

    @property
    def oldest(self) -> Height:
        """The first height whose state can still be presented."""
        found = oldest_state(self.reader)
        return self.newest if found is None else found

    def has(self, height: Height) -> bool:
        """Tell whether the state after a block can be presented."""
        return self.oldest <= height <= self.newest

    def at(self, height: Height) -> StateAt:
        """Present the state after a block, which must be one of these."""
        return StateAt(self.reader, height)

    def changes(self, height: Height) -> bytes:
        """Return what the block at a height, above the oldest, changes, as its diff root has it."""
        return changes_at(self.reader, height)
