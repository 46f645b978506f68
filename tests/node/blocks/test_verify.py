"""Each rule of a block has its named error, and the rules are checked in their order."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import combinations
from typing import Any

import pytest

from node.accounts.transaction import MAX_COINS, Transaction
from node.blocks.block import Block
from node.blocks.body import MacroBody, MicroBody
from node.blocks.header import MacroHeader
from node.blocks.justification import (
    Justification,
    ProducerSignature,
    QuorumSignature,
    SkipProof,
)
from node.blocks.signing import precommit_message
from node.blocks.validators import SignerSet
from node.blocks.verify import (
    BatchRules,
    Lineage,
    has_quorum,
    is_signed_by_quorum,
    is_valid_equivocation_proof,
    may_include,
    verify_alone,
    verify_links,
    verify_successor,
)
from node.chain.results import BlockError
from node.crypto import bls, ed25519, vrf
from node.crypto.seeds import next_seed
from protocols.types import BLS_SIGNATURE_BYTES
from tests.build.blocks import digest, equivocation_proof, transaction
from tests.build.chain import KEY_CACHE, ChainBuilder
from tests.build.keys import SMALL_POLICY, keys, keys_of, validators
from tests.build.turns import next_owner

NOW_MS = 1_700_000_100_000


class Site:
    """The place above a builder's head: what stands there is verified against this."""

    def __init__(self, height: int) -> None:
        self.builder = ChainBuilder()
        self.builder.extend(height - 1)
        chain = self.builder.chain
        self.rules = BatchRules(
            policy=chain.policy,
            network=chain.network,
            candidates=self.builder.genesis.candidates,
            validators=chain.validators,
            punished=chain.macro_head.punished,
            election=chain.election_head.hash,
            keys=KEY_CACHE,
        )

    def verify(self, block: Block, *, with_body: bool = True) -> BlockError | None:
        """Apply the whole list of rules that needs no state."""
        error = verify_alone(block, self.rules, now_ms=NOW_MS, with_body=with_body)
        return error or verify_successor(block, self.lineage(block), self.rules)

    def lineage(self, block: Block) -> Lineage:
        """Say what a block continues when nobody was skipped."""
        punished = SignerSet(0) if isinstance(block.header, MacroHeader) else None
        return Lineage.of(block.header, self.builder.head, self.rules, punished)


@cache
def site(height: int) -> Site:
    """Return the place of a height, made once: verifying changes nothing."""
    return Site(height)


@cache
def micro() -> Block:
    return site(3).builder.make_micro([transaction(nonce=1), transaction(nonce=2)])


@cache
def skip() -> Block:
    return site(3).builder.make_skip()


@cache
def checkpoint() -> Block:
    return site(4).builder.make_macro()


@cache
def election() -> Block:
    return site(12).builder.make_macro()


def changed(block: Block, **fields: Any) -> Block:
    """Return the block with other fields, signed again as if they were right."""
    return site(block.number).builder.changed(block, **fields)


def with_transactions(*transactions: Transaction) -> Block:
    return changed(micro(), body=MicroBody(transactions=transactions))


@pytest.mark.parametrize("block", [micro, skip, checkpoint, election])
@pytest.mark.parametrize("with_body", [True, False])
def test_good_blocks_pass(block: Callable[[], Block], with_body: bool) -> None:
    whole = block()
    assert site(whole.number).verify(whole, with_body=with_body) is None
    if not with_body:
        assert site(whole.number).verify(whole.without_body(), with_body=False) is None


TOO_LONG = MicroBody(transactions=tuple(transaction(nonce=nonce) for nonce in range(1, 900)))
TWO_TIMES = (transaction(nonce=1), transaction(nonce=1))
OTHER_VALIDATORS = (replace(site(12).rules.validators.members[0], slots=12),)
NO_VOTES = QuorumSignature(0, bytes(BLS_SIGNATURE_BYTES), SignerSet(0))

BROKEN: list[tuple[str, BlockError, Callable[[], Block]]] = [
    ("micro where macro", BlockError.WRONG_TYPE, lambda: changed(micro(), number=4)),
    ("macro where micro", BlockError.WRONG_TYPE, lambda: changed(checkpoint(), number=5)),
    (
        "votes for a micro block",
        BlockError.WRONG_TYPE,
        lambda: replace(micro(), justification=NO_VOTES),
    ),
    (
        "one signature for a macro block",
        BlockError.WRONG_TYPE,
        lambda: replace(checkpoint(), justification=ProducerSignature(bytes(64))),
    ),
    (
        "macro body in a micro block",
        BlockError.WRONG_TYPE,
        lambda: changed(micro(), body=MacroBody()),
    ),
    (
        "micro body in a macro block",
        BlockError.WRONG_TYPE,
        lambda: changed(checkpoint(), body=MicroBody()),
    ),
    ("network", BlockError.WRONG_NETWORK, lambda: changed(micro(), network=2)),
    ("version", BlockError.WRONG_VERSION, lambda: changed(micro(), version=2)),
    ("extra data", BlockError.TOO_LARGE, lambda: changed(micro(), extra_data=bytes(33))),
    ("body size", BlockError.TOO_LARGE, lambda: changed(micro(), body=TOO_LONG)),
    (
        "validators in a checkpoint",
        BlockError.WRONG_VALIDATORS,
        lambda: changed(checkpoint(), validators=OTHER_VALIDATORS),
    ),
    (
        "no validators in an election",
        BlockError.WRONG_VALIDATORS,
        lambda: changed(election(), validators=None),
    ),
    (
        "validators that were not drawn",
        BlockError.WRONG_VALIDATORS,
        lambda: changed(election(), validators=OTHER_VALIDATORS),
    ),
    (
        "future",
        BlockError.FROM_FUTURE,
        lambda: changed(micro(), timestamp=NOW_MS + SMALL_POLICY.max_clock_drift_ms + 1),
    ),
    ("no body", BlockError.MISSING_BODY, lambda: micro().without_body()),
    ("body root", BlockError.WRONG_BODY_ROOT, lambda: changed(micro(), body_root=digest("x"))),
    (
        "one transaction twice",
        BlockError.DUPLICATE_TRANSACTION,
        lambda: with_transactions(*TWO_TIMES),
    ),
    (
        "signature of a transaction",
        BlockError.INVALID_TRANSACTION,
        lambda: with_transactions(replace(transaction(nonce=1), value=11)),
    ),
    (
        "equivocation proof of a stranger",
        BlockError.INVALID_EQUIVOCATION_PROOF,
        lambda: changed(micro(), body=MicroBody((equivocation_proof(keys(77)),))),
    ),
    ("number", BlockError.WRONG_NUMBER, lambda: changed(micro(), number=2)),
    ("parent", BlockError.WRONG_PARENT, lambda: changed(micro(), parent_hash=digest("x"))),
    (
        "time before the parent's",
        BlockError.WRONG_TIMESTAMP,
        lambda: changed(micro(), timestamp=site(3).builder.head.timestamp - 1),
    ),
    (
        "producer",
        BlockError.WRONG_PRODUCER,
        lambda: replace(micro(), justification=ProducerSignature(bytes(64))),
    ),
    (
        "seed of somebody else",
        BlockError.WRONG_SEED,
        lambda: changed(micro(), seed=next_seed(keys(77).signing, site(3).builder.head.seed)),
    ),
    ("seed that is none", BlockError.WRONG_SEED, lambda: changed(micro(), seed=bytes(80))),
    ("macro seed", BlockError.WRONG_SEED, lambda: changed(election(), seed=bytes(80))),
    (
        "seed of another round",
        BlockError.WRONG_SEED,
        lambda: changed(checkpoint(), round=other_proposers_round()),
    ),
    (
        "parent election",
        BlockError.WRONG_PARENT_ELECTION,
        lambda: changed(checkpoint(), parent_election=digest("x")),
    ),
    (
        "votes of a round before the proposal's",
        BlockError.WRONG_ROUND,
        lambda: site(4).builder.make_macro(round_=2, voted_round=1),
    ),
    (
        "punished slots",
        BlockError.WRONG_PUNISHED_SET,
        lambda: changed(checkpoint(), punished=SignerSet.of([3])),
    ),
    ("no votes", BlockError.NO_QUORUM, lambda: replace(checkpoint(), justification=NO_VOTES)),
]


def other_proposers_round() -> int:
    """Return a round in which somebody else proposes than in round 0."""
    chain = site(4).builder.chain
    return next(n for n in range(1, 20) if next_owner(chain, n) != next_owner(chain))


@pytest.mark.parametrize(
    ("error", "block"), [row[1:] for row in BROKEN], ids=[row[0] for row in BROKEN]
)
def test_one_broken_rule(error: BlockError, block: Callable[[], Block]) -> None:
    broken = block()
    # A wrong number must not change the place.
    height = 3 if broken.number == 2 or not is_possible(broken) else broken.number
    assert site(height).verify(broken) == error


def is_possible(block: Block) -> bool:
    """Tell whether a block of its kind stands at its height."""
    return block.is_macro == SMALL_POLICY.is_macro(block.number)


def test_light_verification_does_not_look_at_bodies() -> None:
    bad_body = with_transactions(*TWO_TIMES)

    assert site(3).verify(bad_body.without_body(), with_body=False) is None
    # What they commit to is not known without state either.
    for root in ("state_root", "diff_root", "history_root", "body_root"):
        assert site(3).verify(changed(micro(), **{root: digest("x")}), with_body=False) is None


def test_time_limits_are_inclusive() -> None:
    latest = NOW_MS + SMALL_POLICY.max_clock_drift_ms
    assert site(3).verify(changed(micro(), timestamp=latest)) is None
    assert site(3).verify(changed(micro(), timestamp=site(3).builder.head.timestamp)) is None


@pytest.mark.parametrize(
    "fields",
    [
        {"seed": micro().header.seed},
        {"timestamp": skip().header.timestamp + 1},
        {"timestamp": skip().header.timestamp - 1},
        {"extra_data": b"x"},
        {"body": MicroBody(transactions=(transaction(nonce=1),))},
        {"state_root": digest("x")},
        {"diff_root": digest("x")},
        {"history_root": digest("x")},
    ],
    ids=str,
)
def test_all_of_a_skip_block_follows_from_its_parent(fields: dict[str, Any]) -> None:
    """Nobody signs its header, so one free field would be as many skip blocks as one likes."""
    assert site(3).verify(changed(skip(), **fields)) == BlockError.WRONG_SKIP


def test_skip_proof_needs_a_quorum_of_slots() -> None:
    block, members = skip(), site(3).rules.validators.members
    assert isinstance(block.justification, SkipProof)
    signature, everybody = block.justification.signature, block.justification.signers

    def signed_by(signers: SignerSet, by: bytes = signature) -> BlockError | None:
        return site(3).verify(replace(block, justification=SkipProof(by, signers)))

    assert signed_by(everybody) is None
    assert signed_by(SignerSet(everybody.bits >> 1)) == BlockError.NO_QUORUM
    assert signed_by(SignerSet.of([len(members)])) == BlockError.NO_QUORUM
    assert signed_by(everybody, bytes(96)) == BlockError.NO_QUORUM


def test_quorum_is_counted_in_slots() -> None:
    """12 slots of 4 validators with 3 each: 8 are a quorum, so three of the four are needed."""
    place, block = site(4), checkpoint()
    builder, header = place.builder, block.header
    assert isinstance(header, MacroHeader)
    assert [member.slots for member in place.rules.validators.members] == [3, 3, 3, 3]

    def voted(count: int) -> BlockError | None:
        message = precommit_message(header.network, header.number, 0, header.hash)
        votes = [who.voting.sign(message) for who in keys_of(builder.chain.validators)[:count]]
        proof = QuorumSignature(0, bls.aggregate(votes), SignerSet.of(range(count)))
        return place.verify(replace(block, justification=proof))

    assert [voted(2), voted(3)] == [BlockError.NO_QUORUM, None]


def test_a_quorum_is_exactly_enough() -> None:
    """12 validators with one slot each: 8 of them are 2f+1."""
    many = validators(12)
    rules = site(4).rules
    message = b"message"

    def is_quorum(count: int) -> bool:
        votes = bls.aggregate([who.voting.sign(message) for who in keys_of(many)[:count]])
        proof = SkipProof(votes, SignerSet.of(range(count)))
        return is_signed_by_quorum(proof, message, many, rules.policy, rules.keys)

    assert [is_quorum(count) for count in (7, 8, 12)] == [False, True, True]


@pytest.mark.parametrize("kind", ["good", "empty", "stranger", "too few", "other round", "micro"])
def test_a_macro_block_shows_its_quorum_by_itself(kind: str) -> None:
    block, rules = checkpoint(), site(4).rules
    good = block.justification
    assert isinstance(good, QuorumSignature)
    changes: dict[str, Justification] = {
        "good": good,
        "empty": replace(good, signers=SignerSet(0)),
        "stranger": replace(good, signers=SignerSet(good.signers.bits | 1 << 40)),
        "too few": replace(good, signers=SignerSet(1)),
        "other round": replace(good, round=good.round + 1),
        "micro": ProducerSignature(bytes(64)),
    }
    changed_block = replace(block, justification=changes[kind])

    is_valid = has_quorum(changed_block, rules.validators, rules.policy, rules.keys)

    assert is_valid is (kind == "good")


def test_a_false_seed_elects_nobody() -> None:
    """It is refused before anything is drawn from it, also if it is no proof at all."""
    for seed in (bytes(80), b"\xff" * 80, site(12).builder.head.seed):
        broken = changed(election(), seed=seed, validators=OTHER_VALIDATORS)
        assert site(12).verify(broken) == BlockError.WRONG_SEED


def test_a_proposal_may_win_in_a_later_round() -> None:
    assert site(4).verify(site(4).builder.make_macro(round_=1, voted_round=3)) is None


def test_votes_of_one_round_are_not_votes_of_another() -> None:
    justification = checkpoint().justification
    assert isinstance(justification, QuorumSignature)
    later = replace(checkpoint(), justification=replace(justification, round=1))
    assert site(4).verify(later) == BlockError.NO_QUORUM


def test_proposals_are_checked_without_signatures() -> None:
    proposal = replace(checkpoint(), justification=NO_VOTES)
    lineage = site(4).lineage(proposal)

    assert verify_links(proposal, lineage, site(4).rules) is None
    wrong = changed(checkpoint(), parent_election=digest("x"))
    assert verify_links(wrong, lineage, site(4).rules) == BlockError.WRONG_PARENT_ELECTION


IN_ORDER: list[tuple[BlockError, dict[str, Any]]] = [
    (BlockError.WRONG_NETWORK, {"network": 2}),
    (BlockError.WRONG_VERSION, {"version": 2}),
    (BlockError.TOO_LARGE, {"extra_data": bytes(33)}),
    (BlockError.FROM_FUTURE, {"timestamp": 2**47}),
    (BlockError.WRONG_BODY_ROOT, {"body_root": digest("x")}),
    (BlockError.DUPLICATE_TRANSACTION, {"body": MicroBody(transactions=TWO_TIMES)}),
    (BlockError.WRONG_NUMBER, {"number": 2}),
    (BlockError.WRONG_PARENT, {"parent_hash": digest("x")}),
    (BlockError.WRONG_TIMESTAMP, {"timestamp": 0}),
    (BlockError.WRONG_SEED, {"seed": bytes(80)}),
]


def test_the_first_broken_rule_is_named() -> None:
    for (error, first), (_, second) in combinations(IN_ORDER, 2):
        if not first.keys() & second.keys():
            assert site(3).verify(changed(micro(), **(first | second))) == error, (first, second)


@pytest.mark.parametrize(
    ("error", "body"),
    [
        (
            BlockError.INVALID_TRANSACTION,
            MicroBody(transactions=(replace(transaction(), signature=bytes(64)),)),
        ),
        (
            BlockError.INVALID_EQUIVOCATION_PROOF,
            MicroBody((equivocation_proof(keys(77)),)),
        ),
    ],
)
def test_nobody_but_the_producer_has_the_signatures_in_a_body_checked(
    error: BlockError, body: MicroBody
) -> None:
    signed = changed(micro(), body=body)
    forged = replace(signed, justification=ProducerSignature(bytes(64)))

    assert site(3).verify(signed) == error
    assert site(3).verify(forged) == BlockError.WRONG_PRODUCER


def test_macro_rules_are_checked_in_order() -> None:
    rules: list[tuple[BlockError, dict[str, Any]]] = [
        (BlockError.WRONG_VALIDATORS, {"validators": OTHER_VALIDATORS}),
        (BlockError.WRONG_SEED, {"seed": bytes(80)}),
        (BlockError.WRONG_PARENT_ELECTION, {"parent_election": digest("x")}),
        (BlockError.WRONG_PUNISHED_SET, {"punished": SignerSet.of([1])}),
    ]
    for (error, first), (_, second) in combinations(rules, 2):
        assert site(4).verify(changed(checkpoint(), **(first | second))) == error
    unsigned = replace(changed(checkpoint(), punished=SignerSet.of([1])), justification=NO_VOTES)
    assert site(4).verify(unsigned) == BlockError.WRONG_PUNISHED_SET


def test_transactions_in_and_out_of_their_window() -> None:
    """Two batches of four: a transaction that starts at 5 may stand in blocks 5 to 13."""
    sent = transaction(validity_start=5)
    allowed = [n for n in range(20) if may_include(sent, n, SMALL_POLICY, 1)]
    assert allowed == list(range(5, 14))


def test_transactions_of_other_networks_and_impossible_amounts() -> None:
    def is_valid(**fields: Any) -> bool:
        return may_include(transaction(**fields), 1, SMALL_POLICY, 1)

    assert is_valid()
    assert is_valid(value=MAX_COINS, fee=0)
    assert not is_valid(value=MAX_COINS, fee=1)
    assert not is_valid(network=2)


def test_proofs_are_tried_only_for_the_producer(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are tried with the keys of all validators: that is not to be had for nothing."""
    block = changed(micro(), body=MicroBody((equivocation_proof(keys(77)),)))
    assert site(3).verify(block) is BlockError.INVALID_EQUIVOCATION_PROOF
    seen: list[bytes] = []

    def count(public_key: bytes, message: bytes, signature: bytes) -> bool:
        seen.append(public_key)
        return False

    monkeypatch.setattr(ed25519, "verify", count)
    unsigned = Block(block.header, ProducerSignature(bytes(64)), block.body)

    assert site(3).verify(unsigned) is BlockError.WRONG_PRODUCER
    assert len(seen) == 1


def test_equivocation_proofs() -> None:
    rules = site(3).rules
    good = equivocation_proof(keys(2), number=2)

    assert is_valid_equivocation_proof(good, 3, rules)
    assert is_valid_equivocation_proof(good, 2, rules)
    assert not is_valid_equivocation_proof(good, 1, rules), "of a block to come"
    assert not is_valid_equivocation_proof(good, 13, rules), "of an epoch before"
    assert not is_valid_equivocation_proof(equivocation_proof(keys(2), network=2), 3, rules)
    assert not is_valid_equivocation_proof(replace(good, signature2=bytes(64)), 3, rules)
    assert not is_valid_equivocation_proof(replace(good, header2=good.header1), 3, rules)
    other = equivocation_proof(keys(1), number=2)
    mixed = replace(good, header2=other.header2, signature2=other.signature2)
    assert not is_valid_equivocation_proof(mixed, 3, rules), "of two producers"
    elsewhere = equivocation_proof(keys(2), number=2, seed=vrf.prove(keys(2).signing, b"other"))
    assert is_valid_equivocation_proof(elsewhere, 3, rules)
    turns = replace(good, header2=elsewhere.header2, signature2=elsewhere.signature2)
    assert not is_valid_equivocation_proof(turns, 3, rules), "of two parent seeds: two turns"
    no_seeds = equivocation_proof(keys(2), number=2, seed=b"\x02" + bytes(79))
    assert not is_valid_equivocation_proof(no_seeds, 3, rules), "of headers without a seed"
    apart = replace(good, header2=replace(good.header2, number=1))
    assert not is_valid_equivocation_proof(apart, 3, rules)
