"""Who sends what when, in processes of their own, and what came of it.

    parent: fork all -> all listen -> write `begin` -> wait -> read what each wrote
    child:  listen -> ready -> wait for `begin` -> dial -> settle -> send on time -> write

All times are of the machine's one monotonic clock, which is the same in every process.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, Final, Protocol

import trio

from node.testnet.ports import free_ports
from node.testnet.processes import kill_processes
from node.testnet.spec import Topology
from node.testnet.topology import dials_of
from node.testnet.zygote import Job, start_all, wait_until_ready

SEED: Final = 7
READY_TIMEOUT_S: Final = 60
SETTLE_S: Final = 8.0
"""From the first dial to the first message: several heartbeats, so that every mesh is formed."""
DRAIN_S: Final = 4.0
"""After the last message."""
LOOK_S: Final = 0.02
TICK_S: Final = 0.005


@dataclass(frozen=True, slots=True)
class Sending:
    """One message. Its number is its place in the plan."""

    sender: int
    at_s: float
    """After the first one."""
    size: int
    """Bytes of its payload, about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What all processes know."""

    folder: Path
    ports: Sequence[int]
    dials: Sequence[Sequence[int]]
    """For each process the earlier ones that it dials."""
    sendings: Sequence[Sending]
    ticks: bool = False
    """Whether each process also watches how late its event loop is."""

    @property
    def seconds(self) -> float:
        """From the first message to the end."""
        return self.sendings[-1].at_s + DRAIN_S


@dataclass(slots=True, kw_only=True)
class Record:
    """What one process saw. Times in seconds of the monotonic clock."""

    sent: dict[int, float] = field(default_factory=dict)
    arrived: dict[int, float] = field(default_factory=dict)
    """First arrival of each message."""
    ticks: list[tuple[float, float]] = field(default_factory=list)
    """When a tick was due, and how late it was."""
    cpu_s: dict[int, float] = field(default_factory=dict)
    """Processor time for the messages of each size, without what the same time costs idle."""
    begin: float = 0.0
    """When the first message was due."""

    def note_sending(self, number: int, at: float | None = None) -> None:
        """Keep the time of a publication: now, unless the moment is given."""
        self.sent[number] = time.monotonic() if at is None else at

    def note_arrival(self, number: int) -> None:
        """Keep the time of a first arrival."""
        self.arrived.setdefault(number, time.monotonic())


class Member(Protocol):
    """One process's part in a plan."""

    async def dial(self) -> None:
        """Connect to the earlier ones; all of them listen."""
        ...

    async def send(self, number: int) -> None:
        """Publish a message and note when."""
        ...


OpenMember = Callable[[Plan, int, Record], Any]
"""Returns an async context manager around a `Member` that listens. Args: plan, place, record."""


def plan_rounds(
    folder: Path,
    processes: int,
    rounds: Sequence[tuple[int, int, float]],
    *,
    senders: int,
    ticks: bool,
) -> Plan:
    """Plan messages that the processes send in turn.

    Args:
        folder: For what the processes write.
        processes: How many; each dials four earlier ones.
        rounds: For each size of payload: count, bytes, seconds between two.
        senders: How many of the processes send.
        ticks: Also watch the event loops.
    """
    sendings: list[Sending] = []
    at_s = 0.0
    for count, size, gap_s in rounds:
        for _ in range(count):
            sendings.append(Sending(len(sendings) % senders, at_s, size))
            at_s += gap_s
    return Plan(
        folder=folder,
        ports=free_ports(processes, Random()),
        dials=dials_of(Topology.RANDOM, processes, SEED),
        sendings=sendings,
        ticks=ticks,
    )


def carry_out(
    processes: int,
    rounds: Sequence[tuple[int, int, float]],
    open_member: OpenMember,
    *,
    senders: int | None = None,
    ticks: bool = False,
) -> tuple[Plan, list[Record]]:
    """Fork the processes, let them do their parts, and return what they saw.

    Raises:
        RuntimeError: One of them failed.
    """
    with TemporaryDirectory() as text:
        folder = Path(text)
        plan = plan_rounds(folder, processes, rounds, senders=senders or processes, ticks=ticks)
        jobs = [
            Job(f"member-{place}", folder / f"{place}.log", _main(plan, place, open_member))
            for place in range(processes)
        ]
        children = start_all(jobs)
        try:
            outcomes = wait_until_ready(children, READY_TIMEOUT_S)
            if len(outcomes) < processes or any(each.exit_code is not None for each in outcomes):
                raise RuntimeError(_logs(folder))
            (folder / "begin").write_text(str(time.monotonic()))
            _wait_for_results(folder, processes, SETTLE_S + plan.seconds + READY_TIMEOUT_S)
        finally:
            kill_processes({child.name: child.pid for child in children}, timeout_s=10)
        return plan, [_load(folder / f"{place}.json") for place in range(processes)]


def latencies(plan: Plan, records: Sequence[Record], size: int) -> tuple[list[float], float]:
    """Return the seconds from sending to each first arrival, and the share that arrived."""
    found: list[float] = []
    wanted = 0
    for number, sending in enumerate(plan.sendings):
        if sending.size != size:
            continue
        wanted += len(records) - 1
        sent = records[sending.sender].sent.get(number)
        for place, record in enumerate(records):
            if place != sending.sender and number in record.arrived and sent is not None:
                found.append(record.arrived[number] - sent)
    return found, len(found) / wanted


def _main(plan: Plan, place: int, open_member: OpenMember) -> Callable[[Callable[[], None]], int]:
    def main(ready: Callable[[], None]) -> int:
        record = Record()
        trio.run(_take_part, plan, place, open_member, record, ready)
        unfinished = plan.folder / f"{place}.unfinished"
        unfinished.write_text(json.dumps(asdict(record)))
        unfinished.rename(plan.folder / f"{place}.json")
        return 0

    return main


async def _take_part(
    plan: Plan, place: int, open_member: OpenMember, record: Record, ready: Callable[[], None]
) -> None:
    async with open_member(plan, place, record) as member, trio.open_nursery() as nursery:
        ready()
        record.begin = await _begin(plan.folder / "begin") + SETTLE_S
        await member.dial()
        nursery.start_soon(_note_cpu, plan, record)
        if plan.ticks:
            nursery.start_soon(_tick, record)
        await sleep_until(record.begin)
        for number, sending in enumerate(plan.sendings):
            if sending.sender == place:
                await sleep_until(record.begin + sending.at_s)
                await member.send(number)
        await sleep_until(record.begin + plan.seconds)
        nursery.cancel_scope.cancel()


async def _note_cpu(plan: Plan, record: Record) -> None:
    """Note the processor time of each size's share of the plan."""
    starts = {sending.size: sending.at_s for sending in reversed(plan.sendings)}
    sizes = sorted(starts, key=lambda size: starts[size])
    ends = [*(starts[size] for size in sizes[1:]), plan.seconds - DRAIN_S / 2]
    idle_share = await _cpu_until(record.begin, SETTLE_S / 2) / (SETTLE_S / 2)
    for size, end_s in zip(sizes, ends, strict=True):
        spent_s = end_s - starts[size]
        cpu_s = await _cpu_until(record.begin + end_s, spent_s)
        record.cpu_s[size] = max(cpu_s - idle_share * spent_s, 0)


async def _cpu_until(moment: float, seconds: float) -> float:
    """Return the processor time that this process takes in the seconds before a moment."""
    await sleep_until(moment - seconds)
    before = time.process_time()
    await sleep_until(moment)
    return time.process_time() - before


async def _tick(record: Record) -> None:
    due = time.monotonic()
    while True:
        # From the last wake-up on, so that one long stall counts as one.
        due = max(due, time.monotonic()) + TICK_S
        await sleep_until(due)
        record.ticks.append((due, time.monotonic() - due))


async def _begin(path: Path) -> float:
    while not path.exists() or not path.read_text():  # noqa: ASYNC110, ASYNC240
        await trio.sleep(LOOK_S)
    return float(path.read_text())  # noqa: ASYNC240 - a file of one line.


async def sleep_until(moment: float) -> None:
    """Wait for a moment of the monotonic clock."""
    await trio.sleep(max(moment - time.monotonic(), 0))


def _wait_for_results(folder: Path, processes: int, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while len(list(folder.glob("*.json"))) < processes:
        if time.monotonic() > deadline:
            raise RuntimeError(_logs(folder))
        time.sleep(LOOK_S)


def _load(path: Path) -> Record:
    content: Mapping[str, Any] = json.loads(path.read_text())
    by_number = {
        name: {int(number): when for number, when in content[name].items()}
        for name in ("sent", "arrived", "cpu_s")
    }
    return Record(**{**content, **by_number})


def _logs(folder: Path) -> str:
    ends = [f"{path.name}: {path.read_text()[-2000:]}" for path in sorted(folder.glob("*.log"))]
    return "the benchmark's processes failed\n" + "\n".join(ends)
