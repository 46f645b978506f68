"""Methods that a node answers from its store, or else from what a peer proves to it."""

from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from node.blocks.block import Block
from node.blocks.header import Header
from node.chain.stored_transaction import stored_transaction
from node.errors import NoStateError
from node.rpc.block_json import block_json, proven_block_json, transaction_json
from node.rpc.json_rpc import NOT_FOUND, UNPROVEN, CallError
from node.rpc.params import ParamReader
from node.rpc.view import NodeView
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
from protocols.types import ADDRESS_BYTES, HASH_BYTES, Address, Hash32, PeerId

MAX_HEIGHT: Final = 0xFFFF_FFFF

AnswerT = TypeVar("AnswerT")


@dataclass(frozen=True, slots=True)
class Found:
    """A result that a peer has proven, and against which block of ours."""

    data: Any
    proven_by: Header
    peer: PeerId

    def metadata(self) -> dict[str, Any]:
        """Return what the result's metadata say of it."""
        block = self.proven_by
        return {"proof": {"block": block.hash.hex(), "number": block.number, "peer": self.peer}}


async def account_by_address(view: NodeView, params: ParamReader) -> Any:
    """Answer with an account: at the head, or at a macro block if it is proven.

    A node that has not got its state yet has peers prove accounts, as one does that keeps none.
    """
    address = Address(params.exactly("address", ADDRESS_BYTES))
    name = f"account {address.hex()}"
    if view.chain.has_state:
        with suppress(NoStateError):
            return _account_json(address, view.chain.account(address).balance)
    if view.chain.keeps_state:
        # What it has of the state may be of any block, and in parts.
        name += ", while this node fetches its state"
    proven = await _prove(view, AccountQuestion(address), name)
    account, block = proven.answer.account, proven.answer.proven_by
    return Found(_account_json(address, account.balance), block, proven.peer)


async def transaction_by_hash(view: NodeView, params: ParamReader) -> Any:
    """Answer with a transaction of the main chain; a proven one does not tell its block."""
    wanted = Hash32(params.exactly("hash", HASH_BYTES))
    with view.chain.snapshot() as snapshot:
        stored = stored_transaction(snapshot.reader, wanted)
    if stored is not None:
        return {**transaction_json(stored.transaction), "blockNumber": stored.height}
    name = f"transaction {wanted.hex()}"
    if view.chain.keeps_history:
        raise CallError(NOT_FOUND, f"no {name}")
    proven = await _prove(view, TransactionQuestion(wanted), name)
    content = {**transaction_json(proven.answer.transaction), "blockNumber": None}
    return Found(content, proven.answer.proven_by, proven.peer)


async def block_by_number(view: NodeView, params: ParamReader) -> Any:
    """Answer with the main chain's block at a height."""
    number = params.uint("blockNumber", maximum=MAX_HEIGHT)
    with_body = params.flag("includeBody", default=False)
    may_ask = params.flag("askPeers", default=True)
    chain = view.chain
    found = chain.hash_at(number)
    if found is not None:
        return await _known_block(view, found, with_body=with_body, may_ask=may_ask)
    if number > chain.macro_head.number:
        raise CallError(NOT_FOUND, f"no block {number}; the head is {chain.head.number}")
    if not may_ask:
        raise CallError(NOT_FOUND, f"this node does not keep block {number}")
    proven = await _prove(view, BlockQuestion(number, with_body), f"block {number}")
    return _proven_block(view, proven)


async def block_by_hash(view: NodeView, params: ParamReader) -> Any:
    """Answer with a block, on the main chain or on a fork that is stored."""
    wanted = Hash32(params.exactly("hash", HASH_BYTES))
    with_body = params.flag("includeBody", default=False)
    may_ask = params.flag("askPeers", default=True)
    if view.chain.contains(wanted):
        return await _known_block(view, wanted, with_body=with_body, may_ask=may_ask)
    if not may_ask or view.chain.keeps_history:
        raise CallError(NOT_FOUND, f"no block {wanted.hex()}")
    question = BlockHashQuestion(wanted, with_body)
    return _proven_block(view, await _prove(view, question, f"block {wanted.hex()}"))


async def latest_block(view: NodeView, params: ParamReader) -> Any:
    """Answer with the head, as it is stored."""
    with_body = params.flag("includeBody", default=False)
    return await _known_block(view, view.chain.head.hash, with_body=with_body, may_ask=False)


async def _known_block(
    view: NodeView, wanted: Hash32, *, with_body: bool, may_ask: bool
) -> dict[str, Any] | Found:
    block: Block | None = view.chain.block(wanted, with_body=with_body)
    if block is not None:
        return block_json(block, view.chain.policy)
    known = view.chain.block(wanted, with_body=False)
    if known is None:
        raise CallError(NOT_FOUND, f"no block {wanted.hex()}")
    if not may_ask:
        raise CallError(NOT_FOUND, "this node does not keep the body of that block")
    proven = await _prove(view, BodyQuestion(known.header), f"body of block {known.number}")
    whole = Block(known.header, known.justification, proven.answer.body)
    return Found(block_json(whole, view.chain.policy), proven.answer.proven_by, proven.peer)


def _proven_block(view: NodeView, proven: Proven[ProvenBlock]) -> Found:
    answer = proven.answer
    content = proven_block_json(answer.header, answer.body, view.chain.policy)
    return Found(content, answer.proven_by, proven.peer)


async def _prove(view: NodeView, question: Question[AnswerT], name: str) -> Proven[AnswerT]:
    match await view.prove(question):
        case Unproven() as unproven if unproven.is_unknown:
            raise CallError(NOT_FOUND, f"{name}: no peer that was asked knows it")
        case Unproven() as unproven:
            raise CallError(UNPROVEN, f"{name}: {unproven.reason}")
        case Proven() as proven:
            return proven


def _account_json(address: Address, balance: int) -> dict[str, Any]:
    return {"address": address.hex(), "balance": balance}
