"""Running static against dynamic state sync: a network, then one newcomer of each strategy.

    validators, load --> height to join at --> both newcomers at once --> looks at all --> record

Nothing is forked once the looks have begun: they run in threads, one for each node.
"""

import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final, Protocol

from node.errors import NodeError, UnreachableError
from node.process import ProcessRecord
from node.rpc.client import RpcClient, RpcError
from node.testnet.experiment import (
    READ,
    STRATEGIES,
    ExperimentSpec,
    Point,
    Reading,
    Recording,
    has_followed,
    is_live,
    newcomers,
    points_of,
)
from node.testnet.layout import Description, NetworkFolder
from node.testnet.nodes import Nodes
from node.testnet.prepare import add_specs, prepare
from node.testnet.processes import children_of, end_processes
from node.testnet.spec import NodeSpec

LOOK_S: Final = 0.2
"""Longest between two looks at a node; news are seen at once."""

PAUSE_S: Final = 0.02
"""Shortest between two looks at a node: asking must not cost what is being measured."""

HEIGHT_LOOK_S: Final = 0.1
"""Between two looks at the height of the network."""

SETTLE_S: Final = 2.0
"""How long both are watched after they are live, so that it is seen that they stay so."""

ANSWER_TIMEOUT_S: Final = 5.0
"""For one answer, beyond what a question for news is held."""

STOP_TIMEOUT_S: Final = 10.0
"""Longer than a node's own bound for a graceful stop."""


_ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class NotInTimeError(NodeError):
    """The network did not get so far within the time."""


class NewcomerError(NodeError):
    """A newcomer did not do what the experiment is about.

    Attributes:
        node: Its name.
    """

    def __init__(self, node: str, reason: str) -> None:
        super().__init__(f"{node}: {reason}")
        self.node = node


class Start(Protocol):
    """Starts processes, and returns when all of them are ready."""

    def __call__(self, nodes: Sequence[NodeSpec], *, load: Description | None) -> None:
        """Start nodes, and the load of a network if it is given."""
        ...


class Watcher(Protocol):
    """Is told how it goes, for people who wait."""

    def phase(self, text: str) -> None:
        """Hear of what is done next."""
        ...

    def points(self, newest: Sequence[Point]) -> None:
        """Hear of where the newcomers are."""
        ...


@contextmanager
def prepared(
    spec: ExperimentSpec, folder: NetworkFolder, *, keep: bool = False
) -> Iterator[Description]:
    """Write the files of the network; at the end no process that was started inside goes on.

    Args:
        spec: What the network is for.
        folder: Must not exist. It is removed at the end.
        keep: Leave it where it is.

    Raises:
        ConfigError: The folder exists or cannot be written.
        ListenError: Not enough free ports.
    """
    before = set(children_of(os.getpid()))
    description = prepare(spec.network(), folder, timestamp_ms=_now_ms())
    try:
        yield description
    finally:
        with _undisturbed():
            # Also those that have not got as far as their process.json.
            now = children_of(os.getpid())
            started = {str(pid): pid for pid in now if pid not in before}
            end_processes(started, timeout_s=STOP_TIMEOUT_S)
            for pid in started.values():
                # Else it stays a zombie as long as this process goes on.
                with suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)
            ProcessRecord.remove(folder.load)
            if not keep:
                shutil.rmtree(folder.path, ignore_errors=True)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Finish what is bounded in time: a second Ctrl-C would leave processes behind."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in _ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run_experiment(
    spec: ExperimentSpec,
    folder: NetworkFolder,
    description: Description,
    start: Start,
    watcher: Watcher,
    *,
    timeout_s: float,
) -> Recording:
    """Run the experiment in a network that is prepared and does not run.

    Args:
        spec: What it is.
        folder: Of the network.
        description: Of the network.
        start: Starts its processes.
        watcher: Is told how it goes.
        timeout_s: For the network to come to the height, and again for both newcomers to be live.

    Returns:
        What was seen; ends without both being live when the time is up.

    Raises:
        NotInTimeError: The network did not come to the height.
        NewcomerError: One ended, or came to the head without a state sync.
    """
    validators = description.spec.nodes
    watcher.phase(f"{len(validators)} validators, {spec.accounts} accounts")
    start(validators, load=description)
    watcher.phase(f"both join at height {spec.join_at}")
    _wait_for_height(description, spec.join_at, timeout_s)
    new = newcomers()
    add_specs(description, folder, new)
    started_ms = _now_ms()
    start(new, load=None)
    watcher.phase("both have been started")
    looks = {node.name: _Look(folder, node) for node in (*validators, *new)}
    try:
        return _record(spec, looks, started_ms, watcher, timeout_s)
    finally:
        for look in looks.values():
            look.close()


def _record(
    spec: ExperimentSpec,
    looks: "dict[str, _Look]",
    started_ms: int,
    watcher: Watcher,
    timeout_s: float,
) -> Recording:
    end, live = time.monotonic() + timeout_s, set[str]()
    while time.monotonic() < end:
        time.sleep(LOOK_S)
        _check_running(looks)
        newest = _seen(spec, looks, started_ms, only_newest=True)
        if newest is None:
            continue
        _check_fetching(newest)
        points = [points_of(newest, each)[-1] for each in STRATEGIES]
        watcher.points(points)
        is_first_time = len(live) < len(STRATEGIES)
        live.update(point.strategy for point in points if is_live(point))
        if is_first_time and len(live) == len(STRATEGIES):
            end = min(end, time.monotonic() + SETTLE_S)
    seen = _seen(spec, looks, started_ms)
    if seen is None:
        raise NotInTimeError(f"not every node answered within {timeout_s:g} s")
    return seen


def _seen(
    spec: ExperimentSpec,
    looks: "dict[str, _Look]",
    started_ms: int,
    *,
    only_newest: bool = False,
) -> Recording | None:
    """Return what has been seen so far; None before every newcomer and a validator answered."""
    start = -1 if only_newest else 0
    readings = {name: tuple(look.readings[start:]) for name, look in looks.items()}
    found = {each: readings.pop(each) for each in STRATEGIES}
    validators = tuple(each for each in readings.values() if each)
    if not validators or not all(found.values()):
        return None
    return Recording(spec=spec, started_ms=started_ms, validators=validators, newcomers=found)


def _check_running(looks: "dict[str, _Look]") -> None:
    for name in STRATEGIES:
        if not looks[name].is_running():
            raise NewcomerError(name, "it has ended")


def _check_fetching(newest: Recording) -> None:
    for name, readings in newest.newcomers.items():
        if has_followed(readings[-1]):
            raise NewcomerError(name, "it followed the blocks and fetched no state: join later")


def _wait_for_height(description: Description, height: int, timeout_s: float) -> None:
    nodes = Nodes([f"127.0.0.1:{both.rpc}" for both in description.ports.values()])
    deadline, seen = time.monotonic() + timeout_s, 0
    while seen < height:
        if time.monotonic() >= deadline:
            raise NotInTimeError(f"the network was at height {seen} after {timeout_s:g} s")
        time.sleep(HEIGHT_LOOK_S)
        seen = max(seen, nodes.height() or 0)


class _Look:
    """Looks at one node in a thread of its own, until it is closed."""

    def __init__(self, folder: NetworkFolder, node: NodeSpec) -> None:
        self._data = folder.node(node.name).data
        self._stopping = threading.Event()
        self.readings: list[Reading] = []
        """Ascending. Only ever appended to."""
        # A daemon thread: a command that is done does not wait for a silent node.
        threading.Thread(target=self._run, daemon=True).start()

    def close(self) -> None:
        """End with the answer that is being waited for."""
        self._stopping.set()

    def is_running(self) -> bool:
        """Tell whether the node's process is there."""
        record = ProcessRecord.load(self._data)
        return record is not None and record.is_alive()

    def _run(self) -> None:
        while not self._stopping.wait(PAUSE_S):
            record = ProcessRecord.load(self._data)
            if record is not None and record.is_alive():
                self._follow(record)

    def _follow(self, record: ProcessRecord) -> None:
        sequence = 0
        with RpcClient(record.rpc, timeout_s=ANSWER_TIMEOUT_S) as client:
            while not self._stopping.wait(PAUSE_S):
                question = {"after": sequence, "timeout_s": LOOK_S}
                try:
                    status = client.call("awaitStatus", question)["data"]
                except (UnreachableError, RpcError):
                    return
                sequence = status["sequence"]
                self.readings.append(Reading(_now_ms(), {name: status[name] for name in READ}))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
