from hypothesis import given
from hypothesis import strategies as st

from node.blocks.signing import (
    precommit_message,
    prevote_message,
    proposal_message,
    skip_message,
)
from protocols.types import Hash32
from tests.build.blocks import SEED_0, digest
from tests.build.strategies import blob, hashes, uint8, uint32
from tests.node.blocks.fields import unpacked

BLOCK = digest("block")


def test_the_layouts() -> None:
    assert [
        unpacked(message)
        for message in (
            skip_message(1, 7, SEED_0),
            prevote_message(1, 8, 2, BLOCK),
            precommit_message(1, 8, 2, None),
            proposal_message(1, 8, 2, 1, BLOCK),
        )
    ] == [
        ["headway skip", 1, 7, SEED_0],
        ["headway prevote", 1, 8, 2, BLOCK],
        ["headway precommit", 1, 8, 2, None],
        ["headway proposal", 1, 8, 2, 1, BLOCK],
    ]


@given(
    st.lists(
        st.tuples(st.just(skip_message), uint8, uint32, blob(80))
        | st.tuples(
            st.sampled_from([prevote_message, precommit_message]),
            uint8,
            uint32,
            uint32,
            st.none() | hashes,
        )
        | st.tuples(st.just(proposal_message), uint8, uint32, uint32, st.none() | uint32, hashes),
        min_size=2,
        max_size=8,
        unique=True,
    )
)
def test_no_two_things_share_a_message(calls: list[tuple[object, ...]]) -> None:
    messages = {function(*arguments) for function, *arguments in calls}  # type: ignore[operator]
    assert len(messages) == len(calls)


@given(uint8, uint32, uint32, st.none() | uint32, hashes)
def test_a_proposal_is_longer_than_a_hash(
    network: int, number: int, round_: int, valid_round: int | None, block: Hash32
) -> None:
    """Headers and transactions are signed by their 32-byte hashes, with the same key."""
    assert len(proposal_message(network, number, round_, valid_round, block)) > 32
