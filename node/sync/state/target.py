"""What a state sync is on its way to."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from protocols.types import Hash32, Height

if TYPE_CHECKING:
    # Settings name the pivot interval, and commands that read them start without msgpack.
    from node.blocks.header import Header


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncTarget:
    """A final block whose state is to become ours, and what it commits to."""

    number: Height
    hash: Hash32
    state_root: Hash32
    history_root: Hash32

    @classmethod
    def of(cls, header: "Header") -> Self:
        """Take what counts from a header."""
        return cls(
            number=header.number,
            hash=header.hash,
            state_root=header.state_root,
            history_root=header.history_root,
        )
