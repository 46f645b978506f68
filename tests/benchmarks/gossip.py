"""How fast a message reaches 16 nodes: our network, and whole blocks, beside bare py-libp2p.

    gossip_16         payloads over `Libp2pNetwork` alone, each accepted at once
    gossip_16_blocks  blocks of the same size through full nodes, until each has it as its head:
                      header and body are two messages, verified and executed at every hop

Both are divided by stock gossipsub with the same processes, links, senders and payloads.

What no network can save is taking the block in, and 16 processes do so on the cores of one
machine. So blocks have a second ratio: to stock gossipsub plus as many processes that take in the
same blocks at the same moments without any network. What it is above 1 is ours to explain.
"""

import os
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tests.benchmarks.block_members import block_members, executing_members
from tests.benchmarks.chains import build_blocks
from tests.benchmarks.gossip_members import bare_gossipsub, our_network
from tests.benchmarks.gossip_plan import OpenMember, Plan, Record, carry_out, latencies
from tests.benchmarks.measure import Figure, percentile

NODES: Final = 16
SMALL, LARGE = 1024, 100 * 1024
ROUNDS: Final = ((32, SMALL, 0.25), (16, LARGE, 1.2))
"""Count, bytes, seconds between two: with two cores for 16 nodes, time enough for each to reach
all before the next one, and together fewer than a batch of blocks."""
QUICK_ROUNDS: Final = ((16, SMALL, 0.25), (8, LARGE, 1.2))
RUNS: Final = 3
"""One after the other in turn, so that what else the machine does hurts all kinds alike."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outcome:
    """What one kind of member did with one size of payload, over all runs."""

    seconds: Sequence[Sequence[float]]
    """For each run the time to each receiver."""
    delivered: float
    cpu_ms: float
    """Processor time of one node for one message."""

    @property
    def medians(self) -> list[float]:
        """Seconds, one for each run."""
        return [statistics.median(seconds) for seconds in self.seconds]

    def share(self, of: float) -> float:
        return percentile([each for run in self.seconds for each in run], of) * 1000


def gossip_16(quick: bool) -> list[Figure]:
    """Publish 1 KB and 100 KB to 16 nodes; divide by bare gossipsub."""
    rounds = QUICK_ROUNDS if quick else ROUNDS
    genesis, blocks = build_blocks(_transactions(rounds))
    kinds: dict[str, OpenMember] = {
        "bare": bare_gossipsub,
        "executing": executing_members(genesis, blocks),
        "gossip_16": our_network,
        "gossip_16_blocks": block_members(genesis, blocks),
    }
    runs: dict[str, list[tuple[Plan, list[Record]]]] = {kind: [] for kind in kinds}
    for _ in range(1 if quick else RUNS):
        for kind, open_member in kinds.items():
            runs[kind].append(carry_out(NODES, rounds, open_member))
    figures = []
    for size in (SMALL, LARGE):
        bare, executing, ours, of_blocks = (_outcome(runs[kind], size) for kind in kinds)
        figures.append(_figure("gossip_16", size, ours, bare))
        figures.append(_block_figure(size, of_blocks, bare, executing))
    return figures


def _transactions(rounds: Sequence[tuple[int, int, float]]) -> list[int]:
    """Return how many transactions make each block about as large as its message."""
    _, (empty, some) = build_blocks([0, 100])
    base = len(empty.encode())
    each = (len(some.encode()) - base) / 100
    return [round((size - base) / each) for count, size, _ in rounds for _ in range(count)]


def _outcome(runs: Sequence[tuple[Plan, list[Record]]], size: int) -> _Outcome:
    found = [latencies(plan, records, size) for plan, records in runs]
    cpu_s = [
        record.cpu_s[size] / sum(sending.size == size for sending in plan.sendings)
        for plan, records in runs
        for record in records
    ]
    return _Outcome(
        seconds=[seconds for seconds, _ in found],
        delivered=statistics.mean(share for _, share in found),
        cpu_ms=statistics.median(cpu_s) * 1000,
    )


def _figure(kind: str, size: int, ours: _Outcome, bare: _Outcome) -> Figure:
    ratios = [mine / theirs for mine, theirs in zip(ours.medians, bare.medians, strict=True)]
    return Figure(
        name=kind,
        value=ours.share(0.5),
        unit="ms p50",
        limit=bare.share(0.5),
        ratio=statistics.median(ratios),
        aim="ratio at most 1.3",
        details={
            "payload_bytes": size,
            "p99_ms": round(ours.share(0.99), 1),
            "bare_p99_ms": round(bare.share(0.99), 1),
            "ratio_range": [round(min(ratios), 2), round(max(ratios), 2)],
            "delivered": round(ours.delivered, 4),
            "bare_delivered": round(bare.delivered, 4),
            "cpu_ms_per_message_and_node": round(ours.cpu_ms, 1),
            "bare_cpu_ms_per_message_and_node": round(bare.cpu_ms, 1),
            "ms_if_cores_were_the_only_bound": round(
                ours.cpu_ms * NODES / (os.cpu_count() or 1), 1
            ),
            "nodes": NODES,
        },
    )


def _block_figure(size: int, ours: _Outcome, bare: _Outcome, executing: _Outcome) -> Figure:
    """Add how far the figure is from stock gossipsub and taking the blocks in."""
    figure = _figure("gossip_16_blocks", size, ours, bare)
    ratios = [
        mine / (theirs + work)
        for mine, theirs, work in zip(ours.medians, bare.medians, executing.medians, strict=True)
    ]
    figure.details.update(
        executing_p50_ms=round(executing.share(0.5), 1),
        executing_cpu_ms_per_block_and_node=round(executing.cpu_ms, 1),
        ratio_to_bare_and_executing=round(statistics.median(ratios), 2),
        ratio_to_bare_and_executing_range=[round(min(ratios), 2), round(max(ratios), 2)],
    )
    return figure
