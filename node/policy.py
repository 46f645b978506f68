"""Height arithmetic: which blocks are macro blocks and where batches and epochs lie.

    height   0 | 1 2 ... L | L+1 ... 2L | ... | E | E+1 ...      L = batch_length
    kind     E | m m ... C | m   ...  C | ... | E | m             E = L * batches_per_epoch
    batch    0 | 1 1 ... 1 | 2   ...  2 |

Genesis (0) is an election block and batch 0 and epoch 0 of its own. m micro, C checkpoint,
E election.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final

from node.errors import ConfigError
from protocols.limits import MAX_BODY_BYTES, MAX_SLOTS
from protocols.types import Height


class BlockKind(Enum):
    """What stands at a height."""

    MICRO = "micro"
    CHECKPOINT = "checkpoint"
    ELECTION = "election"


MAX_BATCH_LENGTH: Final = 1024
"""A whole batch of headers must fit into one response."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The numbers of a network, fixed by its genesis."""

    batch_length: int = 60
    """Blocks in a batch, the last one a macro block."""
    batches_per_epoch: int = 1440
    slots: int = 512
    block_separation_ms: int = 1000
    producer_timeout_ms: int = 4000
    """Without a block this long after its parent, the slot is skipped."""
    validity_window_batches: int = 120
    """How long after its start height a transaction may be included."""
    max_body_bytes: int = 100_000
    """Largest body of a micro block."""
    max_clock_drift_ms: int = 600_000
    """A block further ahead of our clock is held, then ignored."""
    batch_reward: int = 1_000_000
    """New coins paid to the validators by each macro block."""

    def __post_init__(self) -> None:
        """Refuse numbers that no network can run on."""
        bounds = {
            "batch_length": (2, MAX_BATCH_LENGTH),
            "batches_per_epoch": (1, 65_535),
            "slots": (1, MAX_SLOTS),
            "block_separation_ms": (10, 3_600_000),
            "producer_timeout_ms": (10, 3_600_000),
            "validity_window_batches": (1, 65_535),
            "max_body_bytes": (1000, MAX_BODY_BYTES),
            "max_clock_drift_ms": (0, 86_400_000),
            "batch_reward": (0, 2**40),
        }
        for name, (low, high) in bounds.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise ConfigError(f"{name} must be in {low}..{high}: {value}")

    @property
    def epoch_length(self) -> int:
        """Blocks in an epoch."""
        return self.batch_length * self.batches_per_epoch

    @property
    def validity_window_blocks(self) -> int:
        """Blocks after its start height in which a transaction may be included."""
        return self.validity_window_batches * self.batch_length

    @property
    def quorum(self) -> int:
        """Slots that must sign: ceil(2 * slots / 3) (2f+1)."""
        return -(-2 * self.slots // 3)

    @property
    def f_plus_one(self) -> int:
        """Slots that hold at least one honest one: ceil(slots / 3) (f+1)."""
        return -(-self.slots // 3)

    def kind_at(self, height: Height) -> BlockKind:
        """Return what stands at this height."""
        if height % self.epoch_length == 0:
            return BlockKind.ELECTION
        if height % self.batch_length == 0:
            return BlockKind.CHECKPOINT
        return BlockKind.MICRO

    def is_macro(self, height: Height) -> bool:
        """Tell whether a macro block (checkpoint or election) stands here."""
        return height % self.batch_length == 0

    def is_election(self, height: Height) -> bool:
        """Tell whether an election block stands here."""
        return height % self.epoch_length == 0

    def batch_at(self, height: Height) -> int:
        """Return the batch of a height: 0 for genesis, then 1, 2, ..."""
        return -(-height // self.batch_length)

    def epoch_at(self, height: Height) -> int:
        """Return the epoch of a height: 0 for genesis, then 1, 2, ..."""
        return -(-height // self.epoch_length)

    def macro_at_or_before(self, height: Height) -> Height:
        """Return the newest macro height that is not above `height`."""
        return height - height % self.batch_length

    def macro_before(self, height: Height) -> Height:
        """Return the newest macro height below `height`; 0 for genesis itself."""
        return self.macro_at_or_before(max(height - 1, 0))

    def macro_after(self, height: Height) -> Height:
        """Return the first macro height above `height`."""
        return self.macro_at_or_before(height) + self.batch_length

    def election_at_or_before(self, height: Height) -> Height:
        """Return the newest election height that is not above `height`."""
        return height - height % self.epoch_length

    def election_before(self, height: Height) -> Height:
        """Return the newest election height below `height`; 0 for genesis itself."""
        return self.election_at_or_before(max(height - 1, 0))

    def election_after(self, height: Height) -> Height:
        """Return the first election height above `height`."""
        return self.election_at_or_before(height) + self.epoch_length
