"""What each profile keeps, fetches and offers, and that it answers what it offers."""

from functools import cache

import pytest

from node.chain.chain import Chain
from node.chain.retention import Retention
from node.profiles import MacroSyncKind, Profile
from node.serve.block import serve_block
from node.serve.macro_chain import serve_macro_chain
from node.serve.transactions_proof import serve_transactions_proof
from node.serve.trie_proof import serve_trie_proof
from protocols.messages.block import BlockRequest
from protocols.messages.macro_chain import MacroChainRequest
from protocols.messages.transactions_proof import TransactionsProofRequest
from protocols.messages.trie_proof import TrieProofRequest
from protocols.status import Refusal
from protocols.types import Address, Service
from tests.build.blocks import transaction
from tests.build.chain import ChainBuilder, open_chain
from tests.build.keys import SMALL_POLICY

BASE = Service.HEADERS | Service.MACRO_CHAIN
TABLE = {
    Profile.HISTORY: (
        Retention.ALL,
        MacroSyncKind.HISTORY,
        BASE | Service.BODIES | Service.STATE | Service.HISTORY,
    ),
    Profile.FULL: (Retention.WINDOW, MacroSyncKind.STATE, BASE | Service.BODIES | Service.STATE),
    Profile.LIGHT: (Retention.BATCH, MacroSyncKind.LIGHT, BASE),
    Profile.PICO: (Retention.BATCH, MacroSyncKind.PICO, Service.HEADERS),
}
SPENT = transaction(nonce=1, validity_start=1)


@cache
def branch() -> ChainBuilder:
    """Return an epoch and two blocks; the first block of its last batch has a payment."""
    builder = ChainBuilder()
    builder.extend(SMALL_POLICY.epoch_length - 4)
    builder.extend(6, [[SPENT]])
    return builder


def chain_of(profile: Profile) -> Chain:
    """Return that chain as a node of a profile keeps it."""
    traits = profile.traits
    chain = open_chain(branch().genesis, retention=traits.retention, keeps_state=traits.keeps_state)
    chain.push(branch().blocks)
    assert chain.head.hash == branch().head.hash
    return chain


@pytest.mark.parametrize("profile", Profile)
def test_table(profile: Profile) -> None:
    traits = profile.traits
    assert (traits.retention, traits.macro_sync, traits.services) == TABLE[profile]
    has_state = profile in {Profile.HISTORY, Profile.FULL}
    assert {traits.keeps_state, traits.include_body, traits.may_validate} == {has_state}


@pytest.mark.parametrize("profile", Profile)
def test_what_is_offered_is_answered_and_nothing_else(profile: Profile) -> None:
    chain, head = chain_of(profile), branch().head.hash
    answers = {
        Service.BODIES: serve_block(BlockRequest(hash=head, with_body=True), chain),
        Service.STATE: serve_trie_proof(
            TrieProofRequest(target=head, addresses=(Address(bytes(20)),)), chain
        ),
        Service.HISTORY: serve_transactions_proof(
            TransactionsProofRequest(transactions=(SPENT.hash,)), chain
        ),
    }
    answered = {each for each, answer in answers.items() if not isinstance(answer, Refusal)}
    assert answered == {each for each in answers if each in profile.traits.services}
    header = serve_block(BlockRequest(hash=head, with_body=False), chain)
    assert not isinstance(header, Refusal)
    if Service.MACRO_CHAIN in profile.traits.services:
        request = MacroChainRequest(locators=(chain.genesis,))
        assert not isinstance(serve_macro_chain(request, chain), Refusal)
