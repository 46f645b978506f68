"""Making the state that was fetched the state of the node.

The steps below are taken in their order, in one transaction. The first that finds something wrong
ends the attempt, and nothing is written. All that is written is in that one commit: before it a
crash leaves a sync that goes on, after it one whose state is complete.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol, TypeAlias

from node.blocks.header import Header
from node.chain.history_tree import Peaks
from node.sync.state.target import SyncTarget
from protocols.types import Hash32, Height


class FinalizeError(StrEnum):
    """Which step failed. The text never changes: it is logged."""

    NO_TARGET = "no_target"
    """The chain is not on the way to a state."""
    OTHER_TARGET = "other_target"
    """The target has moved, or its move was not committed."""
    TARGET_NOT_STORED = "target_not_stored"
    WRONG_TARGET = "wrong_target"
    """The stored block does not have the target's height and roots."""
    TARGET_NOT_FINAL = "target_not_final"
    """It is not on the main chain, or above the macro head."""
    WRONG_STATE_ROOT = "wrong_state_root"
    """The stored accounts are not those of the target."""
    WINDOW_INCOMPLETE = "window_incomplete"
    """A block of the validity window is missing, or its body is."""
    WRONG_HISTORY_ROOT = "wrong_history_root"
    """The peaks are not those of the target's history."""


class StateToComplete(Protocol):
    """What the steps ask, and what is written: within one transaction of the chain."""

    @property
    def target(self) -> Hash32 | None:
        """What the chain is on its way to, or None."""
        ...

    @property
    def state_head(self) -> Hash32 | None:
        """The block whose state has been completed before, or None."""
        ...

    def header(self, block: Hash32) -> Header | None:
        """Return a stored header."""
        ...

    def is_final(self, block: Header) -> bool:
        """Tell whether a block is on the main chain, and can never leave it."""
        ...

    def state_root(self) -> Hash32:
        """Return the root of the stored accounts."""
        ...

    def first_missing(self, block: Header) -> Height | None:
        """Return a height of a block's window that lacks its whole block, or None."""
        ...

    def write(self, block: Header, peaks: Peaks) -> None:
        """Make the stored accounts the state after a block."""
        ...


@dataclass(frozen=True, slots=True)
class _Attempt:
    state: StateToComplete
    target: SyncTarget
    peaks: Peaks

    @property
    def header(self) -> Header:
        found = self.state.header(self.target.hash)
        assert found is not None, "an earlier step has found it"
        return found


_Check: TypeAlias = Callable[[_Attempt], bool]


def _has_target(attempt: _Attempt) -> bool:
    return attempt.state.target is not None


def _is_the_target(attempt: _Attempt) -> bool:
    return attempt.state.target == attempt.target.hash


def _is_stored(attempt: _Attempt) -> bool:
    return attempt.state.header(attempt.target.hash) is not None


def _is_as_expected(attempt: _Attempt) -> bool:
    return SyncTarget.of(attempt.header) == attempt.target


def _is_final(attempt: _Attempt) -> bool:
    return attempt.state.is_final(attempt.header)


def _has_state_root(attempt: _Attempt) -> bool:
    return attempt.state.state_root() == attempt.header.state_root


def _has_window(attempt: _Attempt) -> bool:
    return attempt.state.first_missing(attempt.header) is None


def _has_history_root(attempt: _Attempt) -> bool:
    peaks = attempt.peaks
    is_row = len(peaks.hashes) == peaks.leaf_count.bit_count()
    return is_row and peaks.root == attempt.header.history_root


STEPS: Final[tuple[tuple[FinalizeError, _Check], ...]] = (
    (FinalizeError.NO_TARGET, _has_target),
    (FinalizeError.OTHER_TARGET, _is_the_target),
    (FinalizeError.TARGET_NOT_STORED, _is_stored),
    (FinalizeError.WRONG_TARGET, _is_as_expected),
    (FinalizeError.TARGET_NOT_FINAL, _is_final),
    (FinalizeError.WRONG_STATE_ROOT, _has_state_root),
    (FinalizeError.WINDOW_INCOMPLETE, _has_window),
    (FinalizeError.WRONG_HISTORY_ROOT, _has_history_root),
)
"""What must hold, in order, and what it is called if it does not."""


def finalize(state: StateToComplete, target: SyncTarget, peaks: Peaks) -> FinalizeError | None:
    """Complete the state of a target, or write nothing and say which step failed.

    Args:
        state: Within the transaction.
        target: All syncers are done with it.
        peaks: Of its epoch's history, the target's transactions included.
    """
    if state.state_head == target.hash:
        # A run before has committed it and then ended.
        return None
    attempt = _Attempt(state, target, peaks)
    for error, holds in STEPS:
        if not holds(attempt):
            return error
    state.write(attempt.header, peaks)
    return None
