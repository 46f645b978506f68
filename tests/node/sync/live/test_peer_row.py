"""Whom to ask next."""

from node.sync.live.config import QueueConfig
from node.sync.live.peer_row import PeerRow
from protocols.types import PeerId
from tests.build.sync import ALICE, BOB, CAROL, DAVE

CONFIG = QueueConfig(include_body=True, slow_peers_max=2)
SLOW_S = CONFIG.slow_answer_s


def row_of(*peers: PeerId) -> PeerRow:
    row = PeerRow(CONFIG)
    for peer in peers:
        row.add(peer)
    return row


def make_slow(row: PeerRow, peer: PeerId, now: float = 0.0) -> None:
    for _ in range(CONFIG.slow_answers):
        row.note_wait(peer, SLOW_S, now)


def test_peers_take_turns() -> None:
    row = row_of(ALICE, BOB, CAROL)

    assert [row.choose(0.0) for _ in range(4)] == [ALICE, BOB, CAROL, ALICE]


def test_first_goes_before_its_turn_and_then_to_the_end() -> None:
    row = row_of(ALICE, BOB, CAROL)

    assert row.choose(0.0, first=CAROL) == CAROL
    # It may be asked again at once, though it has been asked.
    assert row.choose(0.0, first=CAROL, without={CAROL}) == CAROL
    assert list(row) == [ALICE, BOB, CAROL]
    assert row.choose(0.0, first=DAVE) == ALICE


def test_nobody_is_left() -> None:
    row = row_of(ALICE)

    assert row.choose(0.0, without={ALICE}) is None
    row.remove(ALICE)
    row.remove(ALICE)
    assert row.choose(0.0) is None
    assert (len(row), ALICE in row) == (0, False)


def test_slow_peer_is_the_last_even_if_it_is_first() -> None:
    row = row_of(ALICE, BOB)
    make_slow(row, ALICE)

    assert row.choose(0.0) == BOB
    assert row.choose(0.0, first=ALICE) == BOB
    assert row.choose(0.0, first=ALICE, without={BOB}) == ALICE
    make_slow(row, BOB)
    assert row.choose(0.0, first=ALICE) == ALICE


def test_one_slow_answer_is_forgiven_and_two_are_forgotten() -> None:
    row = row_of(ALICE)
    row.note_wait(ALICE, SLOW_S - 0.1, 0.0)
    row.note_wait(ALICE, SLOW_S, 10.0)
    assert not row.is_slow(ALICE, 10.0)

    row.note_wait(ALICE, SLOW_S, 20.0)

    assert row.is_slow(ALICE, 20.0)
    end = 10.0 + CONFIG.slow_memory_s
    assert row.is_slow(ALICE, end - 0.1)
    assert not row.is_slow(ALICE, end)
    # The second still counts beside a third.
    row.note_wait(ALICE, SLOW_S, end)
    assert row.is_slow(ALICE, end)


def test_leaving_does_not_clear_a_peer() -> None:
    row = row_of(ALICE)
    make_slow(row, ALICE)

    row.remove(ALICE)
    row.add(ALICE)

    assert row.is_slow(ALICE, 1.0)


def test_slow_peers_that_are_remembered_are_bounded() -> None:
    row = row_of()
    for peer in (ALICE, BOB):
        make_slow(row, peer)
    row.note_wait(ALICE, SLOW_S, 1.0)

    make_slow(row, CAROL, 2.0)

    # Bob's are the longest ago.
    assert [row.is_slow(peer, 3.0) for peer in (ALICE, BOB, CAROL)] == [True, False, True]
