"""Users of whole light and pico nodes ask, in virtual time, while peers of theirs lie."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import trio
from trio.testing import MockClock

from node.errors import Fault
from node.net.network import Handler
from node.profiles import Profile
from node.rpc.json_rpc import Call, CallError
from node.rpc.methods import call
from node.testnet.spec import Topology
from protocols.ids import RequestProtocol
from protocols.types import PeerId
from tests.build.blocks import transaction
from tests.build.keys import address
from tests.sim.nodes import POLICY, Nodes, SimNode

LONG_WINDOW = replace(POLICY, validity_window_batches=60)
"""Full nodes keep all that is asked about."""

LIED_ABOUT = (
    RequestProtocol.TRIE_PROOF,
    RequestProtocol.TRANSACTIONS_PROOF,
    RequestProtocol.BLOCKS_PROOF,
)


def lying(truth: Handler, tell: Callable[[bytes], bytes]) -> Handler:
    """Return what changes the answers of an honest handler."""

    async def handle(peer: PeerId, payload: bytes) -> bytes:
        return tell(await truth(peer, payload))

    return handle


def one_bit_off(answer: bytes) -> bytes:
    """Change the middle of a proof; leave refusals."""
    middle = len(answer) // 2
    if len(answer) < 4:
        return answer
    return answer[:middle] + bytes([answer[middle] ^ 1]) + answer[middle + 1 :]


def let_lie(node: SimNode) -> None:
    """Change all proofs that a node gives."""
    handlers = node.network._handlers
    for protocol in LIED_ABOUT:
        handlers[protocol] = lying(handlers[protocol], one_bit_off)


async def ask(node: SimNode, method: str, *params: object) -> dict[str, dict[str, object]]:
    result: dict[str, dict[str, object]] = await call(
        node.node, Call(method, list(params)), is_admin=False
    )
    return result


@pytest.mark.parametrize("seed", range(2))
async def test_users_of_all_profiles_hear_the_truth(
    seed: int, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """Two of five peers with state lie. They are blamed, by those whom they lied to."""
    mix = {"history": 2, "full": 3, "light": 1, "pico": 1}
    nodes = Nodes(nursery, seed=seed, mix=mix, policy=LONG_WINDOW, topology=Topology.MESH)
    await nodes.start()
    honest = next(node for node in nodes.nodes if node.spec.name == "history-1")
    sent = transaction(value=77, recipient=2)
    assert await honest.node.submit(sent) is None
    await nodes.until_final(16, within_s=60)
    liars = [node for node in nodes.nodes if node.spec.name in {"history-2", "full-2"}]
    for liar in liars:
        let_lie(liar)
    expected = honest.node.chain.account(address(2)).balance

    for node in nodes.nodes:
        for _ in range(3):
            account = await ask(node, "getAccountByAddress", address(2).hex())
            assert account["data"]["balance"] == expected
            found = await ask(node, "getTransactionByHash", sent.hash.hex())
            assert found["data"]["value"] == 77
            block = await ask(node, "getBlockByNumber", 2)
            assert block["data"]["hash"] == honest.hash_at(2).hex()
            keeps_state = Profile(node.spec.profile).traits.keeps_state
            for answer in (account, found, block):
                assert ("proof" in answer["metadata"]) is not keeps_state
        with pytest.raises(CallError, match="no"):
            await ask(node, "getTransactionByHash", "ab" * 32)

    names = {liar.peer_id for liar in liars}
    for node in nodes.nodes:
        assert {peer for peer, _ in node.faults} <= names
        assert {fault for _, fault in node.faults} <= {Fault.INVALID_BLOCK, Fault.MALFORMED}
    assert any(node.faults for node in nodes.nodes)
    nursery.cancel_scope.cancel()


async def test_nobody_left_who_could_prove_it(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    nodes = Nodes(nursery, mix={"full": 4, "pico": 1}, topology=Topology.MESH)
    await nodes.start()
    await nodes.until_final(4, within_s=30)
    pico = next(node for node in nodes.nodes if node.spec.profile == "pico")
    assert "proof" in (await ask(pico, "getAccountByAddress", "33" * 20))["metadata"]
    nodes.kill(node.spec.name for node in nodes.nodes if node is not pico)
    await trio.sleep(1)
    with pytest.raises(CallError, match="no peer is connected that proves accounts"):
        await ask(pico, "getAccountByAddress", "33" * 20)
    nursery.cancel_scope.cancel()
