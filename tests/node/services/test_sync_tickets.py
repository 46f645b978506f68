"""Requests of the sync task whose tickets overlap."""

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from node.sync.effects import CancelRequest, SendRequest
from node.sync.tickets import Asker, TicketId
from protocols.messages.head import HeadRequest
from tests.build.sync import ALICE
from tests.node.services.test_sync import Rig


async def test_ticket_that_is_used_again_is_the_newer_request(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """The task of a request that was cancelled ends after the next one has its ticket."""
    rig = Rig()
    ticket = TicketId(Asker.MACRO_HEAD, 1)
    send, cancel = SendRequest(ticket, ALICE, HeadRequest()), CancelRequest(ticket)

    await rig.sync._perform(send, nursery)
    await wait_all_tasks_blocked()
    for effect in (cancel, send):
        await rig.sync._perform(effect, nursery)
    await wait_all_tasks_blocked()
    assert rig.network.open_requests == 1

    await rig.sync._perform(cancel, nursery)
    await wait_all_tasks_blocked()
    assert rig.network.open_requests == 0
    assert rig.sync._scopes == {}
