"""Static against dynamic state sync: what the experiment is, and what its record says. Pure.

    network head  ----------------------------------------------->  heads seen at the validators
         |  blocks behind
    state that the node has, or is on the way to  --------------->  points of each newcomer

A newcomer's blocks behind are counted against what the validators had at that moment, never
against what it believes itself.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from node.errors import ConfigError
from node.testnet.spec import NetworkSpec, NodeSpec, Topology, groups_of, nodes_of

STRATEGIES: Final = ("static", "dynamic")
"""Of the two newcomers, which are called so, in the order in which they are shown."""

MIN_BATCHES: Final = 4
"""That the network has before anybody joins: a node that is less late follows the blocks, and
fetches no state."""

AT_HEAD: Final = 1
"""Blocks behind at which a node counts as being at the head: one is always on its way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentSpec:
    """What the two newcomers join."""

    name: str
    """Of the network."""
    seed: int
    accounts: int
    """In the genesis."""
    validators: int
    load_tps: float
    block_time_ms: int
    batch_length: int
    join_at: int
    """Height of the network at which they are started."""
    pivot_interval: int | None = None
    """Blocks between two targets, if not the default."""

    def __post_init__(self) -> None:
        """Refuse what would show nothing."""
        least = MIN_BATCHES * self.batch_length
        if self.join_at < least:
            raise ConfigError(
                f"they join at {self.join_at}: before height {least} ({MIN_BATCHES} batches) nodes"
                " follow the blocks and fetch no state"
            )

    def network(self) -> NetworkSpec:
        """Return the network that is there before they join.

        Raises:
            ConfigError: It cannot run.
        """
        return NetworkSpec(
            name=self.name,
            seed=self.seed,
            nodes=nodes_of(groups_of({"full": self.validators}), self.validators),
            block_time_ms=self.block_time_ms,
            topology=Topology.MESH,
            batch_length=self.batch_length,
            pivot_interval=self.pivot_interval,
            load_tps=self.load_tps,
            accounts=self.accounts,
        )


def newcomers() -> tuple[NodeSpec, ...]:
    """Return the two nodes that join: of them only the strategy differs."""
    return tuple(
        NodeSpec(name=each, profile="full", is_validator=False, sync=each) for each in STRATEGIES
    )


READ: Final = ("height", "phase", "consensus", "bytes_in", "state_sync", "state_synced")
"""Facts of a status that are kept."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What one node said of itself at one moment."""

    at_ms: int
    """Milliseconds since the Unix epoch, when the answer was there."""
    status: Mapping[str, Any]
    """The facts of `READ`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """All that was seen."""

    spec: ExperimentSpec
    started_ms: int
    """When both newcomers were started, milliseconds since the Unix epoch."""
    validators: tuple[tuple[Reading, ...], ...]
    newcomers: Mapping[str, tuple[Reading, ...]]
    """By strategy, ascending in time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One newcomer at one moment."""

    strategy: str
    at_s: float
    """Since both were started."""
    phase: str
    state: str | None
    """Of the coordinator; None unless a state sync is under way."""
    network_height: int
    height: int
    """Of its head, executed or not."""
    state_height: int | None
    """Of the block whose state it has, or is on the way to; None if there is no such block yet."""
    blocks_behind: int | None
    """From there to the network's head."""
    accounts: int | None
    """That are there; None unless a state sync is under way."""
    pivots: int | None
    queued: int | None
    bytes_in: int
    consensus: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one strategy did. None is what was not reached in time. Seconds count from the start."""

    strategy: str
    complete_s: float | None
    """Until it had the state of its head for the first time."""
    behind_at_completion: int | None
    """Blocks that the network had above that head then."""
    at_head_s: float | None
    """Until it was at most one block behind with its state."""
    consensus_s: float | None
    """Until it agreed with its peers on the head: it is live."""
    bytes_in: int | None
    """Received until the state was complete, with blocks and gossip."""
    accounts: int | None
    leaves: int | None
    """Accounts that came with a proof."""
    leaves_again: int | None
    """Of these, more than there are accounts."""
    pivots: int | None
    restarts: int | None
    attempts: int | None
    syncs: int
    """State syncs that ended well: more than one if it fell too far behind after the first."""
    queued_max: int
    """Most operations that were seen waiting for the state."""


class Heads:
    """How high the network was, and when."""

    def __init__(self, validators: Iterable[Sequence[Reading]]) -> None:
        readings = sorted(
            (each for readings in validators for each in readings), key=lambda each: each.at_ms
        )
        self._times: list[int] = []
        self._heights: list[int] = []
        for reading in readings:
            height = int(reading.status["height"])
            if not self._heights or height > self._heights[-1]:
                self._times.append(reading.at_ms)
                self._heights.append(height)

    def at(self, time_ms: int) -> int:
        """Return the highest block that a validator was seen with by then.

        Before the first look at them, what was seen at that look.
        """
        assert self._heights, "a validator was looked at"
        return self._heights[max(bisect_right(self._times, time_ms) - 1, 0)]


def points_of(recording: Recording, strategy: str) -> list[Point]:
    """Return what was seen of one newcomer, in order."""
    heads = Heads(recording.validators)
    return [
        _point(reading, strategy, heads, recording.started_ms)
        for reading in recording.newcomers[strategy]
    ]


def outcome_of(recording: Recording, strategy: str) -> Outcome:
    """Return how one newcomer did."""
    readings = recording.newcomers[strategy]
    points = points_of(recording, strategy)
    ended = [each for each in readings if each.status["state_synced"]]
    queued_max = max((point.queued or 0 for point in points), default=0)
    if not ended:
        return _unfinished(strategy, queued_max)
    synced = ended[0].status["state_synced"]
    completed_ms = int(synced["completed_at"])
    after = [
        point
        for point, reading in zip(points, readings, strict=True)
        if reading.at_ms >= completed_ms and point.phase == "live"
    ]
    at_head = (each.at_s for each in after if (each.blocks_behind or 0) <= AT_HEAD)
    return Outcome(
        strategy=strategy,
        complete_s=_seconds(completed_ms - recording.started_ms),
        behind_at_completion=max(
            Heads(recording.validators).at(completed_ms) - int(synced["height"]), 0
        ),
        at_head_s=next(at_head, None),
        consensus_s=next((each.at_s for each in after if each.consensus), None),
        bytes_in=int(ended[0].status["bytes_in"]),
        accounts=synced["accounts"],
        leaves=synced["leaves"],
        leaves_again=max(synced["leaves"] - synced["accounts"], 0),
        pivots=synced["pivots"],
        restarts=synced["restarts"],
        attempts=synced["attempts"],
        syncs=len({each.status["state_synced"]["completed_at"] for each in ended}),
        queued_max=queued_max,
    )


def is_live(point: Point) -> bool:
    """Tell whether a newcomer is where both are to get."""
    behind = point.blocks_behind
    return point.consensus and behind is not None and behind <= AT_HEAD


def is_complete(outcome: Outcome) -> bool:
    """Tell whether all that was waited for was seen."""
    return outcome.at_head_s is not None and outcome.consensus_s is not None


def has_followed(reading: Reading) -> bool:
    """Tell whether a node came to the head without fetching any state."""
    return bool(reading.status["consensus"]) and reading.status["state_synced"] is None


def _unfinished(strategy: str, queued_max: int) -> Outcome:
    return Outcome(
        strategy=strategy,
        complete_s=None,
        behind_at_completion=None,
        at_head_s=None,
        consensus_s=None,
        bytes_in=None,
        accounts=None,
        leaves=None,
        leaves_again=None,
        pivots=None,
        restarts=None,
        attempts=None,
        syncs=0,
        queued_max=queued_max,
    )


def _point(reading: Reading, strategy: str, heads: Heads, started_ms: int) -> Point:
    status = reading.status
    sync = status["state_sync"] or {}
    network_height, state_height = heads.at(reading.at_ms), None
    if sync or status["phase"] == "live":
        # While the state is on its way the head may be far above what can be executed.
        state_height = int(status["height"]) - int(sync.get("blocks_behind", 0))
    return Point(
        strategy=strategy,
        at_s=_seconds(reading.at_ms - started_ms),
        phase=status["phase"],
        state=sync.get("state"),
        network_height=network_height,
        height=status["height"],
        state_height=state_height,
        blocks_behind=None if state_height is None else max(network_height - state_height, 0),
        accounts=sync.get("accounts"),
        pivots=sync.get("pivots"),
        queued=sync.get("queued"),
        bytes_in=status["bytes_in"],
        consensus=status["consensus"],
    )


def _seconds(length_ms: int) -> float:
    return max(length_ms, 0) / 1000
