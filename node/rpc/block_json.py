"""Blocks, transactions and peers as JSON. Byte strings are lower-case hex."""

from typing import Any, assert_never

from node.accounts.transaction import Transaction
from node.blocks.block import Block
from node.blocks.body import Body, EquivocationProof, MacroBody, MicroBody, Reward
from node.blocks.header import Header, MacroHeader
from node.blocks.justification import (
    Justification,
    ProducerSignature,
    QuorumSignature,
    SkipProof,
)
from node.blocks.validators import Validator
from node.net.network import PeerRecord
from node.policy import Policy


def block_json(block: Block, policy: Policy) -> dict[str, Any]:
    """Return a block, with its body where it has one."""
    content = _header_json(block.header, policy)
    if block.is_skip:
        content["type"] = "skip"
    return {
        **content,
        "size": len(block.encode()),
        "justification": _justification_json(block.justification),
        **_body_json(block.body),
    }


def proven_block_json(header: Header, body: Body | None, policy: Policy) -> dict[str, Any]:
    """Return a block that a peer has proven.

    Its justification is null: the macro block above covers the header alone. So a skip block shows
    as a micro block.
    """
    return {**_header_json(header, policy), "justification": None, **_body_json(body)}


def _header_json(header: Header, policy: Policy) -> dict[str, Any]:
    content: dict[str, Any] = {
        "type": policy.kind_at(header.number).value,
        "hash": header.hash.hex(),
        "number": header.number,
        "batch": policy.batch_at(header.number),
        "epoch": policy.epoch_at(header.number),
        "network": header.network,
        "version": header.version,
        "timestamp": header.timestamp,
        "parentHash": header.parent_hash.hex(),
        "seed": header.seed.hex(),
        "extraData": header.extra_data.hex(),
        "stateHash": header.state_root.hex(),
        "bodyHash": header.body_root.hex(),
        "diffHash": header.diff_root.hex(),
        "historyHash": header.history_root.hex(),
    }
    if isinstance(header, MacroHeader):
        content |= {
            "round": header.round,
            "parentElectionHash": header.parent_election.hex(),
            "punishedSlots": list(header.punished.indices()),
        }
        if header.validators is not None:
            content["validators"] = [_validator_json(member) for member in header.validators]
    return content


def _body_json(body: Body | None) -> dict[str, Any]:
    match body:
        case MicroBody(proofs, transactions):
            return {
                "equivocationProofs": [_equivocation_json(proof) for proof in proofs],
                "transactions": [transaction_json(each) for each in transactions],
            }
        case MacroBody(rewards):
            return {"rewards": [_reward_json(reward) for reward in rewards]}
        case None:
            return {}


def transaction_json(transaction: Transaction) -> dict[str, Any]:
    """Return a transaction."""
    return {
        "hash": transaction.hash.hex(),
        "from": transaction.sender.hex(),
        "to": transaction.recipient.hex(),
        "value": transaction.value,
        "fee": transaction.fee,
        "validityStartHeight": transaction.validity_start,
        "networkId": transaction.network,
        "data": transaction.data.hex(),
    }


def peer_json(record: PeerRecord, peer_list: str | None) -> dict[str, Any]:
    """Return a connected peer."""
    return {
        "id": record.peer,
        "address": record.address,
        "direction": "inbound" if record.is_inbound else "outbound",
        "list": peer_list,
        "agent": record.hello.agent,
        "services": [flag.name for flag in record.hello.services if flag.name is not None],
        "score": record.score,
        "bytesIn": record.bytes_in,
        "bytesOut": record.bytes_out,
    }


def _justification_json(justification: Justification) -> dict[str, Any]:
    match justification:
        case ProducerSignature(signature):
            return {"type": "producer", "signature": signature.hex()}
        case SkipProof(signature, signers):
            signed = {"signature": signature.hex(), "signers": list(signers.indices())}
            return {"type": "skip", **signed}
        case QuorumSignature(round_, signature, signers):
            signed = {"signature": signature.hex(), "signers": list(signers.indices())}
            return {"type": "quorum", "round": round_, **signed}
        case _:
            assert_never(justification)


def _validator_json(validator: Validator) -> dict[str, Any]:
    return {
        "address": validator.address.hex(),
        "signingKey": validator.signing_key.hex(),
        "votingKey": validator.voting_key.hex(),
        "slots": validator.slots,
    }


def _equivocation_json(proof: EquivocationProof) -> dict[str, Any]:
    return {
        "number": proof.header1.number,
        "hash1": proof.header1.hash.hex(),
        "hash2": proof.header2.hash.hex(),
    }


def _reward_json(reward: Reward) -> dict[str, Any]:
    return {"to": reward.recipient.hex(), "value": reward.value}
