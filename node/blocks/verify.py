"""The rules of a block, one named error for each, in the order in which they are checked.

    on its own     type, network, version, sizes, validators present, time against our clock,
                   body hash, transactions that stand twice
    to its parent  number, parent hash, time, skip rules, producer, seed, elected validators,
                   parent election, round, punished slots, quorum, transactions, their signatures,
                   equivocation proofs

A light verification is the same list without the body. What needs the account state (rewards,
funds, roots) is checked where a block is executed, in `node.chain.execution`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Self, TypeAlias

from node.accounts.diff import EMPTY_DIFF
from node.accounts.transaction import MAX_COINS, Transaction
from node.blocks.block import Block
from node.blocks.body import EMPTY_MICRO_BODY, EquivocationProof, MacroBody, MicroBody
from node.blocks.header import Header, MacroHeader
from node.blocks.justification import ProducerSignature, QuorumSignature, SkipProof
from node.blocks.signatures import SIGNED
from node.blocks.signing import precommit_message, skip_message
from node.blocks.slots import Candidate, draw_validators, slot_above
from node.blocks.validators import SignerSet, Validator, Validators
from node.chain.genesis import BLOCK_VERSION
from node.chain.history_tree import EMPTY_ROOT as EMPTY_HISTORY_ROOT
from node.chain.results import BlockError
from node.crypto import bls, ed25519
from node.crypto.seeds import entropy, have_one_parent, verify_seed
from node.policy import Policy
from protocols.limits import MAX_EXTRA_DATA_BYTES
from protocols.types import Hash32, Height

_EMPTY_DIFF_ROOT: Final = EMPTY_DIFF.root


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRules:
    """What the blocks of one batch are verified against: the same on every branch of it."""

    policy: Policy
    network: int
    candidates: tuple[Candidate, ...]
    """Who may be drawn at the next election."""
    validators: Validators
    punished: SignerSet
    """Slots that the last macro block has punished."""
    election: Hash32
    """Hash of the last election block."""
    keys: bls.KeyCache

    def slot_owner(self, parent_seed: bytes, number: Height, round_: int = 0) -> Validator:
        """Return the producer of a micro block, or the proposer of a round."""
        slot = slot_above(self.validators, self.punished, parent_seed, number, round_)
        return self.validators.owner(slot)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """What a block continues."""

    parent: Header
    owner: Validator
    """Who may produce it (a micro block) or have proposed it (a macro block)."""
    punished: SignerSet | None = None
    """Slots that a macro block must punish: those skipped on its branch. None for micro blocks."""

    @classmethod
    def of(
        cls, header: Header, parent: Header, rules: BatchRules, punished: SignerSet | None = None
    ) -> Self:
        """Find out who owns the slot of a header that claims this parent."""
        round_ = header.round if isinstance(header, MacroHeader) else 0
        owner = rules.slot_owner(parent.seed, header.number, round_)
        return cls(parent=parent, owner=owner, punished=punished)


def verify_alone(
    block: Block, rules: BatchRules, *, now_ms: int, with_body: bool
) -> BlockError | None:
    """Check everything that needs no other block.

    Args:
        block: Any block.
        rules: Of the batch that it claims to be in.
        now_ms: Our clock, milliseconds since the Unix epoch.
        with_body: Whether the body must be there and is checked.
    """
    for check in _HEADER_CHECKS:
        if error := check(block, rules):
            return error
    if block.header.timestamp > now_ms + rules.policy.max_clock_drift_ms:
        return BlockError.FROM_FUTURE
    return verify_body(block) if with_body else None


def verify_body(block: Block) -> BlockError | None:
    """Check a body against its header, and by itself as far as that takes no signature."""
    body = block.body
    if body is None:
        return BlockError.MISSING_BODY
    if body.root != block.header.body_root:
        return BlockError.WRONG_BODY_ROOT
    return None if isinstance(body, MacroBody) else _check_repetition(body)


def verify_links(block: Block, lineage: Lineage, rules: BatchRules) -> BlockError | None:
    """Check a block against its parent, without its justification.

    That is what a proposal must pass before anybody votes for it.
    """
    return _first_error(_LINK_CHECKS, block, lineage, rules)


def verify_successor(
    block: Block, lineage: Lineage, rules: BatchRules, *, are_signatures_due: bool = True
) -> BlockError | None:
    """Check a block against its parent, justification included, in the order of the rules.

    Args:
        block: Passed `verify_alone`.
        lineage: What it continues.
        rules: Of its batch.
        are_signatures_due: Whether its transactions' signatures are checked too: half of all that
            a large block costs. If not, `verify_signatures` comes before it is executed, or a
            quorum has done that.
    """
    checks = _SUCCESSOR_CHECKS if are_signatures_due else _UNSIGNED_CHECKS
    return _first_error(checks, block, lineage, rules)


def verify_signatures(block: Block) -> BlockError | None:
    """Check the signatures of a block's transactions. Slow."""
    body = block.body
    if isinstance(body, MicroBody) and not SIGNED.are_signed(body.transactions):
        return BlockError.INVALID_TRANSACTION
    return None


def has_quorum(block: Block, validators: Validators, policy: Policy, keys: bls.KeyCache) -> bool:
    """Tell whether a quorum has precommitted to a macro block. Slow: a pairing.

    Args:
        block: Any block; one of another kind has no quorum.
        validators: Of its epoch.
        policy: Of the network.
        keys: Decoded voting keys.
    """
    proof = block.justification
    if not isinstance(proof, QuorumSignature):
        return False
    message = precommit_message(block.header.network, block.number, proof.round, block.hash)
    return is_signed_by_quorum(proof, message, validators, policy, keys)


def is_signed_by_quorum(
    proof: SkipProof | QuorumSignature,
    message: bytes,
    validators: Validators,
    policy: Policy,
    keys: bls.KeyCache,
) -> bool:
    """Tell whether at least 2f+1 slots have signed a message. Slow: a pairing."""
    members, signers = validators.members, proof.signers
    # Counting is cheap and comes first: a pairing is worth a thousand times as much.
    if signers.bits >> len(members) or validators.slots_of(signers) < policy.quorum:
        return False
    voting_keys = [members[index].voting_key for index in signers.indices()]
    return bls.verify_aggregate(voting_keys, message, proof.signature, keys)


def may_include(transaction: Transaction, number: Height, policy: Policy, network: int) -> bool:
    """Tell whether a transaction may stand in a block of this height, signature and funds aside."""
    last = transaction.validity_start + policy.validity_window_blocks
    return (
        transaction.network == network
        and transaction.validity_start <= number <= last
        and transaction.value + transaction.fee <= MAX_COINS
    )


def history_root_after(parent: Header, policy: Policy) -> Hash32:
    """Return the history root of a block without transactions: each epoch starts a new tree."""
    return EMPTY_HISTORY_ROOT if policy.is_election(parent.number) else parent.history_root


def is_valid_equivocation_proof(
    proof: EquivocationProof, number: Height, rules: BatchRules
) -> bool:
    """Tell whether one validator of this epoch has signed two headers of one turn.

    A turn is a height above a parent seed. The seed that a header has to carry shows which it is:
    it is a function of the parent's under the producer's key.

    Args:
        proof: Its headers are different: the decoder has seen to that.
        number: Height of the block that carries it, which must not be below the proof's.
        rules: Of the batch of that block.
    """
    first, second = proof.header1, proof.header2
    if first.network != rules.network or second.network != rules.network:
        return False
    if first.number != second.number or first.number > number or first.hash == second.hash:
        return False
    if rules.policy.epoch_at(first.number) != rules.policy.epoch_at(number):
        return False
    # Above another parent seed the height may be its turn again, and rightly.
    if not have_one_parent(first.seed, second.seed):
        return False
    return any(
        ed25519.verify(member.signing_key, first.hash, proof.signature1)
        and ed25519.verify(member.signing_key, second.hash, proof.signature2)
        for member in rules.validators.members
    )


_HeaderCheck: TypeAlias = Callable[[Block, BatchRules], BlockError | None]
_LinkCheck: TypeAlias = Callable[[Block, Lineage, BatchRules], BlockError | None]


def _first_error(
    checks: tuple[_LinkCheck, ...], block: Block, lineage: Lineage, rules: BatchRules
) -> BlockError | None:
    for check in checks:
        if error := check(block, lineage, rules):
            return error
    return None


def _check_repetition(body: MicroBody) -> BlockError | None:
    hashes = {transaction.hash for transaction in body.transactions}
    is_set = len(hashes) == len(body.transactions)
    return None if is_set else BlockError.DUPLICATE_TRANSACTION


def _check_type(block: Block, rules: BatchRules) -> BlockError | None:
    is_macro = rules.policy.is_macro(block.number)
    if block.is_macro != is_macro:
        return BlockError.WRONG_TYPE
    if isinstance(block.justification, QuorumSignature) != is_macro:
        return BlockError.WRONG_TYPE
    wanted = MacroBody if is_macro else MicroBody
    if block.body is not None and not isinstance(block.body, wanted):
        return BlockError.WRONG_TYPE
    return None


def _check_network(block: Block, rules: BatchRules) -> BlockError | None:
    return None if block.header.network == rules.network else BlockError.WRONG_NETWORK


def _check_version(block: Block, _: BatchRules) -> BlockError | None:
    return None if block.header.version == BLOCK_VERSION else BlockError.WRONG_VERSION


def _check_sizes(block: Block, rules: BatchRules) -> BlockError | None:
    if len(block.header.extra_data) > MAX_EXTRA_DATA_BYTES:
        return BlockError.TOO_LARGE
    # A macro body has one reward per validator at most, so its size is bounded by the slots.
    if isinstance(block.body, MicroBody) and len(block.body.encoded) > rules.policy.max_body_bytes:
        return BlockError.TOO_LARGE
    return None


def _check_validators_present(block: Block, rules: BatchRules) -> BlockError | None:
    header = block.header
    are_present = isinstance(header, MacroHeader) and header.validators is not None
    if are_present != rules.policy.is_election(header.number):
        return BlockError.WRONG_VALIDATORS
    return None


def _check_number(block: Block, lineage: Lineage, _: BatchRules) -> BlockError | None:
    return None if block.number == lineage.parent.number + 1 else BlockError.WRONG_NUMBER


def _check_parent(block: Block, lineage: Lineage, _: BatchRules) -> BlockError | None:
    return None if block.parent_hash == lineage.parent.hash else BlockError.WRONG_PARENT


def _check_timestamp(block: Block, lineage: Lineage, _: BatchRules) -> BlockError | None:
    if block.header.timestamp < lineage.parent.timestamp:
        return BlockError.WRONG_TIMESTAMP
    return None


def _check_skip(block: Block, lineage: Lineage, rules: BatchRules) -> BlockError | None:
    if not block.is_skip:
        return None
    header, parent = block.header, lineage.parent
    # Nobody signs the header of a skip block, so all of it must follow from its parent: else
    # anybody could make several of one proof, and light nodes could not tell them apart.
    is_expected = (
        header.seed == parent.seed
        and header.timestamp == parent.timestamp + rules.policy.producer_timeout_ms
        and not header.extra_data
        and header.body_root == EMPTY_MICRO_BODY.root
        and header.diff_root == _EMPTY_DIFF_ROOT
        and header.state_root == parent.state_root
        and header.history_root == history_root_after(parent, rules.policy)
    )
    return None if is_expected else BlockError.WRONG_SKIP


def _check_producer(block: Block, lineage: Lineage, _: BatchRules) -> BlockError | None:
    justification = block.justification
    if not isinstance(justification, ProducerSignature):
        return None
    if ed25519.verify(lineage.owner.signing_key, block.hash, justification.signature):
        return None
    return BlockError.WRONG_PRODUCER


def _check_seed(block: Block, lineage: Lineage, _: BatchRules) -> BlockError | None:
    if block.is_skip:
        return None
    if verify_seed(lineage.owner.signing_key, lineage.parent.seed, block.header.seed):
        return None
    return BlockError.WRONG_SEED


def _check_elected(block: Block, _: Lineage, rules: BatchRules) -> BlockError | None:
    header = block.header
    if not isinstance(header, MacroHeader) or header.validators is None:
        return None
    # Only after the seed has been verified: a false one has no entropy.
    elected = draw_validators(rules.candidates, entropy(header.seed), rules.policy.slots)
    return None if header.validators == elected.members else BlockError.WRONG_VALIDATORS


def _check_parent_election(block: Block, _: Lineage, rules: BatchRules) -> BlockError | None:
    header = block.header
    if isinstance(header, MacroHeader) and header.parent_election != rules.election:
        return BlockError.WRONG_PARENT_ELECTION
    return None


def _check_round(block: Block, _: Lineage, __: BatchRules) -> BlockError | None:
    header, justification = block.header, block.justification
    # A proposal may be voted for in its own round or be taken up in a later one.
    if (
        isinstance(header, MacroHeader)
        and isinstance(justification, QuorumSignature)
        and justification.round < header.round
    ):
        return BlockError.WRONG_ROUND
    return None


def _check_punished(block: Block, lineage: Lineage, _: BatchRules) -> BlockError | None:
    header = block.header
    if isinstance(header, MacroHeader) and header.punished != lineage.punished:
        return BlockError.WRONG_PUNISHED_SET
    return None


def _check_quorum(block: Block, lineage: Lineage, rules: BatchRules) -> BlockError | None:
    validators, policy, keys = rules.validators, rules.policy, rules.keys
    match block.justification:
        case ProducerSignature():
            return None
        case SkipProof() as proof:
            message = skip_message(block.header.network, block.number, lineage.parent.seed)
            is_valid = is_signed_by_quorum(proof, message, validators, policy, keys)
        case QuorumSignature():
            is_valid = has_quorum(block, validators, policy, keys)
    return None if is_valid else BlockError.NO_QUORUM


def _check_transactions(block: Block, _: Lineage, rules: BatchRules) -> BlockError | None:
    body, policy = block.body, rules.policy
    if isinstance(body, MicroBody) and not all(
        may_include(transaction, block.number, policy, rules.network)
        for transaction in body.transactions
    ):
        return BlockError.INVALID_TRANSACTION
    return None


def _check_signatures(block: Block, _: Lineage, __: BatchRules) -> BlockError | None:
    # Only after the producer's signature: the largest body holds seconds of signatures, which a
    # stranger must not ask for.
    return verify_signatures(block)


def _check_proofs(block: Block, _: Lineage, rules: BatchRules) -> BlockError | None:
    # Only after the producer's signature too: a proof does not say whose it is, and 64 of them
    # tried with the keys of 512 validators cost more than a second.
    body = block.body
    if isinstance(body, MicroBody) and not all(
        is_valid_equivocation_proof(proof, block.number, rules)
        for proof in body.equivocation_proofs
    ):
        return BlockError.INVALID_EQUIVOCATION_PROOF
    return None


_HEADER_CHECKS: Final[tuple[_HeaderCheck, ...]] = (
    _check_type,
    _check_network,
    _check_version,
    _check_sizes,
    _check_validators_present,
)
_SUCCESSOR_CHECKS: Final[tuple[_LinkCheck, ...]] = (
    _check_number,
    _check_parent,
    _check_timestamp,
    _check_skip,
    _check_producer,
    _check_seed,
    _check_elected,
    _check_parent_election,
    _check_round,
    _check_punished,
    _check_quorum,
    _check_transactions,
    _check_signatures,
    _check_proofs,
)
_UNSIGNED_CHECKS: Final = tuple(
    check for check in _SUCCESSOR_CHECKS if check is not _check_signatures
)
_LINK_CHECKS: Final[tuple[_LinkCheck, ...]] = tuple(
    check for check in _SUCCESSOR_CHECKS if check not in (_check_producer, _check_quorum)
)
