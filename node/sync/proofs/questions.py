"""What a user asks of a node that does not have it, and how a peer proves the answer."""

from dataclasses import dataclass
from typing import ClassVar, Final, Protocol, TypeVar

from node.accounts.account import Account
from node.accounts.key_proof import verify_keys
from node.accounts.transaction import Transaction
from node.blocks.body import Body
from node.blocks.header import Header, MacroHeader
from node.chain.transactions_proof import verify_transactions_proof
from node.chain.view import ChainView
from node.crypto.bls import KeyCache
from node.errors import Fault
from node.sync.proofs.block_proofs import fetch_block, prove_height
from node.sync.proofs.dialogue import Dialogue, Query, RefusedError, RefutedError, served
from protocols.ids import RequestProtocol
from protocols.messages.transactions_proof import (
    TransactionsProofRequest,
    TransactionsProofResponse,
)
from protocols.messages.trie_proof import TrieProofRequest, TrieProofResponse
from protocols.status import Refusal, ResponseStatus
from protocols.types import Address, Hash32, Height, Service

AnswerT_co = TypeVar("AnswerT_co", covariant=True)


class Question(Protocol[AnswerT_co]):
    """One question. `ask` is called anew for each peer."""

    subject: ClassVar[str]
    """What peers must prove, for people."""
    services: ClassVar[tuple[Service, ...]]
    """Peers with the first one are asked first. Those with none of them are not asked."""

    def ask(self, chain: ChainView, keys: KeyCache) -> Dialogue[AnswerT_co]:
        """Begin to ask one peer.

        Args:
            chain: Ours; what it has is final and true.
            keys: Decoded voting keys.
        """
        ...


@dataclass(frozen=True, slots=True)
class ProvenAccount:
    """An account as of a macro block."""

    account: Account
    proven_by: MacroHeader
    """A final block of ours, with the state root."""


@dataclass(frozen=True, slots=True)
class ProvenTransaction:
    """A final transaction."""

    transaction: Transaction
    proven_by: MacroHeader
    """With the history root. It or an older block of its epoch holds the transaction."""


@dataclass(frozen=True, slots=True)
class ProvenBlock:
    """A final block. Who has signed it is not proven: the macro block above covers its header."""

    header: Header
    body: Body | None
    """Where it was asked for."""
    proven_by: Header
    """A final block of ours that leads to it."""


@dataclass(frozen=True, slots=True)
class AccountQuestion:
    """What an address owns at our macro head."""

    subject: ClassVar[str] = "accounts"
    services: ClassVar[tuple[Service, ...]] = (Service.STATE,)

    address: Address

    def ask(self, chain: ChainView, keys: KeyCache) -> Dialogue[ProvenAccount]:  # noqa: ARG002
        """Ask for a proof of the account, present or absent."""
        target = chain.macro_head
        response = yield from self._ask_at(target)
        if response == Refusal(ResponseStatus.TARGET_NOT_FOUND):
            # A macro block is often here before it is executed there.
            before = _macro_before(chain, target)
            if before is not None:
                target = before
                response = yield from self._ask_at(target)
        values = verify_keys(target.state_root, (self.address,), served(response).proof)
        if values is None:
            raise RefutedError(Fault.INVALID_BLOCK)
        value = values[self.address]
        return ProvenAccount(Account(0) if value is None else Account.decode(value), target)

    def _ask_at(self, target: MacroHeader) -> Dialogue[TrieProofResponse | Refusal]:
        request = TrieProofRequest(target=target.hash, addresses=(self.address,))
        payload = yield Query(RequestProtocol.TRIE_PROOF, request.encode())
        return TrieProofResponse.decode(payload)


@dataclass(frozen=True, slots=True)
class TransactionQuestion:
    """A final transaction, of any epoch up to ours."""

    subject: ClassVar[str] = "transactions"
    services: ClassVar[tuple[Service, ...]] = (Service.HISTORY, Service.BODIES)

    transaction: Hash32

    def ask(self, chain: ChainView, keys: KeyCache) -> Dialogue[ProvenTransaction]:
        """Ask for a proof against our macro head, then against what ends an older epoch."""
        response = yield from self._ask_at(chain.macro_head.hash)
        if response in _IN_ANOTHER_EPOCH:
            response = yield from self._ask_at(None)
        proof = served(response)
        verifier = yield from _final_macro(chain, keys, proof.verifier)
        found = verify_transactions_proof(proof, (self.transaction,), verifier)
        if found is None:
            raise RefutedError(Fault.INVALID_BLOCK)
        return ProvenTransaction(found[self.transaction], verifier)

    def _ask_at(self, verifier: Hash32 | None) -> Dialogue[TransactionsProofResponse | Refusal]:
        request = TransactionsProofRequest(transactions=(self.transaction,), verifier=verifier)
        payload = yield Query(RequestProtocol.TRANSACTIONS_PROOF, request.encode())
        response = TransactionsProofResponse.decode(payload)
        if isinstance(response, Refusal) or verifier in {None, response.verifier}:
            return response
        raise RefutedError(Fault.UNSOLICITED)


@dataclass(frozen=True, slots=True)
class BlockQuestion:
    """The block of our chain at a final height."""

    subject: ClassVar[str] = "old blocks"
    services: ClassVar[tuple[Service, ...]] = (Service.HISTORY, Service.BODIES)

    number: Height
    with_body: bool

    def ask(self, chain: ChainView, keys: KeyCache) -> Dialogue[ProvenBlock]:
        """Ask for a proof of the header, then for the body that it names."""
        header, election = yield from prove_height(chain, keys, self.number)
        body = (yield from _fetch_body(header)) if self.with_body else None
        return ProvenBlock(header, body, election)


@dataclass(frozen=True, slots=True)
class BlockHashQuestion:
    """A final block of our chain by its hash."""

    subject: ClassVar[str] = "old blocks"
    services: ClassVar[tuple[Service, ...]] = (Service.HISTORY, Service.BODIES)

    block: Hash32
    with_body: bool

    def ask(self, chain: ChainView, keys: KeyCache) -> Dialogue[ProvenBlock]:
        """Ask which height it has, for a proof of what is there, then for the body."""
        found = yield from fetch_block(self.block, with_body=False)
        header, election = yield from prove_height(chain, keys, found.number)
        if header.hash != self.block:
            # The peer keeps forks too, and did not say that it is on the main chain.
            raise RefusedError(ResponseStatus.TARGET_NOT_ON_MAIN_CHAIN)
        body = (yield from _fetch_body(header)) if self.with_body else None
        return ProvenBlock(header, body, election)


@dataclass(frozen=True, slots=True)
class BodyQuestion:
    """The body of a block whose header is ours."""

    subject: ClassVar[str] = "bodies"
    services: ClassVar[tuple[Service, ...]] = (Service.HISTORY, Service.BODIES)

    header: Header

    def ask(self, chain: ChainView, keys: KeyCache) -> Dialogue[ProvenBlock]:  # noqa: ARG002
        """Ask for the body that the header names."""
        body = yield from _fetch_body(self.header)
        return ProvenBlock(self.header, body, self.header)


_IN_ANOTHER_EPOCH: Final = (
    Refusal(ResponseStatus.OUT_OF_RANGE),
    # A peer that does not have our macro head yet may have what ends older epochs.
    Refusal(ResponseStatus.NOT_A_MACRO_BLOCK),
)


def _fetch_body(header: Header) -> Dialogue[Body]:
    found = yield from fetch_block(header.hash, with_body=True)
    assert found.body is not None
    if found.body.root != header.body_root:
        raise RefutedError(Fault.INVALID_BLOCK)
    return found.body


def _final_macro(chain: ChainView, keys: KeyCache, block: Hash32) -> Dialogue[MacroHeader]:
    """Find the header of a macro block that the peer says is on our chain, or have it proven."""
    header = chain.header(block) if chain.is_on_main_chain(block) else None
    if header is None:
        header = (yield from fetch_block(block, with_body=False)).header
        proven, _ = yield from prove_height(chain, keys, header.number)
        if proven.hash != block:
            raise RefutedError(Fault.FALSE_CLAIM)
    if not isinstance(header, MacroHeader):
        raise RefutedError(Fault.FALSE_CLAIM)
    return header


def _macro_before(chain: ChainView, macro: MacroHeader) -> MacroHeader | None:
    if macro.number == 0:
        return None
    block = chain.hash_at(chain.policy.macro_before(macro.number))
    header = None if block is None else chain.header(block)
    return header if isinstance(header, MacroHeader) else None
