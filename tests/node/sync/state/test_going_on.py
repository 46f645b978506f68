"""How much a process that goes on with what is stored asks for at first."""

from dataclasses import replace
from random import Random

from node.accounts.range_proof import FIRST_ADDRESS, LAST_ADDRESS
from node.sync.state import coverage, state_store
from node.sync.state.coverage import Coverage
from node.sync.state.state_events import AskRange
from protocols.types import Address, PeerId
from tests.build.state_source import Server, Source, random_state
from tests.build.state_world import LIMITS, World

MANY = 700
MIDDLE = Address(b"\x77" * 20)


def started() -> tuple[Source, World]:
    """Return a sync of many accounts that has one peer."""
    draw = Random(1)
    source = Source(random_state(draw, MANY), draw)
    world = World(source, 1)
    world.start(Server(PeerId("honest"), source, Random("honest")))
    return source, world


def test_it_asks_for_as_much_at_once_as_before_it_ended() -> None:
    """What is stored says how crowded the keys are: no answer has to tell it again."""
    source, world = started()
    while world.machine.progress.fraction < 0.5:
        assert world.step()
    asked = len(world.asked)
    world.kill()

    again = [ask for ask in world.asked[asked:] if isinstance(ask, AskRange)]
    assert len(again) == LIMITS.ranges_per_peer
    for ask in again:
        accounts = sum(ask.span[0] <= key <= ask.span[1] for key in source.states[-1])
        assert 0 < accounts < 2 * LIMITS.range_leaves
    assert world.machine.progress.total is None


def test_a_handful_of_accounts_says_nothing_about_the_rest() -> None:
    source, world = started()
    few = LIMITS.range_leaves - 1
    with world.store.write() as writer:
        state_store.begin(writer, source.target())
        stored = state_store.load(writer)
        state_store._save(writer, replace(stored, accounts=few))
        coverage.save(writer, Coverage(), Coverage([(FIRST_ADDRESS, MIDDLE)]))
    asked = len(world.asked)
    world.kill()

    (first,) = world.asked[asked:]
    assert isinstance(first, AskRange)
    assert first.span[1] == LAST_ADDRESS
