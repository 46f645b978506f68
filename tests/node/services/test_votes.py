"""The reader of the VOTES topic on the simulated network."""

from dataclasses import replace

import trio
from trio.testing import MockClock

from node.gossip.votes import VoteContent, signed_message
from node.net.hub import Hub
from node.net.simulated import SimulatedNetwork, simulated_address
from node.services.votes import Deliver, VotesService
from protocols.ids import Topic
from protocols.messages.votes import Vote, VoteKind
from protocols.types import PeerId
from tests.build.blocks import digest
from tests.build.chain import KEY_CACHE, ChainBuilder
from tests.build.keys import keys_of
from tests.contract.network_contract import hello


def _vote(builder: ChainBuilder, validator: int = 0) -> Vote:
    unsigned = Vote(
        kind=VoteKind.PREVOTE,
        number=4,
        round=0,
        block=digest("block"),
        validator=validator,
        signature=bytes(96),
    )
    key = keys_of(builder.chain.validators)[validator].voting
    return replace(unsigned, signature=key.sign(signed_message(1, unsigned)))


class Line:
    """Three nodes in a line: what the last one gets, the middle one has relayed."""

    def __init__(self, clock: MockClock, nursery: trio.Nursery) -> None:
        assert clock.current_time() == 0
        self.builder = ChainBuilder()
        self.delivered: dict[str, list[VoteContent]] = {"b": [], "c": []}
        hub = Hub(seed=1)
        self.nursery = nursery
        self.networks = {name: SimulatedNetwork(hub, PeerId(name), hello) for name in "abc"}

    async def start(self, *, c_is_validator: bool = True) -> None:
        self.networks["a"].subscribe(Topic.VOTES)
        for name in "bc":
            service = VotesService(
                network=self.networks[name],
                chain=self.builder.chain,
                keys=KEY_CACHE,
                deliver=self._deliver_to(name) if name == "b" or c_is_validator else None,
                in_thread=False,
            )
            self.nursery.start_soon(service.run)
        for network in self.networks.values():
            await self.nursery.start(network.run)
        for one, other in ("ab", "bc"):
            await self.networks[one].connect(simulated_address(PeerId(other)))

    def _deliver_to(self, name: str) -> Deliver:
        async def deliver(content: VoteContent) -> None:
            self.delivered[name].append(content)

        return deliver

    async def publish(self, payload: bytes) -> None:
        await self.networks["a"].publish(Topic.VOTES, payload)
        await trio.sleep(1)


async def test_a_good_vote_is_delivered_and_relayed(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    line = Line(autojump_clock, nursery)
    await line.start()
    vote = _vote(line.builder)

    await line.publish(vote.encode())

    assert line.delivered == {"b": [vote], "c": [vote]}
    assert all(not line.networks[name].unresolved for name in "bc")
    nursery.cancel_scope.cancel()


async def test_a_forged_vote_costs_its_sender_and_goes_no_further(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    line = Line(autojump_clock, nursery)
    await line.start()
    forged = replace(_vote(line.builder), validator=1)

    await line.publish(forged.encode())

    assert line.delivered == {"b": [], "c": []}
    assert line.networks["b"].peers[PeerId("a")].score > 0
    assert line.networks["c"].peers[PeerId("b")].score == 0
    nursery.cancel_scope.cancel()


async def test_a_node_that_does_not_validate_gives_verdicts_too(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    line = Line(autojump_clock, nursery)
    await line.start(c_is_validator=False)

    await line.publish(_vote(line.builder).encode())

    assert line.delivered["c"] == []
    assert not line.networks["c"].unresolved
    nursery.cancel_scope.cancel()
