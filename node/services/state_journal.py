"""What a state sync tells in the log: one event for all that an operator may want to see or plot.

    state_sync_begun    an attempt: target, strategy, accounts that are there, queue length
    state_sync          another state of the coordinator: finalizing, executing_batch, completed, or
                        aborted with the reason; queue length
    pivot_moved         all syncers have a new target: accounts that are kept, queue length
    coverage_reached    another tenth of the accounts is there
    part_reached        a syncer has all of the target
    target_lost         nobody has what a syncer needs of the target any more: a newer one is taken
    state_refused       a peer did not answer, and why
    state_refuted       a peer sent something false; `peer_banned` of the network follows in time
    state_repair_begun  what is stored is compared with the target's state, and why
    state_compared      what of it differs and is fetched again
    state_restarted     everything is fetched again, and why
    block_dropped       a block above the macro head cannot be executed

and at level debug `batch_executed`, and what the accounts journal tells. How an attempt has ended,
`state_synced`, `state_sync_failed` or, with the next one begun at once, `state_sync_superseded`, is
told by whoever makes the next one.
"""

from typing import Any, Final

import structlog

from node.chain.results import InvalidBlock
from node.errors import Fault
from node.services.state_answers import Ask, StateAnswer
from node.sync.state.coordinator import State
from node.sync.state.part_events import AskBlocks, AskPeaks
from node.sync.state.state_events import (
    AskChanges,
    AskRange,
    AskSubtrees,
    KeepEqual,
    RepairStarted,
    Restarted,
    StateRefused,
    StateUnavailable,
)
from node.sync.state.state_peers import BUSY
from node.sync.state.state_progress import StateProgress
from node.sync.state.strategy import SyncStrategy
from node.sync.state.target import SyncTarget
from protocols.types import PeerId

log = structlog.get_logger("state_sync")

_ASKED: Final = {
    AskRange: "range",
    AskChanges: "changes",
    AskSubtrees: "subtrees",
    AskBlocks: "blocks",
    AskPeaks: "peaks",
}


def note_lost(part: str, target: SyncTarget) -> None:
    """Tell of a target that another one takes the place of."""
    log.info("target_lost", part=part, target=target.number)


def note_begun(target: SyncTarget, strategy: SyncStrategy, *, accounts: int, queued: int) -> None:
    """Tell of a new attempt."""
    log.info(
        "state_sync_begun",
        target=target.number,
        strategy=strategy.value,
        accounts_kept=accounts,
        queued=queued,
    )


def note_state(state: State, target: SyncTarget, *, queued: int, cause: str | None) -> None:
    """Tell of another state."""
    reason: dict[str, Any] = {} if cause is None else {"reason": cause}
    log.info("state_sync", state=state.value, target=target.number, queued=queued, **reason)


def note_pivot(target: SyncTarget, before: SyncTarget, *, accounts: int, queued: int) -> None:
    """Tell of a new target."""
    log.info(
        "pivot_moved",
        target=target.number,
        before=before.number,
        accounts_kept=accounts,
        queued=queued,
    )


def note_coverage(percent: int, progress: StateProgress) -> None:
    """Tell of a milestone."""
    log.info(
        "coverage_reached",
        percent=percent,
        accounts=progress.accounts,
        total=progress.total,
        block=None if progress.stored is None else progress.stored.number,
    )


def note_reached(part: str, target: SyncTarget) -> None:
    """Tell of a syncer that is done with a target."""
    log.info("part_reached", part=part, target=target.number)


def note_refusal(ask: Ask, answer: StateAnswer) -> None:
    """Tell of an answer if it is a refusal."""
    match answer:
        case StateUnavailable(_, oldest, newest):
            reason, write = f"has states {oldest} to {newest}", log.info
        case StateRefused(_, status):
            reason = status.name.lower()
            # A peer that is busy says so twice a second.
            write = log.debug if status in BUSY else log.info
        case _:
            return
    write("state_refused", peer=ask.peer, asked=_ASKED[type(ask)], reason=reason)


def note_lie(peer: PeerId, fault: Fault) -> None:
    """Tell of something false."""
    log.info("state_refuted", peer=peer, fault=fault.value)


def note_trouble(effect: RepairStarted | Restarted | KeepEqual) -> None:
    """Tell of what is stored and of no use, in part or at all."""
    match effect:
        case RepairStarted(cause):
            log.warning("state_repair_begun", reason=cause)
        case KeepEqual(_, target, differing):
            log.info("state_compared", target=target.number, differing=len(differing))
        case Restarted(cause):
            log.warning("state_restarted", reason=cause)


def note_batch(count: int) -> None:
    """Tell of operations that were executed."""
    log.debug("batch_executed", count=count)


def note_dropped(invalid: InvalidBlock) -> None:
    """Tell of a block that is not true to its state."""
    log.warning("block_dropped", block=invalid.hash, reason=invalid.error.value)
