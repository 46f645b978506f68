"""Trie-proof requests: what is sent is proven by the target's header."""

import pytest

from node.accounts.key_proof import verify_keys
from node.chain.chain import Chain
from node.serve.trie_proof import serve_trie_proof
from protocols.messages.trie_proof import MAX_ADDRESSES, TrieProofRequest, TrieProofResponse
from protocols.status import Refusal, ResponseStatus
from protocols.types import Address, Hash32
from tests.build.blocks import digest
from tests.node.serve.states import ABSENT, LENGTH, OLDEST, states


def ask(
    target: Hash32, addresses: tuple[Address, ...] = (ABSENT,), chain: Chain | None = None
) -> TrieProofResponse | Refusal:
    request = TrieProofRequest(target=target, addresses=addresses)
    return serve_trie_proof(request, chain or states().chain)


@pytest.mark.parametrize("height", range(OLDEST, LENGTH + 1))
def test_accounts_of_every_state_that_is_kept_are_proven(height: int) -> None:
    accounts, header = states().accounts[height], states().header(height)
    some = tuple(sorted([*list(accounts)[: MAX_ADDRESSES - 1], ABSENT]))
    response = ask(header.hash, some)

    assert isinstance(response, TrieProofResponse)
    values = verify_keys(header.state_root, some, response.proof)
    assert values == {address: accounts.get(address) for address in some}
    assert TrieProofResponse.decode(response.encode()) == response


@pytest.mark.parametrize(
    ("target", "status"),
    [
        (states().at(OLDEST - 1), ResponseStatus.PRUNED),
        (states().builder.genesis.hash, ResponseStatus.PRUNED),
        (digest("unknown"), ResponseStatus.TARGET_NOT_FOUND),
        (states().fork.hash, ResponseStatus.TARGET_NOT_ON_MAIN_CHAIN),
    ],
)
def test_other_states_are_refused(target: Hash32, status: ResponseStatus) -> None:
    assert ask(target) == Refusal(status)


def test_a_node_without_state_says_so() -> None:
    assert ask(states().at(24), chain=states().light()) == Refusal(ResponseStatus.STATE_NOT_STORED)


def test_a_node_that_took_over_a_batch_has_the_state_at_its_end() -> None:
    chain = states().adopted()
    assert isinstance(ask(states().at(24), chain=chain), TrieProofResponse)
    assert ask(states().at(23), chain=chain) == Refusal(ResponseStatus.PRUNED)
