"""The task that dials the configured peers."""

import math
from collections import Counter
from typing import Final

import structlog
import trio

from node.errors import UnavailableError
from node.net.dialer import DeadlinePassed, Dial, Dialer, DialFailed, Event, Joined, Left
from node.net.network import Network
from protocols.types import PeerId

log = structlog.get_logger("dialer")

INBOX_SIZE: Final = 64
"""Dials under way are bounded by the machine: nobody waits in practice."""

FAILURES_BEFORE_WARNING: Final = 5
"""Dials in a row that may fail silently: nodes of one network start within seconds."""

LOOK_INTERVAL_S: Final = 0.5
"""Between two looks at who is connected: a lost peer is dialled again at most this much later."""


class DialerService:
    """Owns one `Dialer`. Only the task inside `run` touches it.

    The network's events have one reader, the sync service; this one compares the list of peers
    now and then, which for a few dozen peers costs nothing.
    """

    def __init__(self, machine: Dialer, network: Network) -> None:
        self._machine = machine
        self._network = network
        self._connected: set[PeerId] = set()
        self._failures: Counter[PeerId] = Counter()
        """Dials in a row that came to nothing."""
        self._outcomes, self._inbox = trio.open_memory_channel[Joined | DialFailed](INBOX_SIZE)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Dial until cancelled. Cancelling ends dials under way."""
        async with trio.open_nursery() as nursery:
            task_status.started()
            while True:
                for event in [*self._changes(), DeadlinePassed()]:
                    self._feed(event, nursery)
                if outcome := await self._next_outcome():
                    self._feed(outcome, nursery)

    def _feed(self, event: Event, nursery: trio.Nursery) -> None:
        if isinstance(event, Joined):
            # Also when it has left again before anybody looked: the next look finds that out.
            self._connected.add(event.peer)
        for dial in self._machine.handle(event, trio.current_time()):
            nursery.start_soon(self._dial, dial)

    def _changes(self) -> list[Event]:
        """Return who joined and left since the last look, in an order that repeats."""
        now = set(self._network.peers)
        left = [Left(peer) for peer in sorted(self._connected - now)]
        joined = [Joined(peer) for peer in sorted(now - self._connected)]
        self._connected = now
        return [*left, *joined]

    async def _next_outcome(self) -> Joined | DialFailed | None:
        deadline = self._machine.next_deadline()
        next_look = trio.current_time() + LOOK_INTERVAL_S
        with trio.move_on_at(min(math.inf if deadline is None else deadline, next_look)):
            return await self._inbox.receive()
        return None

    async def _dial(self, dial: Dial) -> None:
        outcome: Joined | DialFailed = Joined(dial.peer)
        try:
            await self._network.connect(dial.address)
        except UnavailableError as error:
            self._log_failure(dial, str(error))
            outcome = DialFailed(dial.peer)
        else:
            del self._failures[dial.peer]
        await self._outcomes.send(outcome)

    def _log_failure(self, dial: Dial, reason: str) -> None:
        """Tell the operator once in each row of failures: a seed may be wrong or refuse us."""
        self._failures[dial.peer] += 1
        write = log.warning if self._failures[dial.peer] == FAILURES_BEFORE_WARNING else log.debug
        write("seed_unreachable", address=dial.address, reason=reason)
