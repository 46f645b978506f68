"""Fetching all accounts of a chain over real libp2p: standing still, moving, and killed half way.

Server and client are processes of their own, the client's store is on disk. The time is taken from
the client's first peer until it has the state, with its root compared: macro blocks, validity
window, finalizing and what was deferred are part of it. Divided by what bare py-libp2p needs for as
many bytes, and the other two by the first.
"""

import statistics
from pathlib import Path
from typing import Final

from tests.benchmarks.bare_transfer import bare_seconds
from tests.benchmarks.measure import Figure
from tests.benchmarks.state_apply import apply_rate
from tests.benchmarks.state_join import Seen, join, source_of
from tests.benchmarks.state_server import Live
from tests.benchmarks.state_source import POLICY, later_blocks

ACCOUNTS: Final = 1_000_000
MANY_ACCOUNTS: Final = 4_000_000
QUICK_ACCOUNTS: Final = 100_000
ROUNDS: Final = 5
QUICK_ROUNDS: Final = 1

ANSWER_BYTES: Final = 128 * 1024
"""About as much as an answer with accounts has."""

LIVE: Final = (Live(1.0, 200), Live(10.0, 1000))

APPLIED_PART: Final = 1 / 3
"""Of what a process with nothing else to do applies: what 10 blocks/s are on the machine that the
design was measured on. A slower one cannot follow 10, and is to show the same at its own rate."""

LIVE_BLOCKS: Final = {200: 64, 1000: 384}
"""Above the head that a client begins with, by how many accounts they change: a minute of the
slower chain, more than half a minute of the faster."""

QUICK_LIVE_BLOCKS: Final = {200: 32, 1000: 64}

PIVOT_INTERVAL: Final = POLICY.batch_length
"""A target for each macro block. With the default of 10,000 blocks none would be moved at all."""


def sync_state(quick: bool) -> list[Figure]:
    """Fetch a million accounts, and four million for the memory."""
    counts = (QUICK_ACCOUNTS,) if quick else (ACCOUNTS, MANY_ACCOUNTS)
    return [
        _still(accounts, 1 if accounts == MANY_ACCOUNTS else _rounds(quick)) for accounts in counts
    ]


def sync_state_live(quick: bool) -> list[Figure]:
    """Fetch a million accounts from a chain that changes some of them, beside one that does not."""
    accounts = QUICK_ACCOUNTS if quick else ACCOUNTS
    with source_of(accounts, QUICK_LIVE_BLOCKS if quick else LIVE_BLOCKS) as source:
        return [_moving(source, live, rate, _rounds(quick)) for live, rate in _all_live(source)]


def sync_resume(quick: bool) -> list[Figure]:
    """Kill the client with -9 at half of the accounts, start it again; add both times.

    A second start takes as long however many accounts there are.
    """
    counts = (QUICK_ACCOUNTS,) if quick else (ACCOUNTS, MANY_ACCOUNTS)
    return [_killed(accounts, _rounds(quick)) for accounts in counts]


def _killed(accounts: int, rounds: int) -> Figure:
    with source_of(accounts, {}) as source:
        pairs = [(join(source, killed_at=0.5), join(source)) for _ in range(rounds)]
    killed = _median([each.seconds for each, _ in pairs])
    whole = _median([each.seconds for _, each in pairs])
    ratios = sorted(each.seconds / other.seconds for each, other in pairs)
    again = _median([_share_again(each) for each, _ in pairs])
    return Figure(
        name="sync_resume",
        value=killed,
        unit="s",
        limit=whole,
        ratio=_median(ratios),
        aim="ratio at most 1.05, under 5 % fetched again",
        details={
            "accounts": accounts,
            "fetched_again_percent": round(100 * again, 2),
            "ratio_range": _range(ratios),
        },
    )


def _all_live(source: Path) -> list[tuple[Live, float]]:
    """Return how the chain moves, and how fast this machine applies such blocks."""
    rates = {live: apply_rate(source, live.changed) for live in LIVE}
    fastest = LIVE[-1]
    followed = rates[fastest] * APPLIED_PART
    if followed < fastest.blocks_per_s:
        rates[Live(round(followed, 1), fastest.changed)] = rates[fastest]
    return list(rates.items())


def _still(accounts: int, rounds: int) -> Figure:
    with source_of(accounts, {}) as source:
        seen, bare = [], []
        for _ in range(rounds):
            seen.append(join(source))
            bare.append(bare_seconds(seen[-1].bytes, ANSWER_BYTES))
    rates = [each.accounts / each.seconds for each in seen]
    ratios = sorted(limit / each.seconds for each, limit in zip(seen, bare, strict=True))
    return Figure(
        name="sync_state",
        value=_median(rates),
        unit="accounts/s",
        limit=accounts / _median(bare),
        ratio=_median(ratios),
        aim="ratio at least 0.4, 400,000 accounts/s, memory 250 MB (4 M accounts: 300 MB)",
        details={
            "accounts": accounts,
            "seconds": round(_median([each.seconds for each in seen]), 3),
            "ratio_range": _range(ratios),
            "bytes": seen[0].bytes,
            "peak_memory_mb": round(max(each.memory for each in seen) / 1e6),
            "processor_s": round(_median([each.processor_s for each in seen]), 2),
        },
    )


def _moving(source: Path, live: Live, applied: float, rounds: int) -> Figure:
    pairs = [
        (join(source, live=live, pivot_interval=PIVOT_INTERVAL), join(source))
        for _ in range(rounds)
    ]
    moving, still = [each for each, _ in pairs], [each for _, each in pairs]
    available = len(later_blocks(source, live.changed))
    ratios = sorted(other.seconds / each.seconds for each, other in pairs)
    return Figure(
        name="sync_state_live",
        value=_median([each.accounts / each.seconds for each in moving]),
        unit="accounts/s",
        limit=_median([each.accounts / each.seconds for each in still]),
        ratio=_median(ratios),
        aim="ratio at least 0.7, wasted bytes under 10 %, at most 1 block behind",
        details={
            "accounts": moving[0].accounts,
            "blocks_per_s": live.blocks_per_s,
            # Whoever is asked to follow more than that, with a core to himself, cannot.
            "apply_rate": round(applied, 1),
            "changed_in_each": live.changed,
            "blocks_meanwhile": round(_median([each.blocks for each in moving])),
            "pivots": round(_median([each.pivots for each in moving])),
            "wasted_percent": round(100 * _median([_share_again(each) for each in moving]), 2),
            "change_bytes": round(_median([each.change_bytes for each in moving])),
            "behind": max(each.behind for each in moving),
            # Else there was nothing left to be behind of.
            "chain_moved_to_the_end": max(each.blocks for each in moving) < available,
            "ratio_range": _range(ratios),
            "peak_memory_mb": round(max(each.memory for each in moving) / 1e6),
            "processor_s": round(_median([each.processor_s for each in moving]), 2),
        },
    )


def _share_again(seen: Seen) -> float:
    """Return which part of the accounts has been sent more than once."""
    return max(seen.served - seen.accounts, 0) / max(seen.accounts, 1)


def _rounds(quick: bool) -> int:
    return QUICK_ROUNDS if quick else ROUNDS


def _median(values: list[float]) -> float:
    return statistics.median(values)


def _range(ratios: list[float]) -> list[float]:
    return [round(ratios[0], 3), round(ratios[-1], 3)]
