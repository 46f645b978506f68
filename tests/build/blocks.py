"""Headers, bodies, blocks and transactions for tests.

`micro_header` and its kin fill every field with something well-formed; what a test cares about is
overridden by keyword. `signed_micro` and its kin make blocks whose signatures and seeds are good;
their roots are whatever the caller passes.
"""

from dataclasses import replace
from typing import Any

from node.accounts.transaction import Transaction
from node.blocks.block import Block
from node.blocks.body import EMPTY_MICRO_BODY, EquivocationProof, MacroBody, MicroBody
from node.blocks.header import Header, MacroHeader, MicroHeader
from node.blocks.justification import ProducerSignature, QuorumSignature, SkipProof
from node.blocks.signing import precommit_message, skip_message
from node.blocks.validators import SignerSet, Validators
from node.crypto import bls, vrf
from node.crypto.hashes import hash32
from node.crypto.seeds import next_seed
from node.keys import NodeKeys
from protocols.types import Hash32
from tests.build.keys import account_keys, address, keys, keys_of, validators

SEED_0 = vrf.prove(keys(0).signing, b"tests")
"""A seed to start from."""


def digest(label: str) -> Hash32:
    """Return a hash that stands for something named `label`."""
    return hash32(label.encode())


def transaction(
    *, sender: int = 0, recipient: int = 1, nonce: int = 0, **changes: Any
) -> Transaction:
    """Return a signed transaction between funded accounts; `nonce` makes it another one."""
    fields: dict[str, Any] = {
        "sender_key": account_keys(sender).signing.public_key,
        "recipient": address(recipient),
        "value": 10,
        "fee": 1,
        "validity_start": 0,
        "network": 1,
        "data": nonce.to_bytes(4, "big") if nonce else b"",
    }
    unsigned = Transaction(**fields | changes)
    return replace(unsigned, signature=account_keys(sender).signing.sign(unsigned.hash))


def micro_header(**changes: Any) -> MicroHeader:
    """Return a micro header above an unknown parent."""
    fields = _common_fields() | {"body_root": EMPTY_MICRO_BODY.root}
    return MicroHeader(**fields | changes)


def macro_header(**changes: Any) -> MacroHeader:
    """Return a checkpoint header above an unknown parent; pass `validators` for an election."""
    fields = _common_fields() | {
        "body_root": MacroBody().root,
        "round": 0,
        "parent_election": digest("parent election"),
        "validators": None,
        "punished": SignerSet(0),
    }
    return MacroHeader(**fields | changes)


def election_header(count: int = 4, **changes: Any) -> MacroHeader:
    """Return an election header that elects validators 0..count-1."""
    return macro_header(**{"validators": validators(count).members} | changes)


def child_fields(parent: Header, producer: NodeKeys, **changes: Any) -> dict[str, Any]:
    """Return the header fields of the block that `producer` puts above `parent`."""
    fields: dict[str, Any] = {
        "network": parent.network,
        "version": parent.version,
        "number": parent.number + 1,
        "timestamp": parent.timestamp + 1000,
        "parent_hash": parent.hash,
        "seed": next_seed(producer.signing, parent.seed),
        "state_root": parent.state_root,
        "history_root": parent.history_root,
    }
    return fields | changes


def signed_micro(
    parent: Header, producer: NodeKeys, body: MicroBody = EMPTY_MICRO_BODY, **changes: Any
) -> Block:
    """Return a micro block above `parent`, seeded and signed by `producer`."""
    fields = child_fields(parent, producer, body_root=body.root, **changes)
    header = micro_header(**fields)
    return Block(header, ProducerSignature(producer.signing.sign(header.hash)), body)


def skip_block(
    parent: Header, members: Validators, timeout_ms: int = 4000, **changes: Any
) -> Block:
    """Return the skip block above `parent`, signed by all of `members`."""
    fields = child_fields(
        parent,
        keys(0),
        seed=parent.seed,
        timestamp=parent.timestamp + timeout_ms,
        extra_data=b"",
    )
    header = micro_header(**fields | changes)
    message = skip_message(header.network, header.number, parent.seed)
    signature, signers = sign_together(message, members)
    return Block(header, SkipProof(signature, signers), EMPTY_MICRO_BODY)


def justify(header: MacroHeader, members: Validators, round_: int = 0) -> QuorumSignature:
    """Return the precommits of all of `members` for a macro block."""
    message = precommit_message(header.network, header.number, round_, header.hash)
    return QuorumSignature(round_, *sign_together(message, members))


def sign_together(message: bytes, members: Validators) -> tuple[bytes, SignerSet]:
    """Return the aggregate signature of all of `members`, and who they are."""
    signatures = [who.voting.sign(message) for who in keys_of(members)]
    return bls.aggregate(signatures), SignerSet.of(range(len(signatures)))


def equivocation_proof(producer: NodeKeys, **changes: Any) -> EquivocationProof:
    """Return a proof that `producer` signed two blocks of one height."""
    pair = [micro_header(**{"extra_data": extra} | changes) for extra in (b"1", b"2")]
    first, second = sorted(pair, key=lambda header: header.hash)
    return EquivocationProof(
        header1=first,
        signature1=producer.signing.sign(first.hash),
        header2=second,
        signature2=producer.signing.sign(second.hash),
    )


def _common_fields() -> dict[str, Any]:
    return {
        "network": 1,
        "version": 1,
        "number": 1,
        "timestamp": 1_700_000_001_000,
        "parent_hash": digest("parent"),
        "seed": SEED_0,
        "extra_data": b"",
        "state_root": digest("state"),
        "diff_root": digest("diff"),
        "history_root": digest("history"),
    }
