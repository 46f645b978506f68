"""Announced blocks from the future: held until their time has come, or ignored after a while."""

from dataclasses import dataclass

from node.net.network import MessageId
from node.sync.live.block_buffer import SourcedBlock
from node.sync.live.config import QueueConfig


@dataclass(frozen=True, slots=True)
class _Held:
    copy: SourcedBlock
    due: float
    """When it leaves, monotonic seconds."""
    is_acceptable: bool
    """Whether its time will have come by then."""


@dataclass(frozen=True, slots=True)
class Released:
    """What is no longer held."""

    blocks: tuple[SourcedBlock, ...]
    """To be classified now."""
    ignored: tuple[MessageId, ...]
    """Announcements of blocks that were too far ahead."""


class HeldBlocks:
    """Holds a bounded number of blocks whose timestamp is ahead of our clock."""

    def __init__(self, config: QueueConfig) -> None:
        self._config = config
        self._held: list[_Held] = []

    def __len__(self) -> int:
        """Count the blocks."""
        return len(self._held)

    @property
    def size_bytes(self) -> int:
        """Bytes of them."""
        return sum(each.copy.size_bytes for each in self._held)

    def hold(self, copy: SourcedBlock, early_ms: int, now: float) -> tuple[MessageId, ...]:
        """Keep a block that comes too early.

        Args:
            copy: The block.
            early_ms: Milliseconds until its timestamp is within the tolerated drift.
            now: Monotonic clock, seconds.

        Returns:
            Its messages, to be ignored, if there is no room.
        """
        config = self._config
        has_room = self.size_bytes + copy.size_bytes <= config.held_max_bytes
        if len(self._held) >= config.held_max or not has_room:
            return copy.messages
        is_acceptable = early_ms <= config.hold_timeout_s * 1000
        wait_s = early_ms / 1000 if is_acceptable else config.hold_timeout_s
        self._held.append(_Held(copy, now + wait_s, is_acceptable))
        return ()

    def release(self, now: float) -> Released:
        """Let go of what is due.

        Args:
            now: Monotonic clock, seconds.
        """
        due = [each for each in self._held if each.due <= now]
        self._held = [each for each in self._held if each.due > now]
        return Released(
            tuple(each.copy for each in due if each.is_acceptable),
            tuple(
                message for each in due if not each.is_acceptable for message in each.copy.messages
            ),
        )

    def next_deadline(self) -> float | None:
        """Return when something is due, or None."""
        return min((each.due for each in self._held), default=None)
