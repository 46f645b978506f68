"""What light and pico nodes get proven by honest peers, and what lies they notice."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest

from node.accounts.transaction import Transaction
from node.blocks.body import MicroBody
from node.blocks.header import MacroHeader
from node.chain.chain import Chain
from node.errors import Fault
from node.serve.block import serve_block
from node.serve.blocks_proof import serve_blocks_proof
from node.serve.transactions_proof import serve_transactions_proof
from node.serve.trie_proof import serve_trie_proof
from node.sync.effects import ReportPeer
from node.sync.proofs import block_proofs
from node.sync.proofs.dialogue import Query
from node.sync.proofs.questions import (
    AccountQuestion,
    BlockHashQuestion,
    BlockQuestion,
    BodyQuestion,
    ProvenBlock,
    Question,
    TransactionQuestion,
)
from node.sync.proofs.search import Proven, Unproven
from protocols.ids import RequestProtocol
from protocols.messages.block import BlockRequest, BlockResponse
from protocols.messages.blocks_proof import BlocksProofRequest
from protocols.messages.transactions_proof import (
    TransactionsProofRequest,
    TransactionsProofResponse,
)
from protocols.messages.trie_proof import TrieProofRequest
from protocols.status import Refusal, ResponseStatus
from protocols.types import Address, Hash32, Height, PeerId
from tests.build.blocks import digest
from tests.build.chain import ChainBuilder, light_chain
from tests.build.keys import address
from tests.build.proofs import Prover, Searching, honest, lying, silent
from tests.node.serve.chains import epochs

ABSENT = Address(b"\x33" * 20)
TRIE, TRANSACTIONS = RequestProtocol.TRIE_PROOF, RequestProtocol.TRANSACTIONS_PROOF
BLOCKS, BLOCK = RequestProtocol.BLOCKS_PROOF, RequestProtocol.BLOCK


@cache
def pico() -> Chain:
    """Return a node that started at block 24 on trust: macro head 28, head 30."""
    known = epochs().builder
    chain = light_chain(known.genesis)
    macros = [known.block_at(height).without_body() for height in (24, 28)]
    chain.adopt_macro_blocks(macros, is_trusted=True)
    chain.push([known.block_at(height).without_body() for height in (29, 30)])
    assert (chain.macro_head.number, chain.head.number) == (28, 30)
    assert chain.hash_at(12) is None
    return chain


@cache
def light() -> Chain:
    return epochs().light()


def header_at(height: Height) -> MacroHeader:
    header = epochs().builder.block_at(height).header
    assert isinstance(header, MacroHeader)
    return header


def leaf(epoch: int, index: int) -> Transaction:
    return Transaction.decode(epochs().transactions(epoch)[index])


def balance_at(height: Height, owner: Address) -> int:
    """Return what the chain had at a height."""
    chain = epochs().builder.fork_from(epochs().at(height)).chain
    return chain.account(owner).balance


Lie = Callable[[bytes], bytes]
OpenChain = Callable[[], Chain]

nodes = pytest.mark.parametrize("chain", [light, pico])


@nodes
def test_accounts_are_proven_at_the_macro_head(chain: OpenChain) -> None:
    for owner in (address(0), address(2), ABSENT):
        search = Searching(chain(), {"full": honest(epochs().chain)})
        proven = search.prove(AccountQuestion(owner))
        assert isinstance(proven, Proven)
        assert proven.peer == "full"
        assert proven.answer.proven_by == header_at(28)
        assert proven.answer.account.balance == balance_at(28, owner)
        assert search.reports == []
    assert balance_at(28, address(0)) != balance_at(24, address(0))


def test_a_peer_that_is_a_batch_behind_proves_at_the_macro_block_before() -> None:
    behind = epochs().builder.fork_from(epochs().at(27)).chain
    proven = Searching(light(), {"behind": honest(behind)}).prove(AccountQuestion(address(1)))
    assert isinstance(proven, Proven)
    assert proven.answer.proven_by == header_at(24)
    assert proven.answer.account.balance == balance_at(24, address(1))


@nodes
@pytest.mark.parametrize(
    ("epoch", "index", "verifier"), [(1, 0, 12), (1, 6, 12), (2, 16, 24), (3, 0, 28), (3, 1, 28)]
)
def test_transactions_are_proven(chain: OpenChain, epoch: int, index: int, verifier: int) -> None:
    """A pico does not know block 12, and has it proven by the peer that names it."""
    wanted = leaf(epoch, index)
    search = Searching(chain(), {"full": honest(epochs().chain)})
    proven = search.prove(TransactionQuestion(wanted.hash))
    assert isinstance(proven, Proven)
    assert proven.answer.transaction == wanted
    assert proven.answer.proven_by == header_at(verifier)


@nodes
@pytest.mark.parametrize("number", [1, 2, 4, 11, 12, 13, 14, 23, 25, 27])
@pytest.mark.parametrize("with_body", [False, True])
def test_old_blocks_are_proven(chain: OpenChain, number: Height, with_body: bool) -> None:
    block = epochs().builder.block_at(number)
    search = Searching(chain(), {"full": honest(epochs().chain)})
    by_number = search.prove(BlockQuestion(number, with_body))
    by_hash = search.prove(BlockHashQuestion(block.hash, with_body))
    assert isinstance(by_number, Proven)
    assert by_number.answer.header == block.header
    assert by_number.answer.body == (block.body if with_body else None)
    assert by_hash == by_number
    assert search.reports == []


def test_the_nearest_election_block_of_ours_is_named() -> None:
    for chain, expected in ((light(), 12), (pico(), 24)):
        proven = Searching(chain, {"full": honest(epochs().chain)}).prove(BlockQuestion(14, False))
        assert isinstance(proven, Proven)
        assert proven.answer.proven_by == header_at(expected)


def test_many_epochs_are_proven_in_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two elections fit into a proof here: epoch by epoch down to the one of the block."""
    monkeypatch.setattr(block_proofs, "MAX_ELECTIONS", 2)
    long = ChainBuilder()
    long.extend(5 * 12 + 4)
    chain = light_chain(long.genesis)
    macros = [long.block_at(height).without_body() for height in (60, 64)]
    chain.adopt_macro_blocks(macros, is_trusted=True)
    search = Searching(chain, {"full": honest(long.chain)})
    proven = search.prove(BlockQuestion(14, False))
    assert isinstance(proven, Proven)
    assert proven.answer == ProvenBlock(long.block_at(14).header, None, long.block_at(60).header)
    assert [protocol for _, protocol in search.asked] == [BLOCKS] * 3


def test_a_body_of_a_header_that_is_known() -> None:
    block = epochs().builder.block_at(29)
    search = Searching(light(), {"full": honest(epochs().chain)})
    proven = search.prove(BodyQuestion(block.header))
    assert proven == Proven(PeerId("full"), ProvenBlock(block.header, block.body, block.header))


def old_account(payload: bytes) -> bytes:
    """Prove what the account was a batch ago."""
    request = TrieProofRequest.decode(payload)
    return serve_trie_proof(replace(request, target=epochs().at(24)), epochs().chain).encode()


def other_value(payload: bytes) -> bytes:
    """Change one coin in a true proof."""
    truth = serve_trie_proof(TrieProofRequest.decode(payload), epochs().chain).encode()
    balance = balance_at(28, address(1))
    changed = truth.replace(balance.to_bytes(8, "big"), (balance + 1).to_bytes(8, "big"))
    assert changed != truth
    return changed


def other_transaction(payload: bytes) -> bytes:
    """Prove another transaction of the same epoch."""
    request = TransactionsProofRequest.decode(payload)
    request = replace(request, transactions=(leaf(1, 1).hash,), verifier=None)
    return serve_transactions_proof(request, epochs().chain).encode()


def other_leaf(payload: bytes) -> bytes:
    """Put another transaction of the sender's into a true proof."""
    request = replace(TransactionsProofRequest.decode(payload), verifier=None)
    truth = serve_transactions_proof(request, epochs().chain)
    assert isinstance(truth, TransactionsProofResponse)
    (proven,) = truth.transactions
    forged = replace(Transaction.decode(proven.transaction), value=999_999)
    lie = replace(proven, transaction=forged.encode())
    return replace(truth, transactions=(lie,)).encode()


@cache
def forked() -> ChainBuilder:
    """Return a chain whose macro blocks are signed, and not ours: what a stolen quorum makes."""
    fork = epochs().builder.fork_from(epochs().at(11))
    fork.extend(19)
    return fork


def verifier_of_a_fork(payload: bytes) -> bytes:
    """Prove against an election block that is on no chain of ours."""
    request = TransactionsProofRequest.decode(payload)
    return serve_transactions_proof(replace(request, verifier=None), forked().chain).encode()


def micro_verifier(payload: bytes) -> bytes:
    request = replace(TransactionsProofRequest.decode(payload), verifier=None)
    truth = serve_transactions_proof(request, epochs().chain)
    assert isinstance(truth, TransactionsProofResponse)
    return replace(truth, verifier=epochs().at(29)).encode()


def other_block(payload: bytes) -> bytes:
    """Prove the block above."""
    request = BlocksProofRequest.decode(payload)
    numbers = tuple(number + 1 for number in request.numbers)
    return serve_blocks_proof(replace(request, numbers=numbers), epochs().chain).encode()


def block_of_a_fork(payload: bytes) -> bytes:
    """Prove the block of another chain that has the same validators."""
    request = BlocksProofRequest.decode(payload)
    of_fork = replace(request, election_head=forked().block_at(24).hash)
    return serve_blocks_proof(of_fork, forked().chain).encode()


def other_body(payload: bytes) -> bytes:
    """Send the right header with the body of another block."""
    request = BlockRequest.decode(payload)
    truth = epochs().chain.block(request.hash, with_body=True)
    assert truth is not None
    body = epochs().builder.block_at(13).body if request.with_body else None
    return BlockResponse(block=replace(truth, body=body).encode()).encode()


def another_block(_payload: bytes) -> bytes:
    other = BlockRequest(hash=epochs().at(13), with_body=True)
    return serve_block(other, epochs().chain).encode()


def no_body(payload: bytes) -> bytes:
    """Leave out the body that was asked for."""
    request = replace(BlockRequest.decode(payload), with_body=False)
    return serve_block(request, epochs().chain).encode()


def unwanted_body(payload: bytes) -> bytes:
    """Send a body that was not asked for."""
    request = replace(BlockRequest.decode(payload), with_body=True)
    return serve_block(request, epochs().chain).encode()


def junk(_payload: bytes) -> bytes:
    return b"\xc1junk"


OWNER, OLD = AccountQuestion(address(1)), BlockQuestion(14, True)
TRANSFER = TransactionQuestion(leaf(1, 0).hash)

LIES = [
    (OWNER, TRIE, old_account, Fault.INVALID_BLOCK),
    (OWNER, TRIE, other_value, Fault.INVALID_BLOCK),
    (OWNER, TRIE, junk, Fault.MALFORMED),
    (TRANSFER, TRANSACTIONS, other_transaction, Fault.UNSOLICITED),
    (TRANSFER, TRANSACTIONS, other_leaf, Fault.UNSOLICITED),
    (TRANSFER, TRANSACTIONS, junk, Fault.MALFORMED),
    (OLD, BLOCKS, other_block, Fault.INVALID_BLOCK),
    (OLD, BLOCKS, block_of_a_fork, Fault.INVALID_BLOCK),
    (OLD, BLOCKS, junk, Fault.MALFORMED),
    (OLD, BLOCK, other_body, Fault.INVALID_BLOCK),
    (OLD, BLOCK, another_block, Fault.UNSOLICITED),
    (OLD, BLOCK, no_body, Fault.UNSOLICITED),
    (BlockHashQuestion(epochs().at(14), False), BLOCK, unwanted_body, Fault.UNSOLICITED),
]


@nodes
@pytest.mark.parametrize(("question", "protocol", "lie", "fault"), LIES)
def test_a_liar_is_blamed_and_the_next_peer_is_believed(
    chain: OpenChain,
    question: Question[object],
    protocol: RequestProtocol,
    lie: Lie,
    fault: Fault,
) -> None:
    truth = honest(epochs().chain)
    true = Searching(chain(), {"honest": truth}).prove(question)
    assert isinstance(true, Proven)
    liar = lying(epochs().chain, protocol, lie)
    search = Searching(chain(), {"liar": liar, "honest": truth})
    assert search.prove(question) == true
    assert search.reports == [ReportPeer(PeerId("liar"), fault)]
    alone = Searching(chain(), {"liar": liar}).prove(question)
    assert isinstance(alone, Unproven)


def after_refusal(lie: Lie) -> Prover:
    """Return a peer that lies when it may choose the verifier, and has blocks of a fork too."""
    truth = honest(epochs().chain)

    def prove(query: Query) -> bytes | None:
        if query.protocol is BLOCK:
            return honest(forked().chain)(query)
        is_asked_again = (
            query.protocol is TRANSACTIONS
            and TransactionsProofRequest.decode(query.payload).verifier is None
        )
        return lie(query.payload) if is_asked_again else truth(query)

    return prove


@pytest.mark.parametrize(
    ("lie", "fault"),
    [
        (other_transaction, Fault.INVALID_BLOCK),
        (other_leaf, Fault.INVALID_BLOCK),
        (verifier_of_a_fork, Fault.FALSE_CLAIM),
        (micro_verifier, Fault.FALSE_CLAIM),
    ],
)
def test_lies_about_older_epochs(lie: Lie, fault: Fault) -> None:
    """The peer says first that the transaction is not in the epoch of our macro head."""
    wanted = leaf(1, 0)
    search = Searching(light(), {"liar": after_refusal(lie), "full": honest(epochs().chain)})
    proven = search.prove(TransactionQuestion(wanted.hash))
    assert isinstance(proven, Proven)
    assert (proven.peer, proven.answer.transaction) == ("full", wanted)
    assert search.reports == [ReportPeer(PeerId("liar"), fault)]


def test_blocks_that_are_not_final_or_not_ours_are_not_proven() -> None:
    full = honest(forked().chain)
    fork = forked().block_at(25).hash
    for question in (
        BlockQuestion(29, False),
        BlockHashQuestion(epochs().at(29), False),
        BlockHashQuestion(epochs().builder.genesis.hash, False),
    ):
        search = Searching(light(), {"full": honest(epochs().chain)})
        out_of_range = Unproven("old blocks", ("out of range",))
        assert search.prove(question) == out_of_range
        assert search.reports == []
        assert BLOCKS not in {protocol for _, protocol in search.asked}
    # A peer on another chain does not know our election block.
    found = Searching(pico(), {"other": full}).prove(BlockHashQuestion(fork, False))
    assert found == Unproven("old blocks", ("not a macro block",))


def test_a_block_of_a_fork_is_not_on_our_chain() -> None:
    def prove(query: Query) -> bytes | None:
        return honest(forked().chain if query.protocol is BLOCK else epochs().chain)(query)

    search = Searching(light(), {"full": prove})
    found = search.prove(BlockHashQuestion(forked().block_at(14).hash, False))
    assert found == Unproven("old blocks", ("target not on main chain",))
    assert search.reports == []


def test_refusals_and_silence_cost_nothing() -> None:
    behind = honest(epochs().builder.fork_from(epochs().at(9)).chain)
    search = Searching(pico(), {"silent": silent, "light": honest(light()), "behind": behind})
    unproven = search.prove(AccountQuestion(address(0)))
    assert unproven == Unproven("accounts", ("no answer", "state not stored", "target not found"))
    assert search.reports == []


def refusing(status: ResponseStatus) -> Prover:
    return lambda _query: Refusal(status).encode()


def test_without_a_macro_block_before_there_is_nothing_else_to_ask() -> None:
    """At genesis, and for a pico that has only just taken its first macro block."""
    known = epochs().builder
    fresh, jumped = light_chain(known.genesis), light_chain(known.genesis)
    jumped.adopt_macro_blocks([known.block_at(24).without_body()], is_trusted=True)
    for chain in (fresh, jumped):
        search = Searching(chain, {"behind": refusing(ResponseStatus.TARGET_NOT_FOUND)})
        assert search.prove(OWNER) == Unproven("accounts", ("target not found",))
        assert search.asked == [("behind", TRIE)]


def test_unknown_transactions() -> None:
    unproven = Searching(light(), {"full": honest(epochs().chain)}).prove(
        TransactionQuestion(Hash32(digest("unknown")))
    )
    assert isinstance(unproven, Unproven)
    assert unproven.is_unknown


def test_transactions_above_our_macro_head_wait_for_it() -> None:
    """A peer that is an epoch ahead proves it by a block that we cannot judge yet."""
    start = light_chain(epochs().builder.genesis)
    search = Searching(start, {"full": honest(epochs().chain)})
    found = search.prove(TransactionQuestion(leaf(2, 0).hash))
    assert found == Unproven("transactions", ("out of range",))
    assert search.reports == []


def test_bodies_of_transfers_are_whole() -> None:
    proven = Searching(light(), {"full": honest(epochs().chain)}).prove(BlockQuestion(13, True))
    assert isinstance(proven, Proven)
    assert isinstance(proven.answer.body, MicroBody)
    assert len(proven.answer.body.transactions) == 5
