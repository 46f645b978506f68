"""What the answers of a history sync must be."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from node.accounts.transaction import Transaction
from node.blocks.block import Block
from node.chain.history_tree import EMPTY_ROOT
from node.sync.inputs import BlocksArrived
from node.sync.macro.history_answers import (
    MIN_TRANSACTION_BYTES,
    after_election,
    are_headers_sound,
    is_batch_set_sound,
    sound_body,
)
from node.sync.macro.target import Target
from node.sync.tickets import Asker, TicketId
from protocols.types import Address, Hash32
from tests.build.blocks import digest
from tests.build.history import hash_at, leaves
from tests.build.history_peers import EQUIVOCATION, history
from tests.build.keys import SMALL_POLICY

Batches = tuple[tuple[Block, int], ...]

TARGET = Target(12, hash_at(12))
NOBODY = Hash32(bytes(32))


def batches() -> Batches:
    """Return the batch set of the first epoch."""
    return tuple(
        (history().block_at(height).without_body(), leaves(height)) for height in (4, 8, 12)
    )


def is_sound(answer: Sequence[tuple[Block, int]], target: Target = TARGET) -> bool:
    origin = after_election(0, history().genesis.hash)
    return is_batch_set_sound(answer, origin, target, SMALL_POLICY, network=1)


def with_header(answer: Batches, index: int, **changes: object) -> Batches:
    block, length = answer[index]
    header = replace(block.header, **changes)  # type: ignore[arg-type]
    changed = Block(header, block.justification, block.body)
    return (*answer[:index], (changed, length), *answer[index + 1 :])


def with_length(answer: Batches, index: int, length: int) -> Batches:
    return (*answer[:index], (answer[index][0], length), *answer[index + 1 :])


def test_a_set_is_sound_whole_or_cut() -> None:
    assert is_sound(batches())
    assert is_sound(batches()[:1])
    assert is_sound(batches()[:2], Target(8, hash_at(8)))


WRONG_SETS: dict[str, Callable[[Batches], Batches]] = {
    "empty": lambda _: (),
    "starts too high": lambda answer: answer[1:],
    "leaves one out": lambda answer: (answer[0], answer[2]),
    "one twice": lambda answer: (answer[0], *answer),
    "not in order": lambda answer: answer[::-1],
    "another target": lambda answer: with_header(answer, 2, state_root=NOBODY),
    "another epoch": lambda answer: with_header(answer, 1, parent_election=NOBODY),
    "another network": lambda answer: with_header(answer, 1, network=9),
    "validators in a checkpoint": lambda answer: with_header(
        answer, 1, validators=getattr(answer[2][0].header, "validators", None)
    ),
    "a micro block": lambda answer: ((history().block_at(3).without_body(), 0), *answer[1:]),
    "a micro block's justification": lambda answer: (
        (Block(answer[0][0].header, history().block_at(3).justification, None), answer[0][1]),
        *answer[1:],
    ),
    "with a body": lambda answer: ((history().block_at(4), answer[0][1]), *answer[1:]),
    "history shrinks": lambda answer: with_length(answer, 1, answer[0][1] - 1),
    "history stands still, its root does not": lambda answer: with_length(answer, 1, answer[0][1]),
    "history grows, its root does not": lambda answer: with_header(
        answer, 0, history_root=EMPTY_ROOT
    ),
    "more history than fits": lambda answer: with_length(
        answer, 2, answer[1][1] + 3 * (SMALL_POLICY.max_body_bytes // MIN_TRANSACTION_BYTES) + 1
    ),
}


@pytest.mark.parametrize("name", WRONG_SETS)
def test_a_wrong_set_is_seen(name: str) -> None:
    assert not is_sound(WRONG_SETS[name](batches()))


def test_nothing_lies_beyond_the_target() -> None:
    assert not is_sound(batches(), Target(8, hash_at(8)))


def test_no_transaction_is_smaller() -> None:
    smallest = Transaction(
        sender_key=bytes(32),
        recipient=Address(bytes(20)),
        value=0,
        fee=0,
        validity_start=0,
        network=0,
    )
    assert len(smallest.encode()) >= MIN_TRANSACTION_BYTES


def headers() -> tuple[Block, ...]:
    return tuple(history().block_at(height).without_body() for height in range(5, 9))


def test_headers_of_a_batch_are_sound() -> None:
    macro = history().block_at(8)
    assert are_headers_sound(headers(), macro, hash_at(4), SMALL_POLICY)


WRONG_HEADERS: dict[str, Callable[[tuple[Block, ...]], tuple[Block, ...]]] = {
    "none": lambda _: (),
    "without the macro block": lambda blocks: blocks[:-1],
    "one missing at the start": lambda blocks: blocks[1:],
    "one missing inside": lambda blocks: (blocks[0], *blocks[2:]),
    "one too many": lambda blocks: (history().block_at(4).without_body(), *blocks),
    "reordered": lambda blocks: (blocks[1], blocks[0], *blocks[2:]),
    "another block inside": lambda blocks: (
        blocks[0],
        Block(replace(blocks[1].header, state_root=NOBODY), blocks[1].justification, None),
        *blocks[2:],
    ),
    "another first block": lambda blocks: (
        Block(replace(blocks[0].header, state_root=NOBODY), blocks[0].justification, None),
        *blocks[1:],
    ),
    "with a body": lambda blocks: (history().block_at(5), *blocks[1:]),
}


@pytest.mark.parametrize("name", WRONG_HEADERS)
def test_wrong_headers_are_seen(name: str) -> None:
    spoilt = WRONG_HEADERS[name](headers())
    assert not are_headers_sound(spoilt, history().block_at(8), hash_at(4), SMALL_POLICY)


def test_headers_start_at_the_macro_block_before() -> None:
    macro = history().block_at(8)
    assert not are_headers_sound(headers(), macro, digest("other"), SMALL_POLICY)


def test_a_whole_body_is_the_one_of_its_header() -> None:
    block = history().block_at(EQUIVOCATION)
    other = history().block_at(5)
    ticket = TicketId(Asker.HISTORY, 1)

    def taken(*blocks: Block) -> object:
        return sound_body(BlocksArrived(ticket, blocks, 1), block.hash, SMALL_POLICY)

    assert taken(block) == block.body
    assert taken() is None
    assert taken(block, block) is None
    assert taken(other) is None
    assert taken(block.without_body()) is None
    assert taken(Block(block.header, block.justification, other.body)) is None
