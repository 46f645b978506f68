"""A bounded memory of peers."""

from node.sync.macro.doubtful import Doubtful
from tests.build.sync import ALICE, BOB, CAROL


def test_whoever_is_in_it_longest_is_forgotten_first() -> None:
    doubtful = Doubtful(2)
    for peer in (ALICE, BOB, ALICE, CAROL):
        doubtful.add(peer)
    assert [peer in doubtful for peer in (ALICE, BOB, CAROL)] == [False, True, True]


def test_whoever_has_answered_is_forgotten() -> None:
    doubtful = Doubtful(2)
    doubtful.add(ALICE)
    doubtful.discard(ALICE)
    doubtful.discard(BOB)
    assert ALICE not in doubtful
