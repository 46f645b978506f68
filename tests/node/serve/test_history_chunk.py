"""History-chunk requests: what is sent is proven by the verifier's header."""

import pytest

from node.chain.chain import Chain
from node.chain.history_proof import verify_range
from node.chain.retention import Retention
from node.serve.history_chunk import serve_history_chunk
from node.storage.memory import MemoryStore
from node.storage.store import Table
from protocols.messages.history_chunk import HistoryChunkRequest, HistoryChunkResponse
from protocols.status import Refusal, ResponseStatus
from protocols.types import Hash32
from tests.build.blocks import digest
from tests.build.chain import ChainBuilder, open_chain
from tests.node.serve.chains import TamperedView, epochs


def ask(
    verifier: Hash32, first: int, limit: int = 1024, chain: Chain | TamperedView | None = None
) -> HistoryChunkResponse | Refusal:
    request = HistoryChunkRequest(verifier=verifier, first=first, limit=limit)
    return serve_history_chunk(request, chain or epochs().chain)


def check(height: int, epoch: int, leaf_count: int, first: int, limit: int) -> None:
    """Ask for a range and see that it is whole and proven."""
    response = ask(epochs().at(height), first, limit)
    header = epochs().builder.block_at(height).header

    assert isinstance(response, HistoryChunkResponse)
    expected = epochs().transactions(epoch)[first : min(first + limit, leaf_count)]
    assert list(response.transactions) == expected
    assert response.leaf_count == leaf_count
    root = verify_range(response.transactions, first, leaf_count, response.proof)
    assert root == header.history_root
    assert HistoryChunkResponse.decode(response.encode()) == response


@pytest.mark.parametrize(
    ("height", "epoch", "leaf_count"),
    [(4, 1, 2), (8, 1, 6), (12, 1, 7), (16, 2, 9), (20, 2, 16), (24, 2, 17), (28, 3, 2)],
)
def test_every_range_is_proven_by_every_macro_block_of_its_epoch(
    height: int, epoch: int, leaf_count: int
) -> None:
    for first in range(leaf_count):
        for limit in (*range(1, leaf_count + 2), 1024):
            check(height, epoch, leaf_count, first, limit)


@pytest.mark.parametrize(("height", "first"), [(12, 7), (12, 2**40), (8, 6), (28, 2), (0, 0)])
def test_a_range_behind_the_last_leaf_is_named(height: int, first: int) -> None:
    assert ask(epochs().at(height), first) == Refusal(ResponseStatus.OUT_OF_RANGE)


@pytest.mark.parametrize("verifier", [epochs().at(29), epochs().at(1), digest("unknown")])
def test_only_macro_blocks_of_ours_verify(verifier: Hash32) -> None:
    assert ask(verifier, 0) == Refusal(ResponseStatus.NOT_A_MACRO_BLOCK)


def test_a_node_without_history_names_it_first() -> None:
    light = epochs().light()

    for verifier in (epochs().at(12), digest("unknown")):
        assert ask(verifier, 0, chain=light) == Refusal(ResponseStatus.HISTORY_NOT_STORED)


def test_an_epoch_without_transactions_has_no_leaf() -> None:
    builder = ChainBuilder()
    builder.extend(4)

    refusal = ask(builder.head.hash, 0, chain=builder.chain)
    assert refusal == Refusal(ResponseStatus.OUT_OF_RANGE)


def pruned(*, length_at: int | None = None, node: bytes | None = None, body: int = 0) -> Chain:
    """Return the chain without some of what a node may prune."""
    known, store = epochs(), MemoryStore()
    chain = open_chain(known.builder.genesis, store=store)
    known.builder.push_all(chain)
    with store.write() as writer:
        if length_at is not None:
            writer.delete(Table.HISTORY_LENGTHS, length_at.to_bytes(4, "big"))
        if node is not None:
            writer.delete(Table.HISTORY, node)
        if body:
            writer.delete(Table.BODIES, known.at(body))
    return chain


PRUNED = Refusal(ResponseStatus.PRUNED)


def test_pruned_bodies_are_named() -> None:
    """Block 13 has leaves 0 to 4, 15 has 5 to 8, 18 has 9 to 15 of the second epoch."""
    chain, verifier = pruned(body=13), epochs().at(24)

    assert ask(verifier, 0, chain=chain) == PRUNED
    assert ask(verifier, 5, chain=chain) == PRUNED, "how many leaves it had is not known any more"
    assert ask(verifier, 9, chain=chain) == ask(verifier, 9)


def test_a_node_that_keeps_a_window_proves_what_is_in_it() -> None:
    """With macro head 28 it keeps blocks from 20 on: leaf 16 of the second epoch, and all above."""
    known = epochs()
    chain = open_chain(known.builder.genesis, retention=Retention.WINDOW)
    known.builder.push_all(chain)

    for verifier, first in ((24, 16), (28, 0), (28, 1)):
        whole = ask(known.at(verifier), first)
        assert isinstance(whole, HistoryChunkResponse)
        assert ask(known.at(verifier), first, chain=chain) == whole
    for verifier, first in ((24, 15), (24, 0), (12, 0)):
        assert ask(known.at(verifier), first, chain=chain) == PRUNED
    assert ask(known.at(16), 0, chain=chain) == Refusal(ResponseStatus.NOT_A_MACRO_BLOCK)


def test_pruned_lengths_are_named() -> None:
    verifier = epochs().at(24)
    oldest, newest = pruned(length_at=16), pruned(length_at=24)

    assert ask(verifier, 0, chain=newest) == PRUNED
    assert ask(verifier, 9, chain=oldest) == PRUNED
    assert ask(verifier, 16, chain=oldest) == ask(verifier, 16)


def test_pruned_nodes_are_named() -> None:
    node = (2).to_bytes(4, "big") + (0).to_bytes(8, "big")
    chain, verifier = pruned(node=node), epochs().at(24)

    assert ask(verifier, 1, 1, chain=chain) == PRUNED
    assert ask(verifier, 2, chain=chain) == ask(verifier, 2)
