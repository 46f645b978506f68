"""Trie-diffs requests: what is sent is what the headers of the blocks commit to."""

from dataclasses import replace

import pytest

from node.accounts.diff import DIFF_DOMAIN, decode_changes
from node.chain.chain import Chain
from node.chain.retention import STATE_BATCHES, Retention
from node.crypto.hashes import hash32
from node.policy import Policy
from node.serve.trie_diffs import serve_trie_diffs
from protocols.messages.trie_diffs import MAX_DIFFS, TrieDiffsRequest, TrieDiffsResponse
from protocols.status import Refusal, ResponseStatus
from protocols.types import Hash32
from tests.build.blocks import digest
from tests.build.chain import ChainBuilder, open_chain
from tests.build.keys import SMALL_POLICY, genesis
from tests.node.serve.states import LENGTH, OLDEST, states


def ask(
    first: int, target: Hash32, chain: Chain | None = None, max_bytes: int = 100_000
) -> TrieDiffsResponse | Refusal:
    request = TrieDiffsRequest(first=first, target=target)
    return serve_trie_diffs(request, chain or states().chain, max_bytes=max_bytes)


@pytest.mark.parametrize(
    ("first", "last"), [(OLDEST + 1, LENGTH), (20, 20), (12, 25), (LENGTH, LENGTH)]
)
def test_changes_lead_from_one_state_to_the_next(first: int, last: int) -> None:
    response = ask(first, states().at(last))
    assert isinstance(response, TrieDiffsResponse)
    assert len(response.changes) == last - first + 1
    assert TrieDiffsResponse.decode(response.encode()) == response
    state = dict(states().accounts[first - 1])
    for height, changes in enumerate(response.changes, first):
        assert hash32(DIFF_DOMAIN + changes) == states().header(height).diff_root
        for address, value in decode_changes(changes).items():
            if value is None:
                del state[address]
            else:
                state[address] = value
        assert state == states().accounts[height]


def test_an_answer_that_would_be_too_large_ends_early() -> None:
    whole = ask(OLDEST + 1, states().at(LENGTH))
    assert isinstance(whole, TrieDiffsResponse)
    size = len(whole.encode())
    for max_bytes in (1, size // 2, size - 1):
        response = ask(OLDEST + 1, states().at(LENGTH), max_bytes=max_bytes)
        assert isinstance(response, TrieDiffsResponse)
        count = len(response.changes)
        assert response.changes == whole.changes[:count]
        assert count == 1 or len(response.encode()) <= max_bytes
        assert count < len(whole.changes)


def test_an_answer_has_at_most_so_many_blocks() -> None:
    policy = Policy(batch_length=40, batches_per_epoch=2, slots=4, validity_window_batches=2)
    builder = ChainBuilder(genesis(policy=policy))
    builder.extend(MAX_DIFFS + 2)
    whole = ask(2, builder.block_at(MAX_DIFFS + 1).hash, builder.chain)
    cut = ask(1, builder.head.hash, builder.chain)
    assert isinstance(whole, TrieDiffsResponse)
    assert isinstance(cut, TrieDiffsResponse)
    assert len(whole.changes) == len(cut.changes) == MAX_DIFFS
    assert cut.changes[1:] == whole.changes[:-1]


@pytest.mark.parametrize(
    ("first", "target", "status"),
    [
        (OLDEST, states().at(LENGTH), ResponseStatus.PRUNED),
        (0, states().at(LENGTH), ResponseStatus.PRUNED),
        (LENGTH + 1, states().at(LENGTH), ResponseStatus.OUT_OF_RANGE),
        (2**32 - 1, states().at(LENGTH), ResponseStatus.OUT_OF_RANGE),
        (20, digest("unknown"), ResponseStatus.TARGET_NOT_FOUND),
        (20, states().fork.hash, ResponseStatus.TARGET_NOT_ON_MAIN_CHAIN),
    ],
)
def test_what_cannot_be_answered(first: int, target: Hash32, status: ResponseStatus) -> None:
    assert ask(first, target) == Refusal(status)


def test_changes_go_further_back_than_blocks() -> None:
    """Whoever was away for longer than a window knows the headers, and needs only these."""
    policy = replace(SMALL_POLICY, validity_window_batches=1)
    builder = ChainBuilder(genesis(policy=policy))
    builder.extend(30)
    chain = open_chain(builder.genesis, retention=Retention.WINDOW)
    builder.push_all(chain)
    oldest = 28 - STATE_BATCHES * policy.batch_length
    assert chain.hash_at(oldest + 1) is None
    response = ask(oldest + 1, builder.head.hash, chain)
    assert isinstance(response, TrieDiffsResponse)
    assert len(response.changes) == 30 - oldest
    assert ask(oldest, builder.head.hash, chain) == Refusal(ResponseStatus.PRUNED)


def test_a_node_without_state_says_so() -> None:
    light = states().light()
    assert ask(20, states().at(24), light) == Refusal(ResponseStatus.STATE_NOT_STORED)
