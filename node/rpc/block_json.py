"""Blocks, transactions and peers as JSON. Byte strings are lower-case hex."""

from typing import Any, assert_never

from node.accounts.transaction import Transaction
from node.blocks.block import Block
from node.blocks.body import EquivocationProof, MacroBody, MicroBody, Reward
from node.blocks.header import MacroHeader
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
    header = block.header
    content: dict[str, Any] = {
        "type": "skip" if block.is_skip else policy.kind_at(header.number).value,
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
        "size": len(block.encode()),
        "justification": _justification_json(block.justification),
    }
    if isinstance(header, MacroHeader):
        content |= {
            "round": header.round,
            "parentElectionHash": header.parent_election.hex(),
            "punishedSlots": list(header.punished.indices()),
        }
        if header.validators is not None:
            content["validators"] = [_validator_json(member) for member in header.validators]
    match block.body:
        case MicroBody(proofs, transactions):
            content["equivocationProofs"] = [_equivocation_json(proof) for proof in proofs]
            content["transactions"] = [transaction_json(each) for each in transactions]
        case MacroBody(rewards):
            content["rewards"] = [_reward_json(reward) for reward in rewards]
        case None:
            pass
    return content


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
