"""State-range requests: what is sent is proven by the target's header."""

from dataclasses import replace

import pytest

from node.accounts.pages import ROOT, Record
from node.accounts.range_proof import FIRST_ADDRESS, LAST_ADDRESS, RangeAnswer, verify_range
from node.chain.chain import Chain
from node.chain.retention import STATE_BATCHES, Retention
from node.serve.state_range import serve_state_range
from node.serve.subtrees import serve_subtrees
from node.serve.trie_proof import serve_trie_proof
from protocols.messages.state_range import ProvenRange, StateRangeRequest, StateRangeResponse
from protocols.messages.subtrees import SubtreesRequest, SubtreesResponse
from protocols.messages.trie_proof import TrieProofRequest, TrieProofResponse
from protocols.status import Refusal, ResponseStatus
from protocols.types import Address, Hash32
from tests.build.blocks import digest, transaction
from tests.build.chain import ChainBuilder, open_chain, push_one
from tests.build.keys import SMALL_POLICY, genesis
from tests.node.serve.states import LENGTH, OLDEST, states


def ask(
    target: Hash32,
    start: Address = FIRST_ADDRESS,
    end: Address = LAST_ADDRESS,
    limit: int = 4096,
    chain: Chain | None = None,
) -> StateRangeResponse | Refusal:
    request = StateRangeRequest(target=target, start=start, end=end, limit=limit)
    return serve_state_range(request, chain or states().chain)


@pytest.mark.parametrize("limit", [1, 7, 64, 4096])
@pytest.mark.parametrize("height", [OLDEST, 17, 24, LENGTH])
def test_a_state_is_read_in_ranges(height: int, limit: int) -> None:
    header = states().header(height)
    found: list[Record] = []
    start: Address | None = FIRST_ADDRESS
    while start is not None:
        response = ask(header.hash, start, limit=limit)
        assert isinstance(response, StateRangeResponse)
        assert (response.oldest, response.newest) == (OLDEST, LENGTH)
        assert response.answer is not None
        assert StateRangeResponse.decode(response.encode()) == response
        answer = RangeAnswer.decode(response.answer.leaves, response.answer.proof)
        verified = verify_range(header.state_root, start, LAST_ADDRESS, answer)
        assert verified is not None
        assert len(answer.leaves) <= limit
        found += answer.leaves
        start = verified.next
    assert found == sorted(states().accounts[height].items())


@pytest.mark.parametrize(
    "target",
    [
        states().at(OLDEST - 1),
        states().builder.genesis.hash,
        states().fork.hash,
        digest("unknown"),
    ],
)
def test_of_other_states_only_what_can_be_asked_for_is_said(target: Hash32) -> None:
    assert ask(target) == StateRangeResponse(oldest=OLDEST, newest=LENGTH, answer=None)


@pytest.mark.parametrize("window_batches", [1, 2, 6])
def test_it_names_no_state_that_it_cannot_present(window_batches: int) -> None:
    """Blocks may go sooner than what has changed since: without a header there is no target."""
    policy = replace(SMALL_POLICY, validity_window_batches=window_batches)
    builder = ChainBuilder(genesis(policy=policy))
    chain = open_chain(builder.genesis, retention=Retention.WINDOW)
    for height in range(1, 32):
        builder.extend(1, [[transaction(nonce=height, validity_start=height)]])
        push_one(chain, builder.blocks[-1])
        first = ask(builder.head.hash, limit=1, chain=chain)
        assert isinstance(first, StateRangeResponse)
        kept = min(STATE_BATCHES, window_batches) * policy.batch_length
        assert first.oldest == max(chain.macro_head.number - kept, 0)
        for target in range(max(first.oldest, 1), height + 1):
            name = builder.block_at(target).hash
            response = ask(name, limit=1, chain=chain)
            assert isinstance(response, StateRangeResponse)
            assert response.answer is not None
            nodes = serve_subtrees(SubtreesRequest(target=name, places=(ROOT.key,)), chain)
            assert isinstance(nodes, SubtreesResponse)
            assert (nodes.oldest, nodes.nodes is not None) == (first.oldest, True)
            proof = serve_trie_proof(
                TrieProofRequest(target=name, addresses=(FIRST_ADDRESS,)), chain
            )
            assert isinstance(proof, TrieProofResponse)


def test_a_node_without_state_says_so() -> None:
    assert ask(states().at(24), chain=states().light()) == Refusal(ResponseStatus.STATE_NOT_STORED)


def test_a_node_that_took_over_a_batch_has_the_state_at_its_end() -> None:
    response = ask(states().at(24), chain=states().adopted())
    assert isinstance(response, StateRangeResponse)
    assert (response.oldest, response.newest) == (24, 24)
    assert isinstance(response.answer, ProvenRange)
