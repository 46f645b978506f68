"""The bytes of answers that wait for slow readers."""

from node.net.libp2p.budget import AnswerBudget
from protocols.types import PeerId

ANNA, BOB, CARL = PeerId("anna"), PeerId("bob"), PeerId("carl")


def test_one_peer_has_its_bound() -> None:
    budget = AnswerBudget(per_peer=10, in_all=100)
    assert budget.take(ANNA, 6)
    assert not budget.take(ANNA, 5)
    assert budget.take(ANNA, 4)
    assert budget.take(BOB, 10)
    budget.give_back(ANNA, 6)
    assert budget.take(ANNA, 6)


def test_all_together_have_theirs() -> None:
    budget = AnswerBudget(per_peer=10, in_all=15)
    assert budget.take(ANNA, 10)
    assert not budget.take(BOB, 6)
    assert budget.take(BOB, 5)
    assert not budget.take(CARL, 1)
    budget.give_back(ANNA, 10)
    assert budget.take(CARL, 10)
    assert budget.held == 15


def test_nothing_is_remembered_of_peers_that_hold_nothing() -> None:
    budget = AnswerBudget(per_peer=10, in_all=10)
    assert not budget.take(ANNA, 11)
    assert budget.take(BOB, 10)
    budget.give_back(BOB, 10)
    assert budget.held == 0
    assert not budget._held
