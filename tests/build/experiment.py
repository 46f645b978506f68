"""What was seen of an experiment, made up: readings of validators and of two newcomers."""

from collections.abc import Mapping, Sequence
from typing import Any

from node.testnet.experiment import ExperimentSpec, Reading, Recording

STARTED_MS = 1_000_000
"""When both newcomers of a recording were started."""

SPEC = ExperimentSpec(
    name="experiment",
    seed=1,
    accounts=1000,
    validators=2,
    load_tps=0,
    block_time_ms=1000,
    batch_length=5,
    join_at=20,
)


def reading(
    at_s: float,
    height: int,
    *,
    phase: str = "live",
    consensus: bool = False,
    bytes_in: int = 0,
    state_sync: Mapping[str, Any] | None = None,
    state_synced: Mapping[str, Any] | None = None,
) -> Reading:
    """Return what a node said some seconds after the start."""
    return Reading(
        STARTED_MS + round(at_s * 1000),
        {
            "height": height,
            "phase": phase,
            "consensus": consensus,
            "bytes_in": bytes_in,
            "state_sync": state_sync,
            "state_synced": state_synced,
        },
    )


def syncing(blocks_behind: int, *, accounts: int = 0, queued: int = 0) -> dict[str, Any]:
    """Return the facts of a state sync that is under way."""
    return {
        "state": "running",
        "blocks_behind": blocks_behind,
        "accounts": accounts,
        "pivots": 1,
        "queued": queued,
    }


def synced(at_s: float, height: int, **facts: int) -> dict[str, Any]:
    """Return the record of a state sync that has ended."""
    return {
        "completed_at": STARTED_MS + round(at_s * 1000),
        "height": height,
        "accounts": 1000,
        "leaves": 1000,
        "pivots": 0,
        "restarts": 0,
        "attempts": 1,
        **facts,
    }


def validator(first: int, seconds: int) -> tuple[Reading, ...]:
    """Return the readings of a node that has one block more each second."""
    return tuple(reading(at_s, first + at_s) for at_s in range(seconds))


def recording(
    static: Sequence[Reading], dynamic: Sequence[Reading], *validators: tuple[Reading, ...]
) -> Recording:
    """Return all that was seen."""
    return Recording(
        spec=SPEC,
        started_ms=STARTED_MS,
        validators=validators or (validator(20, 12),),
        newcomers={"static": tuple(static), "dynamic": tuple(dynamic)},
    )


def usual() -> Recording:
    """Return a run in which both get their state and reach the head."""
    done = synced(4.2, 20)
    static = [
        reading(0.2, 0, phase="searching"),
        reading(1, 20, phase="state_sync", state_sync=syncing(0, accounts=300)),
        reading(4, 20, phase="state_sync", state_sync=syncing(0, accounts=900)),
        reading(4.4, 20, bytes_in=5000, state_synced=done),
        reading(5, 22, state_synced=done),
        reading(6, 25, state_synced=done),
        reading(7, 27, consensus=True, state_synced=done),
    ]
    done = synced(4.6, 24, leaves=1100, pivots=2, restarts=1, attempts=2)
    dynamic = [
        reading(0.2, 20, phase="state_sync"),
        reading(1, 21, phase="state_sync", state_sync=syncing(1, accounts=200, queued=1)),
        reading(4, 24, phase="state_sync", state_sync=syncing(4, accounts=800, queued=7)),
        reading(4.8, 24, consensus=True, bytes_in=7000, state_synced=done),
        reading(6, 26, consensus=True, state_synced=done),
    ]
    return recording(static, dynamic)
