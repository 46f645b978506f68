"""The steps of the finalizer: their order, and the name of each."""

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from node.blocks.header import Header
from node.chain.history_tree import NO_PEAKS, Peaks
from node.sync.state.finalizer import STEPS, FinalizeError, finalize
from node.sync.state.target import SyncTarget
from protocols.types import Hash32, Height
from tests.build.blocks import digest, macro_header

HEADER = macro_header(number=8, history_root=NO_PEAKS.root, state_root=digest("state"))
TARGET = SyncTarget.of(HEADER)


@dataclass
class Stored:
    """Implements `StateToComplete`."""

    target: Hash32 | None = TARGET.hash
    state_head: Hash32 | None = None
    stored: Header | None = HEADER
    final: bool = True
    root: Hash32 = TARGET.state_root
    missing: Height | None = None
    written: list[tuple[Header, Peaks]] = field(default_factory=list)

    def header(self, block: Hash32) -> Header | None:
        del block
        return self.stored

    def is_final(self, block: Header) -> bool:
        del block
        return self.final

    def state_root(self) -> Hash32:
        return self.root

    def first_missing(self, block: Header) -> Height | None:
        del block
        return self.missing

    def write(self, block: Header, peaks: Peaks) -> None:
        self.written.append((block, peaks))


WRONG: dict[FinalizeError, dict[str, Any]] = {
    FinalizeError.NO_TARGET: {"target": None},
    FinalizeError.OTHER_TARGET: {"target": digest("other")},
    FinalizeError.TARGET_NOT_STORED: {"stored": None},
    FinalizeError.WRONG_TARGET: {"stored": macro_header(number=9)},
    FinalizeError.TARGET_NOT_FINAL: {"final": False},
    FinalizeError.WRONG_STATE_ROOT: {"root": digest("other")},
    FinalizeError.WINDOW_INCOMPLETE: {"missing": 5},
}


def test_all_is_well() -> None:
    state = Stored()
    assert finalize(state, TARGET, NO_PEAKS) is None
    assert state.written == [(HEADER, NO_PEAKS)]


@pytest.mark.parametrize("error", list(WRONG))
def test_each_step_names_what_is_wrong_and_nothing_is_written(error: FinalizeError) -> None:
    state = Stored(**WRONG[error])
    assert finalize(state, TARGET, NO_PEAKS) is error
    assert not state.written


@pytest.mark.parametrize(
    "peaks", [Peaks(1, (digest("leaf"),)), Peaks(0, (digest("leaf"),)), Peaks(3, (digest("one"),))]
)
def test_peaks_must_be_those_of_the_history_root(peaks: Peaks) -> None:
    state = Stored()
    assert finalize(state, TARGET, peaks) is FinalizeError.WRONG_HISTORY_ROOT
    assert not state.written


def test_a_row_of_too_few_peaks_is_refused_even_with_the_right_root() -> None:
    peaks = Peaks(3, (digest("one"),))
    header = replace(HEADER, history_root=peaks.root)
    target = SyncTarget.of(header)
    state = Stored(target=target.hash, stored=header)
    assert finalize(state, target, peaks) is FinalizeError.WRONG_HISTORY_ROOT


def test_the_first_wrong_step_counts() -> None:
    every: dict[str, Any] = {}
    for error in reversed([error for error, _ in STEPS if error in WRONG]):
        every |= WRONG[error]
        assert finalize(Stored(**every), TARGET, NO_PEAKS) is error


def test_one_that_was_committed_before_a_crash_is_done() -> None:
    state = Stored(target=None, state_head=TARGET.hash)
    assert finalize(state, TARGET, NO_PEAKS) is None
    assert not state.written
