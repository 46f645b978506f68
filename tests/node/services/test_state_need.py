"""When a node starts to fetch its state: in the moment in which it is told to, never before."""

import trio
import trio.lowlevel
from trio.testing import MockClock, wait_all_tasks_blocked

from node.net.network import LeaveReason, PeerJoined, PeerLeft
from node.serve.head import serve_head
from protocols.ids import RequestProtocol
from protocols.messages.head import HeadRequest
from tests.build.state_sync import syncing_chain
from tests.build.sync import ALICE, make_hello
from tests.node.services.test_sync import NOTHING_NEW, Rig


async def test_that_a_state_is_needed_is_told_in_the_moment_in_which_it_is(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """Not before a peer has said that there is no newer macro block; then nobody has to look."""

    async def answer(protocol: RequestProtocol, _: bytes) -> bytes:
        await trio.sleep(1)
        if protocol is RequestProtocol.HEAD:
            return serve_head(HeadRequest(), rig.chain).encode()
        return NOTHING_NEW

    rig = Rig(answer, open_genesis=syncing_chain)
    await nursery.start(rig.sync.run)
    await rig.network.joins.send(PeerJoined(ALICE, make_hello(rig.chain)))

    with trio.fail_after(100):
        await rig.sync.until_state_is_needed()

    assert trio.current_time() == 2
    await rig.sync.until_state_is_needed()
    assert trio.current_time() == 2
    await rig.network.joins.send(PeerLeft(ALICE, LeaveReason.CLOSED))
    await wait_all_tasks_blocked()
    with trio.move_on_after(100) as waiting:
        await rig.sync.until_state_is_needed()
    assert waiting.cancelled_caught
    nursery.cancel_scope.cancel()


async def test_a_node_that_has_its_state_needs_none(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    async def answer(protocol: RequestProtocol, _: bytes) -> bytes:
        await trio.lowlevel.checkpoint()
        if protocol is RequestProtocol.HEAD:
            return serve_head(HeadRequest(), rig.chain).encode()
        return NOTHING_NEW

    rig = Rig(answer)
    await nursery.start(rig.sync.run)
    await rig.network.joins.send(PeerJoined(ALICE, make_hello(rig.chain)))

    with trio.move_on_after(100) as waiting:
        await rig.sync.until_state_is_needed()

    assert waiting.cancelled_caught
    nursery.cancel_scope.cancel()
