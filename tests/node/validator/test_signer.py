"""What a validator signs is what every chain accepts, and is on disk before anybody sees it."""

from dataclasses import replace

import pytest

from node.blocks.block import Block
from node.blocks.signing import precommit_message
from node.chain.chain import Chain
from node.chain.results import Pushed
from node.crypto import bls, ed25519
from node.gossip.votes import signed_message
from node.keys import NodeKeys
from node.storage.memory import MemoryStore
from node.validator.macro_values import MacroRecord, OwnVote
from node.validator.micro_machine import Turn
from node.validator.position import Position
from node.validator.signed_store import SignedStore
from node.validator.signer import Signer
from protocols.messages.votes import VoteKind
from protocols.types import Hash32
from tests.build.blocks import digest, transaction
from tests.build.chain import KEY_CACHE, ChainBuilder, open_chain
from tests.build.clock import FixedClock
from tests.build.keys import GENESIS_TIMESTAMP, keys_of
from tests.build.state_sync import syncing_chain


class Bench:
    """A chain of some blocks and the signers of all its validators."""

    def __init__(self, blocks: int) -> None:
        self.builder = ChainBuilder()
        self.builder.extend(blocks)
        self.chain = open_chain(self.builder.genesis)
        self.builder.push_all(self.chain)
        self.clock = FixedClock(GENESIS_TIMESTAMP + 1000 * (blocks + 1) + 250)
        self.stores = [MemoryStore() for _ in self.members]

    @property
    def members(self) -> tuple[NodeKeys, ...]:
        return keys_of(self.chain.validators)

    def signer(self, index: int) -> Signer:
        """Return a new signer of a validator: what it knows is in its store."""
        return Signer(
            chain=self.chain,
            keys=self.members[index],
            signed=SignedStore(self.stores[index]),
            clock=self.clock,
        )

    @property
    def producer(self) -> int:
        return Position.of(self.chain).producer()

    def turn(self, *, parent: Hash32 | None = None) -> Turn:
        head = self.chain.head
        return Turn(
            number=head.number + 1,
            parent=head.hash if parent is None else parent,
            parent_seed=head.seed,
            parent_at=0,
            is_ours=True,
        )


def push(chain: Chain, block: Block) -> bool:
    (result,) = chain.push([block])
    return isinstance(result, Pushed)


def test_a_micro_block_is_accepted() -> None:
    bench = Bench(1)
    made = bench.signer(bench.producer).micro_block(bench.turn(), [transaction()])

    assert made is not None
    assert made.left_out == ()
    assert made.block.header.timestamp == bench.clock.ms
    assert push(bench.chain, made.block)


def test_a_block_is_never_dated_before_its_time() -> None:
    bench = Bench(1)
    bench.clock.ms -= 5000

    made = bench.signer(bench.producer).micro_block(bench.turn(), [])

    assert made is not None
    assert made.block.header.timestamp == bench.chain.head.timestamp + 1000


def test_impossible_transactions_are_named() -> None:
    bench = Bench(1)
    too_much = transaction(value=10**12)

    made = bench.signer(bench.producer).micro_block(bench.turn(), [too_much, transaction()])

    assert made is not None
    assert made.left_out == (too_much.hash,)


def test_one_block_per_turn_also_after_a_restart() -> None:
    bench = Bench(1)
    assert bench.signer(bench.producer).micro_block(bench.turn(), []) is not None

    assert bench.signer(bench.producer).micro_block(bench.turn(), [transaction()]) is None


def test_no_block_after_a_skip_vote_also_after_a_restart() -> None:
    bench = Bench(1)
    bench.signer(bench.producer).skip_vote(bench.turn(), bench.producer)

    assert bench.signer(bench.producer).micro_block(bench.turn(), []) is None


def test_no_block_above_a_head_that_has_moved() -> None:
    bench = Bench(1)
    turn = bench.turn(parent=digest("another head"))

    assert bench.signer(bench.producer).micro_block(turn, []) is None
    assert bench.signer(bench.producer).skip_block(turn, []) is None
    assert bench.signer(bench.producer).micro_block(bench.turn(), []) is not None


def test_a_quorum_of_skip_votes_makes_a_skip_block() -> None:
    bench = Bench(1)
    votes = [bench.signer(index).skip_vote(bench.turn(), index) for index in (0, 2, 3)]
    for vote in votes:
        key = bench.members[vote.validator].voting.public_key
        assert bls.verify(key, signed_message(1, vote), vote.signature, KEY_CACHE)

    block = bench.signer(1).skip_block(bench.turn(), [(v.validator, v.signature) for v in votes])

    assert block is not None
    assert block.is_skip
    assert push(bench.chain, block)


def test_a_macro_block_from_content_to_quorum() -> None:
    bench = Bench(3)
    signer = bench.signer(bench.producer)
    content = signer.macro_content(4, 0)
    assert content is not None
    assert all(bench.signer(index).is_valid(content) for index in range(4))
    own_vote = OwnVote(VoteKind.PRECOMMIT, 1, content.hash)
    votes = [bench.signer(index).vote(4, own_vote, index) for index in (3, 0, 1)]

    block = signer.macro_block(content, 1, [(v.validator, v.signature) for v in votes])

    assert push(bench.chain, block)
    assert bench.chain.macro_head.hash == content.hash


def test_a_macro_block_of_another_height_is_not_made() -> None:
    assert Bench(2).signer(0).macro_content(4, 0) is None


def test_content_of_another_round_is_not_valid() -> None:
    bench = Bench(3)
    content = bench.signer(bench.producer).macro_content(4, 0)
    assert content is not None

    moved = replace(content, header=replace(content.header, round=1))
    assert bench.signer(0).is_valid(content) is True
    assert bench.signer(0).is_valid(moved) is False
    orphan = replace(content, header=replace(content.header, parent_hash=digest("unknown")))
    assert bench.signer(0).is_valid(orphan) is None


def test_a_proposal_is_signed_by_its_proposer() -> None:
    bench = Bench(3)
    signer = bench.signer(bench.producer)
    content = signer.macro_content(4, 0)
    assert content is not None

    proposal = signer.proposal(3, 2, content, bench.producer)

    key = bench.members[bench.producer].signing.public_key
    assert ed25519.verify(key, signed_message(1, proposal), proposal.message.signature)


def test_a_vote_repeated_has_the_same_bytes() -> None:
    bench = Bench(3)
    own_vote = OwnVote(VoteKind.PRECOMMIT, 1, None)

    first, again = bench.signer(2).vote(4, own_vote, 2), bench.signer(2).vote(4, own_vote, 2)

    assert first == again
    key = bench.members[2].voting.public_key
    assert bls.verify(key, precommit_message(1, 4, 1, None), first.signature, KEY_CACHE)


def test_records_survive_and_contradictions_do_not_pass() -> None:
    bench = Bench(3)
    vote = OwnVote(VoteKind.PREVOTE, 0, digest("a"))
    record = MacroRecord(number=4, round=0, votes=(vote,), proposal=None, locked=None, valid=None)
    bench.signer(1).store(record)

    assert bench.signer(1).macro_record(4) == record
    with pytest.raises(AssertionError, match="own vote"):
        bench.signer(1).store(replace(record, votes=(replace(vote, block=None),)))


def test_final_heights_are_forgotten() -> None:
    bench = Bench(1)
    bench.signer(0).skip_vote(bench.turn(), 0)
    turn = bench.turn()
    bench.builder.extend(3)
    bench.chain.push(bench.builder.blocks[1:])

    assert bench.signer(0).macro_record(8) is None

    assert SignedStore(bench.stores[0]).may_produce(turn.number, turn.parent_seed)


def test_nothing_is_proposed_and_judged_without_the_state() -> None:
    bench = Bench(3)
    content = bench.signer(0).macro_content(4, 0)
    assert content is not None
    bench.chain = syncing_chain(bench.builder.genesis)
    bench.builder.push_all(bench.chain)
    signer = bench.signer(bench.producer)

    assert signer.micro_block(bench.turn(), []) is None
    assert signer.macro_content(4, 0) is None
    assert signer.is_valid(content) is None
