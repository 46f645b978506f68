"""Where a validator stands."""

from dataclasses import dataclass, field

from node.blocks.header import Header, MacroHeader
from node.blocks.validators import Validators
from node.chain.chain import Chain
from node.policy import Policy
from node.validator.position import Position
from tests.build.chain import ChainBuilder, open_chain
from tests.build.keys import SMALL_POLICY


def test_a_position_in_the_middle_of_a_batch() -> None:
    builder = ChainBuilder()
    builder.extend(6)
    position = Position.of(builder.chain)

    assert (position.head, position.macro) == (builder.head, builder.block_at(4).header)
    assert (position.next_number, position.macro_number) == (7, 8)
    assert not position.is_macro_next
    builder.extend(1)
    assert Position.of(builder.chain).is_macro_next


def test_the_producer_is_who_signs_the_block_that_comes_next() -> None:
    builder = ChainBuilder()
    signing = []
    for _ in range(3):
        position = Position.of(builder.chain)
        signing.append(position.producer())
        assert position.producer() == position.proposers()(0)
        builder.micro()

    assert len(set(signing)) > 1, "chosen keys: the draw is the same in every run"


def test_each_slot_proposes_once_before_the_first_comes_again() -> None:
    builder = ChainBuilder()
    builder.extend(3)
    proposer = Position.of(builder.chain).proposers()
    slots = SMALL_POLICY.slots
    turns = [proposer(round_) for round_ in range(2 * slots)]

    assert sorted(turns[:slots]) == sorted([0, 1, 2, 3] * 3)
    assert turns[slots:] == turns[:slots]


@dataclass
class MovingChain:
    """A chain that is pushed to while somebody reads it: after the head and before the rest."""

    chain: Chain
    builder: ChainBuilder
    pushes: int
    read: list[Header] = field(default_factory=list)

    @property
    def head(self) -> Header:
        self.read.append(self.chain.head)
        return self.chain.head

    @property
    def macro_head(self) -> MacroHeader:
        if self.pushes:
            self.pushes -= 1
            self.chain.push(self.builder.extend(1))
        return self.chain.macro_head

    @property
    def validators(self) -> Validators:
        return self.chain.validators

    @property
    def policy(self) -> Policy:
        return self.chain.policy


def test_a_position_is_of_one_head_whatever_is_pushed_meanwhile() -> None:
    builder = ChainBuilder()
    builder.extend(2)
    chain = open_chain(builder.genesis)
    builder.push_all(chain)
    moving = MovingChain(chain, builder, pushes=2)

    position = Position.of(moving)  # type: ignore[arg-type]

    assert position.head == position.macro == builder.block_at(4).header
    assert len(moving.read) == 6, "twice for each look, and two looks were in vain"
