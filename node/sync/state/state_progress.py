"""How far a sync of the accounts is."""

from dataclasses import dataclass

from node.sync.state.target import SyncTarget


@dataclass(frozen=True, slots=True, kw_only=True)
class StateProgress:
    """What is there and what is missing."""

    stored: SyncTarget | None
    """Whose state the covered accounts are."""
    newest: SyncTarget | None
    """What they are on their way to."""
    accounts: int
    """That are covered."""
    total: int | None
    """Of the whole state, as the last proof has it; None before the first."""
    is_whole: bool

    @property
    def fraction(self) -> float:
        """Part of the accounts that is covered, 0..1."""
        if self.is_whole:
            return 1.0
        return min(self.accounts / self.total, 1.0) if self.total else 0.0
