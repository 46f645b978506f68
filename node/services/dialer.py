"""The task that dials the configured peers."""

import math

import structlog
import trio

from node.errors import UnavailableError
from node.net.dialer import DeadlinePassed, Dial, Dialer, DialFailed, Event
from node.net.network import Network

log = structlog.get_logger("dialer")

INBOX_SIZE = 256
"""More events than peers that a node can have: nobody waits in practice."""


class DialerService:
    """Owns one `Dialer`. Only the task inside `run` touches it."""

    def __init__(self, machine: Dialer, network: Network) -> None:
        self._machine = machine
        self._network = network
        self.events, self._inbox = trio.open_memory_channel[Event](INBOX_SIZE)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Dial until cancelled. Cancelling ends dials under way."""
        async with trio.open_nursery() as nursery:
            task_status.started()
            event: Event = DeadlinePassed()
            while True:
                for dial in self._machine.handle(event, trio.current_time()):
                    nursery.start_soon(self._dial, dial)
                event = await self._next_event()

    async def _next_event(self) -> Event:
        deadline = self._machine.next_deadline()
        with trio.move_on_at(math.inf if deadline is None else deadline):
            return await self._inbox.receive()
        return DeadlinePassed()

    async def _dial(self, dial: Dial) -> None:
        try:
            await self._network.connect(dial.address)
        except UnavailableError as error:
            log.debug("dial_failed", address=dial.address, reason=str(error))
            await self.events.send(DialFailed(dial.peer))
