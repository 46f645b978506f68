"""History-peaks requests: what is sent is what the block's history root commits to."""

import pytest

from node.chain.chain import Chain
from node.chain.history_tree import EMPTY_ROOT, Peaks
from node.serve.history_peaks import serve_history_peaks
from node.serve.state_range import serve_state_range
from node.serve.trie_diffs import serve_trie_diffs
from node.serve.trie_proof import serve_trie_proof
from node.sync.state.coverage import EVERYTHING
from protocols.errors import WireError
from protocols.messages.history_peaks import HistoryPeaksRequest, HistoryPeaksResponse
from protocols.messages.state_range import StateRangeRequest
from protocols.messages.trie_diffs import TrieDiffsRequest
from protocols.messages.trie_proof import TrieProofRequest
from protocols.status import Refusal, ResponseStatus, encode_success
from protocols.types import Hash32
from tests.build.blocks import digest
from tests.build.chain import light_chain
from tests.build.state_sync import GENESIS, POLICY, builder_of, complete, full_chain, started
from tests.node.serve.states import ABSENT

LENGTH = 30


def ask(chain: Chain, verifier: Hash32) -> HistoryPeaksResponse | Refusal:
    response = serve_history_peaks(HistoryPeaksRequest(verifier=verifier), chain)
    assert len(response.encode()) <= 2048
    return HistoryPeaksResponse.decode(response.encode())


def test_peaks_after_every_block_that_is_kept() -> None:
    builder = builder_of(LENGTH)
    chain = full_chain(GENESIS)
    chain.push(builder.blocks)
    oldest = POLICY.macro_at_or_before(LENGTH) - POLICY.validity_window_blocks
    counts = []
    for height in range(oldest, LENGTH + 1):
        response = ask(chain, builder.block_at(height).hash)
        assert isinstance(response, HistoryPeaksResponse)
        root = Peaks(response.leaf_count, response.peaks).root
        assert root == builder.block_at(height).header.history_root
        counts.append(response.leaf_count)
    # 24 is an election block: it ends an epoch of 12 blocks, 3 of them macro blocks.
    assert counts == [9, 1, 2, 3, 3, 4, 5]
    assert ask(chain, builder.block_at(12).hash) == Refusal(ResponseStatus.PRUNED)


def test_genesis_has_no_history() -> None:
    chain = full_chain(GENESIS)
    response = ask(chain, GENESIS.hash)
    assert response == HistoryPeaksResponse(leaf_count=0, peaks=())
    assert Peaks().root == EMPTY_ROOT


def test_each_refusal_has_its_name() -> None:
    builder = builder_of(9)
    fork = builder.fork_from(builder.block_at(8).hash)
    fork.micro()
    chain = full_chain(GENESIS)
    chain.push([*builder.blocks, fork.blocks[-1]])
    assert ask(chain, digest("nothing")) == Refusal(ResponseStatus.TARGET_NOT_FOUND)
    off_chain = Refusal(ResponseStatus.TARGET_NOT_ON_MAIN_CHAIN)
    assert ask(chain, fork.head.hash) == off_chain
    light = light_chain(GENESIS)
    light.push(builder.blocks)
    assert ask(light, builder.head.hash) == Refusal(ResponseStatus.HISTORY_NOT_STORED)


def test_a_node_that_synced_has_peaks_from_its_target_on() -> None:
    builder = builder_of(10)
    chain, store = started(builder, 8)
    assert ask(chain, builder.block_at(8).hash) == Refusal(ResponseStatus.PRUNED)
    assert complete(chain, store, builder, 8) is None
    assert chain.seal().is_sealed
    chain.push(builder.blocks[8:])
    for height in (8, 9, 10):
        assert isinstance(ask(chain, builder.block_at(height).hash), HistoryPeaksResponse)
    # Its tree begins with the target's peaks: older ones were never there.
    assert ask(chain, builder.block_at(6).hash) == Refusal(ResponseStatus.PRUNED)


def test_no_state_is_served_while_it_is_fetched() -> None:
    builder = builder_of(8)
    chain, _ = started(builder, 8)
    target, refusal = builder.head.hash, Refusal(ResponseStatus.STATE_NOT_STORED)
    start, end = EVERYTHING
    request = StateRangeRequest(target=target, start=start, end=end)
    assert serve_state_range(request, chain) == refusal
    assert serve_trie_diffs(TrieDiffsRequest(first=8, target=target), chain) == refusal
    proof = TrieProofRequest(target=target, addresses=(ABSENT,))
    assert serve_trie_proof(proof, chain) == refusal


@pytest.mark.parametrize(("count", "peaks"), [(1, 0), (0, 1), (3, 1), ((1 << 40) + 1, 2), (-1, 1)])
def test_the_number_of_peaks_follows_from_the_leaf_count(count: int, peaks: int) -> None:
    with pytest.raises(WireError):
        HistoryPeaksResponse.decode(encode_success(count, [bytes(32)] * peaks))
