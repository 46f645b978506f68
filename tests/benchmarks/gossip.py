"""How fast a message reaches 16 nodes: our network, and whole blocks, beside bare py-libp2p.

    gossip_16         payloads over `Libp2pNetwork` alone, each accepted at once
    gossip_16_blocks  blocks of the same size through full nodes, until each has it as its head:
                      header and body are two messages, verified and executed at every hop

Both are divided by stock gossipsub with the same processes, links, senders and payloads.
"""

import os
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tests.benchmarks.block_members import block_members
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

    def share(self, of: float) -> float:
        return percentile([each for run in self.seconds for each in run], of) * 1000


def gossip_16(quick: bool) -> list[Figure]:
    """Publish 1 KB and 100 KB to 16 nodes; divide by bare gossipsub."""
    rounds = QUICK_ROUNDS if quick else ROUNDS
    kinds: dict[str, OpenMember] = {
        "bare": bare_gossipsub,
        "gossip_16": our_network,
        "gossip_16_blocks": block_members(_transactions(rounds)),
    }
    runs: dict[str, list[tuple[Plan, list[Record]]]] = {kind: [] for kind in kinds}
    for _ in range(1 if quick else RUNS):
        for kind, open_member in kinds.items():
            runs[kind].append(carry_out(NODES, rounds, open_member))
    return [
        _figure(kind, size, _outcome(runs[kind], size), _outcome(runs["bare"], size))
        for kind in ("gossip_16", "gossip_16_blocks")
        for size in (SMALL, LARGE)
    ]


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
    ratios = [
        statistics.median(mine) / statistics.median(theirs)
        for mine, theirs in zip(ours.seconds, bare.seconds, strict=True)
    ]
    p50, bare_p50 = ours.share(0.5), bare.share(0.5)
    return Figure(
        name=kind,
        value=p50,
        unit="ms p50",
        limit=bare_p50,
        ratio=statistics.median(ratios),
        aim="ratio at most 1.3" if kind == "gossip_16" else "report: it verifies at every hop",
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
