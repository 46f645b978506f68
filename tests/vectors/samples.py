"""The values that the wire vectors are made of: fixed, small, each field different."""

from dataclasses import replace
from typing import Final

from node.accounts.transaction import Transaction
from node.blocks.block import Block
from node.blocks.body import EquivocationProof, MacroBody, MicroBody, Reward
from node.blocks.header import MacroHeader, MicroHeader
from node.blocks.justification import ProducerSignature, QuorumSignature, SkipProof
from node.blocks.signing import precommit_message, skip_message
from node.blocks.slots import Candidate
from node.blocks.validators import SignerSet, Validator
from node.chain.genesis import Genesis, Stake
from node.crypto import bls, vrf
from node.crypto.bls import VotingKey, derive_secret
from node.crypto.ed25519 import SigningKey
from node.crypto.hashes import address_of
from node.crypto.seeds import next_seed
from node.policy import Policy
from protocols.types import Address, Hash32

NETWORK: Final = 7

SIGNING: Final = tuple(SigningKey(bytes([number]) * 32) for number in (1, 2, 3))
VOTING: Final = tuple(VotingKey(derive_secret(bytes([number]) * 32)) for number in (1, 2, 3))
ADDRESSES: Final = tuple(address_of(key.public_key) for key in SIGNING)
SEED: Final = vrf.prove(SIGNING[0], b"headway vectors")


def pattern(start: int, length: int = 32) -> bytes:
    """Return bytes that count up from a start."""
    return bytes((start + offset) % 256 for offset in range(length))


def digest(start: int) -> Hash32:
    """Return a hash that can be told from the others."""
    return Hash32(pattern(start))


def transaction(*, data: bytes = b"", validity_start: int = 60) -> Transaction:
    """Return a signed transaction."""
    unsigned = Transaction(
        sender_key=SIGNING[0].public_key,
        recipient=ADDRESSES[1],
        value=2**53 - 10,
        fee=3,
        validity_start=validity_start,
        network=NETWORK,
        data=data,
    )
    return replace(unsigned, signature=SIGNING[0].sign(unsigned.hash))


TRANSACTIONS: Final = (transaction(), transaction(data=pattern(0, 64), validity_start=61))

VALIDATORS: Final = tuple(
    Validator(
        address=address,
        signing_key=signing.public_key,
        voting_key=voting.public_key,
        slots=slots,
    )
    for address, signing, voting, slots in zip(ADDRESSES, SIGNING, VOTING, (5, 4, 3), strict=True)
)


def micro_header(number: int = 61, extra_data: bytes = b"vector") -> MicroHeader:
    """Return a header over the body with transactions."""
    return MicroHeader(
        network=NETWORK,
        version=1,
        number=number,
        timestamp=1_700_000_061_000,
        parent_hash=digest(1),
        seed=SEED,
        extra_data=extra_data,
        state_root=digest(2),
        body_root=MICRO_BODY.root,
        diff_root=digest(3),
        history_root=digest(4),
    )


def macro_header(*, number: int, validators: tuple[Validator, ...] | None) -> MacroHeader:
    """Return a checkpoint or election header."""
    return MacroHeader(
        network=NETWORK,
        version=1,
        number=number,
        timestamp=1_700_000_120_000,
        parent_hash=digest(5),
        seed=SEED,
        extra_data=b"",
        state_root=digest(6),
        body_root=MACRO_BODY.root,
        diff_root=digest(7),
        history_root=digest(8),
        round=1,
        parent_election=digest(9),
        validators=validators,
        punished=SignerSet.of((0, 9)),
    )


def equivocation_proof() -> EquivocationProof:
    """Return a proof with both signatures."""
    pair = (micro_header(extra_data=b"1"), micro_header(extra_data=b"2"))
    first, second = sorted(pair, key=lambda header: header.hash)
    return EquivocationProof(
        header1=first,
        signature1=SIGNING[1].sign(first.hash),
        header2=second,
        signature2=SIGNING[1].sign(second.hash),
    )


MICRO_BODY: Final = MicroBody((), TRANSACTIONS)
FULL_MICRO_BODY: Final = MicroBody((equivocation_proof(),), TRANSACTIONS)
MACRO_BODY: Final = MacroBody((Reward(ADDRESSES[0], 1000), Reward(ADDRESSES[1], 2**53 - 1)))

MICRO: Final = micro_header()
CHECKPOINT: Final = macro_header(number=120, validators=None)
ELECTION: Final = macro_header(number=240, validators=VALIDATORS)

SKIP_MESSAGE: Final = skip_message(NETWORK, 61, SEED)
PRECOMMIT_MESSAGE: Final = precommit_message(NETWORK, 120, 2, CHECKPOINT.hash)
SIGNERS: Final = SignerSet.of((0, 2))


def aggregate(message: bytes) -> bytes:
    """Return the aggregate signature of validators 0 and 2."""
    return bls.aggregate([VOTING[index].sign(message) for index in SIGNERS.indices()])


PRODUCED: Final = ProducerSignature(SIGNING[1].sign(MICRO.hash))
SKIPPED: Final = SkipProof(aggregate(SKIP_MESSAGE), SIGNERS)
DECIDED: Final = QuorumSignature(2, aggregate(PRECOMMIT_MESSAGE), SIGNERS)

MICRO_BLOCK: Final = Block(MICRO, PRODUCED, MICRO_BODY)
CHECKPOINT_BLOCK: Final = Block(CHECKPOINT, DECIDED, MACRO_BODY)

CANDIDATES: Final = tuple(
    Candidate(
        address=address,
        signing_key=signing.public_key,
        voting_key=voting.public_key,
        stake=stake,
    )
    for address, signing, voting, stake in zip(
        ADDRESSES, SIGNING, VOTING, (1000, 500, 250), strict=True
    )
)

GENESIS: Final = Genesis(
    network=NETWORK,
    name="vectors",
    timestamp=1_700_000_000_000,
    seed=SEED,
    policy=Policy(batch_length=60, batches_per_epoch=4, slots=12),
    stakes=tuple(
        Stake(candidate=candidate, proof_of_possession=voting.proof_of_possession())
        for candidate, voting in zip(CANDIDATES, VOTING, strict=True)
    ),
    accounts={ADDRESSES[0]: 2**52, ADDRESSES[1]: 1},
)

NEXT_SEED: Final = next_seed(SIGNING[1], SEED)


def many_accounts(count: int) -> dict[Address, int]:
    """Return accounts by a rule that any language can follow.

    Account i, from 0, has as address the first 20 bytes of Blake2b-256 of i in 4 bytes big-endian,
    and i + 1 coins.
    """
    return {address_of(index.to_bytes(4, "big")): index + 1 for index in range(count)}


def history(count: int) -> list[bytes]:
    """Return the encoded transactions of an epoch: number i has i, i + 1, i + 2, i + 3 as data."""
    return [transaction(data=pattern(number, 4)).encode() for number in range(count)]
