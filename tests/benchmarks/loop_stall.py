"""How late a task of the event loop wakes while its node takes in full blocks."""

from collections.abc import Sequence
from typing import Final

from tests.benchmarks.block_members import block_members
from tests.benchmarks.chains import build_blocks
from tests.benchmarks.gossip_plan import SETTLE_S, Record, carry_out
from tests.benchmarks.measure import Figure, percentile

TRANSACTIONS: Final = 100
BLOCKS, QUICK_BLOCKS = 56, 20
GAP_S: Final = 0.25
"""Four blocks per second: four times what a network makes."""
RECEIVER: Final = 1
"""The other one sends."""


def loop_stall(quick: bool) -> list[Figure]:
    """Tick every 5 ms beside blocks of 100 transactions; divide by the same without blocks."""
    blocks = QUICK_BLOCKS if quick else BLOCKS
    members = block_members(*build_blocks([TRANSACTIONS] * blocks))
    rounds = ((blocks, TRANSACTIONS, GAP_S),)
    _, records = carry_out(2, rounds, members, senders=1, ticks=True)
    record = records[RECEIVER]
    end = record.begin + blocks * GAP_S
    idle = _lateness_ms(record, record.begin - SETTLE_S / 2, record.begin)
    busy = _lateness_ms(record, record.begin, end)
    p99, idle_p99 = percentile(busy, 0.99), percentile(idle, 0.99)
    return [
        Figure(
            name="loop_stall",
            value=p99,
            unit="ms p99",
            limit=idle_p99,
            ratio=p99 / idle_p99,
            aim="under 20 ms",
            details={
                "p50_ms": round(percentile(busy, 0.5), 3),
                "max_ms": round(max(busy), 1),
                "idle_p50_ms": round(percentile(idle, 0.5), 3),
                "idle_max_ms": round(max(idle), 1),
                "blocks_per_s": 1 / GAP_S,
                "transactions": TRANSACTIONS,
                "blocks_arrived": len(record.arrived),
                "blocks_sent": blocks,
            },
        )
    ]


def _lateness_ms(record: Record, start: float, end: float) -> Sequence[float]:
    return [late_s * 1000 for due, late_s in record.ticks if start <= due < end]
