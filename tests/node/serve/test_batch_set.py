"""Batch-set requests."""

import pytest

from node.chain.chain import Chain
from node.chain.retention import Retention
from node.serve.batch_set import serve_batch_set
from protocols.messages.batch_set import BatchInfo, BatchSetRequest, BatchSetResponse
from protocols.status import Refusal, ResponseStatus
from protocols.types import Hash32
from tests.build.blocks import digest
from tests.build.chain import open_chain
from tests.node.serve.chains import TamperedView, epochs

LENGTHS = {4: 2, 8: 6, 12: 7, 16: 9, 20: 16, 24: 17, 28: 2}


def ask(
    target: Hash32, after: int = 0, chain: Chain | TamperedView | None = None
) -> BatchSetResponse | Refusal:
    return serve_batch_set(BatchSetRequest(target, after), chain or epochs().chain)


def answer(*heights: int) -> BatchSetResponse:
    blocks = [epochs().builder.block_at(height).without_body().encode() for height in heights]
    lengths = [LENGTHS[height] for height in heights]
    return BatchSetResponse(batches=tuple(map(BatchInfo, blocks, lengths)))


@pytest.mark.parametrize(
    ("target", "after", "heights"),
    [
        (12, 0, [4, 8, 12]),
        (24, 0, [16, 20, 24]),
        (24, 12, [16, 20, 24]),
        (24, 15, [16, 20, 24]),
        (24, 16, [20, 24]),
        (20, 16, [20]),
        (24, 24, []),
        (24, 2**32 - 1, []),
        (28, 0, [28]),
        (4, 0, [4]),
        (0, 0, []),
    ],
)
def test_the_macro_blocks_of_the_epoch_up_to_the_target(
    target: int, after: int, heights: list[int]
) -> None:
    assert ask(epochs().at(target), after) == answer(*heights)


@pytest.mark.parametrize("height", [29, 30])
def test_a_micro_block_is_no_target(height: int) -> None:
    assert ask(epochs().at(height)) == Refusal(ResponseStatus.NOT_A_MACRO_BLOCK)


def test_an_unknown_target_is_not_one_of_ours() -> None:
    assert ask(digest("unknown")) == Refusal(ResponseStatus.NOT_A_MACRO_BLOCK)


def test_a_node_without_history_names_it_first() -> None:
    light = epochs().light()

    for target in (epochs().at(12), digest("unknown")):
        assert ask(target, chain=light) == Refusal(ResponseStatus.HISTORY_NOT_STORED)


def test_pruned_macro_blocks_are_named() -> None:
    known = epochs()
    view = TamperedView(known.chain, missing=frozenset({known.at(16)}))

    assert ask(known.at(24), chain=view) == Refusal(ResponseStatus.PRUNED)
    assert ask(known.at(24), 16, chain=view) == answer(20, 24)


def test_pruned_lengths_are_named() -> None:
    known = epochs()
    view = TamperedView(known.chain, without_length=frozenset({16}))

    assert ask(known.at(24), chain=view) == Refusal(ResponseStatus.PRUNED)
    assert ask(known.at(24), 16, chain=view) == answer(20, 24)


def test_a_node_that_keeps_a_window_has_the_batches_in_it() -> None:
    """With macro head 28 it keeps blocks from 20 on, and election blocks."""
    chain = open_chain(epochs().builder.genesis, retention=Retention.WINDOW)
    epochs().builder.push_all(chain)

    assert ask(epochs().at(28), chain=chain) == answer(28)
    assert ask(epochs().at(24), 16, chain=chain) == answer(20, 24)
    assert ask(epochs().at(24), 15, chain=chain) == Refusal(ResponseStatus.PRUNED)
    assert ask(epochs().at(12), chain=chain) == Refusal(ResponseStatus.PRUNED)


def test_an_answer_is_cut_at_the_far_end() -> None:
    request = BatchSetRequest(epochs().at(24), 0)
    whole = answer(16, 20, 24)
    sizes = [len(each.macro_block) for each in whole.batches]
    for limit in range(100, len(whole.encode()) + 60):
        response = serve_batch_set(request, epochs().chain, max_bytes=limit)
        assert isinstance(response, BatchSetResponse)
        assert response.batches == whole.batches[: len(response.batches)]
        assert len(response.encode()) <= limit
        # Small numbers take less room than is set aside for them.
        room = limit - len(response.encode())
        assert len(response.batches) == 3 or room < sizes[len(response.batches)] + 60
    assert serve_batch_set(request, epochs().chain, max_batches=2) == answer(16, 20)
