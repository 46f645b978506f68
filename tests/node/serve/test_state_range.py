"""State-range requests: what is sent is proven by the target's header."""

import pytest

from node.accounts.pages import Record
from node.accounts.range_proof import FIRST_ADDRESS, LAST_ADDRESS, RangeAnswer, verify_range
from node.chain.chain import Chain
from node.serve.state_range import serve_state_range
from protocols.messages.state_range import ProvenRange, StateRangeRequest, StateRangeResponse
from protocols.status import Refusal, ResponseStatus
from protocols.types import Address, Hash32
from tests.build.blocks import digest
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


def test_a_node_without_state_says_so() -> None:
    assert ask(states().at(24), chain=states().light()) == Refusal(ResponseStatus.STATE_NOT_STORED)


def test_a_node_that_took_over_a_batch_has_the_state_at_its_end() -> None:
    response = ask(states().at(24), chain=states().adopted())
    assert isinstance(response, StateRangeResponse)
    assert (response.oldest, response.newest) == (24, 24)
    assert isinstance(response.answer, ProvenRange)
