"""The proof service on a simulated network: slow, silent and lying peers, bounds and time."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest
import trio
from trio.testing import MockClock

from node.errors import Fault
from node.net.hub import Hub, LinkConditions
from node.net.network import Handler
from node.net.scores import POINTS, ScoreLimits
from node.net.simulated import SimulatedNetwork, simulated_address
from node.serve.trie_proof import serve_trie_proof
from node.services.proofs import (
    MAX_SEARCHES,
    MAX_WAITING,
    PEER_TIMEOUT_S,
    SEARCH_TIMEOUT_S,
    Outcome,
    ProofService,
)
from node.services.serve import ServeService
from node.sync.proofs.questions import AccountQuestion, BlockQuestion, ProvenAccount
from node.sync.proofs.search import Proven, Unproven
from protocols.ids import RequestProtocol
from protocols.messages.handshake import Hello
from protocols.messages.trie_proof import TrieProofRequest
from protocols.status import Refusal, ResponseStatus
from protocols.types import PeerId, Service
from tests.build.chain import KEY_CACHE
from tests.build.keys import address
from tests.contract.network_contract import hello
from tests.node.serve.chains import epochs

TRIE = RequestProtocol.TRIE_PROOF
QUESTION = AccountQuestion(address(1))


async def hang(_peer: PeerId, _payload: bytes) -> bytes:
    await trio.sleep_forever()
    raise AssertionError


async def lie(_peer: PeerId, payload: bytes) -> bytes:
    """Prove what the account was a batch ago."""
    await trio.lowlevel.checkpoint()
    request = TrieProofRequest.decode(payload)
    return serve_trie_proof(replace(request, target=epochs().at(24)), epochs().chain).encode()


async def tell_the_truth(_peer: PeerId, payload: bytes) -> bytes:
    await trio.lowlevel.checkpoint()
    return serve_trie_proof(TrieProofRequest.decode(payload), epochs().chain).encode()


async def refuse(_peer: PeerId, _payload: bytes) -> bytes:
    await trio.lowlevel.checkpoint()
    return Refusal(ResponseStatus.PRUNED).encode()


async def babble(_peer: PeerId, _payload: bytes) -> bytes:
    """Send more than the protocol allows."""
    await trio.lowlevel.checkpoint()
    return bytes(TRIE.limits.max_response_bytes + 1)


def says(services: Service) -> Callable[[], Hello]:
    return lambda: replace(hello(), services=services)


async def asking(
    nursery: trio.Nursery, peers: Mapping[str, Handler], *, in_thread: bool = False
) -> tuple[ProofService, SimulatedNetwork]:
    """Return the service of a light node with these peers, connected in this order."""
    hub = Hub(seed=1, conditions=LinkConditions(latency_s=(0, 0)))
    never_fades = ScoreLimits(fade_per_s=0)
    client = SimulatedNetwork(hub, PeerId("light"), says(Service.HEADERS), score_limits=never_fades)
    await nursery.start(client.run)
    for name, handler in peers.items():
        server = SimulatedNetwork(hub, PeerId(name), says(Service.STATE))
        server.serve(TRIE, handler)
        await nursery.start(server.run)
        await client.connect(simulated_address(server.peer_id))
    service = ProofService(client, epochs().light(), KEY_CACHE, in_thread=in_thread)
    return service, client


def truth(outcome: Outcome[ProvenAccount]) -> PeerId:
    """Check that the answer is right; return who proved it."""
    then = epochs().builder.fork_from(epochs().at(28)).chain.account(address(1))
    assert isinstance(outcome, Proven)
    assert outcome.answer.account == then
    return outcome.peer


@pytest.mark.parametrize("in_thread", [False, True])
async def test_after_a_lie_the_next_peer(nursery: trio.Nursery, in_thread: bool) -> None:
    """A lie costs half a ban, and the liar is not asked for the next question."""
    service, network = await asking(
        nursery, {"liar": lie, "honest": tell_the_truth}, in_thread=in_thread
    )
    for _ in range(3):
        assert truth(await service.prove(QUESTION)) == "honest"
        assert network.peers[PeerId("liar")].score == POINTS[Fault.INVALID_BLOCK]
    assert network.peers[PeerId("honest")].score == 0
    nursery.cancel_scope.cancel()


async def test_silence_costs_one_timeout_and_no_points(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    service, network = await asking(nursery, {"silent": hang, "honest": tell_the_truth})
    started = trio.current_time()
    assert truth(await service.prove(QUESTION)) == "honest"
    assert trio.current_time() - started == pytest.approx(PEER_TIMEOUT_S, abs=0.1)
    # From now on the silent one is asked last.
    assert truth(await service.prove(QUESTION)) == "honest"
    assert trio.current_time() - started == pytest.approx(PEER_TIMEOUT_S, abs=0.1)
    assert network.peers[PeerId("silent")].score == 0
    assert network.open_requests == 0
    nursery.cancel_scope.cancel()


async def test_a_peer_that_answers_again_is_asked_first(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    hangs = iter([True])

    async def hang_once(peer: PeerId, payload: bytes) -> bytes:
        return await (hang if next(hangs, False) else tell_the_truth)(peer, payload)

    service, _ = await asking(nursery, {"back": hang_once, "silent": hang})
    assert isinstance(await service.prove(QUESTION), Unproven)
    started = trio.current_time()
    for _ in range(2):
        assert truth(await service.prove(QUESTION)) == "back"
    assert trio.current_time() - started < PEER_TIMEOUT_S
    nursery.cancel_scope.cancel()


async def test_a_peer_that_drags_its_answers_out(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """It has one timeout for all its answers, not one for each."""

    async def just_in_time(_peer: PeerId, payload: bytes) -> bytes:
        await trio.sleep(0.9 * PEER_TIMEOUT_S)
        request = TrieProofRequest.decode(payload)
        if request.target == epochs().chain.macro_head.hash:
            return Refusal(ResponseStatus.TARGET_NOT_FOUND).encode()
        return await tell_the_truth(_peer, payload)

    service, _ = await asking(nursery, {"slow": just_in_time, "honest": tell_the_truth})
    started = trio.current_time()
    assert truth(await service.prove(QUESTION)) == "honest"
    assert trio.current_time() - started == pytest.approx(PEER_TIMEOUT_S, abs=0.1)
    nursery.cancel_scope.cancel()


async def test_nobody_proves_it(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    service, network = await asking(nursery, {"pruned": refuse, "liar": lie, "babbler": babble})
    unproven = Unproven("accounts", ("pruned", "false proof", "malformed answer"))
    assert await service.prove(QUESTION) == unproven
    assert network.peers[PeerId("pruned")].score == 0
    assert network.peers[PeerId("babbler")].score == POINTS[Fault.MALFORMED]
    # None of them says that it keeps old blocks.
    assert await service.prove(BlockQuestion(1, False)) == Unproven("old blocks", ())
    nursery.cancel_scope.cancel()


async def test_a_search_ends(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    service, _ = await asking(nursery, {str(number): hang for number in range(9)})
    started = trio.current_time()
    unproven = await service.prove(QUESTION)
    assert trio.current_time() - started == pytest.approx(SEARCH_TIMEOUT_S, abs=0.1)
    assert unproven == Unproven("accounts", ("no answer",) * 4)
    nursery.cancel_scope.cancel()


async def test_many_questions_at_once(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """So many are asked, so many wait, and the others are told at once."""
    service, network = await asking(nursery, {"silent": hang})
    outcomes: list[tuple[float, Outcome[ProvenAccount]]] = []

    async def ask() -> None:
        outcome = await service.prove(QUESTION)
        outcomes.append((trio.current_time(), outcome))

    started = trio.current_time()
    async with trio.open_nursery() as questions:
        for _ in range(MAX_SEARCHES + MAX_WAITING + 3):
            questions.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        too_many = Unproven("accounts", ("too many questions at once",))
        assert [outcome for _, outcome in outcomes] == [too_many] * 3
        assert network.open_requests == MAX_SEARCHES
    assert len(outcomes) == MAX_SEARCHES + MAX_WAITING + 3
    assert max(ended for ended, _ in outcomes) - started < SEARCH_TIMEOUT_S + 0.1
    nursery.cancel_scope.cancel()


async def test_we_stay_below_the_limit_of_a_peer(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """A user who asks too much is told so; the peer has nothing to complain of."""
    hub = Hub(seed=1, conditions=LinkConditions(latency_s=(0, 0)))
    client, server = (
        SimulatedNetwork(hub, PeerId(name), says(Service.STATE)) for name in ("light", "full")
    )
    ServeService(server, epochs().chain, in_thread=False).register()
    for network in (client, server):
        await nursery.start(network.run)
    await client.connect(simulated_address(server.peer_id))
    service = ProofService(client, epochs().light(), KEY_CACHE, in_thread=False)
    allowed = TRIE.limits.requests_per_10_s // 2
    outcomes = [await service.prove(QUESTION) for _ in range(allowed + 2)]
    assert {truth(outcome) for outcome in outcomes[:allowed]} == {"full"}
    assert outcomes[allowed:] == [Unproven("accounts", ("asked too often",))] * 2
    assert server.peers[PeerId("light")].score == 0
    await trio.sleep(10)
    assert truth(await service.prove(QUESTION)) == "full"
    nursery.cancel_scope.cancel()
