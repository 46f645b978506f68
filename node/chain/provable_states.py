"""The states that a snapshot of the store can present: those of the last blocks of its chain.

What blocks have changed may go further back. A state is asked for by its block, and proven against
its header, so there is none without; changes are asked for by height, up to a newer block.
"""

from dataclasses import dataclass

from node.accounts.state_at import StateAt
from node.accounts.state_history import changes_at, oldest_state
from node.chain.pruning import pruned_below
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
        """The first height whose state can still be presented, and whose header is stored."""
        return max(self._oldest_stored, pruned_below(self.reader))

    def has(self, height: Height) -> bool:
        """Tell whether the state after a block can be presented."""
        return self.oldest <= height <= self.newest

    def at(self, height: Height) -> StateAt:
        """Present the state after a block, which must be one of these."""
        return StateAt(self.reader, height)

    def has_changes(self, height: Height) -> bool:
        """Tell whether it is stored what a block changes."""
        return self._oldest_stored < height <= self.newest

    def changes(self, height: Height) -> bytes:
        """Return what a block changes, as its diff root has it. It must be stored."""
        return changes_at(self.reader, height)

    @property
    def _oldest_stored(self) -> Height:
        found = oldest_state(self.reader)
        return self.newest if found is None else found
