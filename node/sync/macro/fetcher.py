"""What a macro sync is made of: a front that asks each peer what it leads to, and one fetcher.

    peer --claim--> fetcher --blocks, batches--> chain
      ^               |
      +-- reached, failed, bad

The front keeps the peers, the fetcher brings the chain to what they claim. Which fetcher it is
follows from the profile.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Protocol, TypeAlias

from node.sync.effects import (
    AdoptBatches,
    AdoptMacroBlocks,
    CancelRequest,
    ReportPeer,
    SendRequest,
)
from node.sync.inputs import Answer, PushFinished
from protocols.messages.macro_chain import Checkpoint
from protocols.types import Hash32, Height, PeerId


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What a peer says is above a macro block of ours. Nothing of it is proven."""

    start: Height
    """Height of our macro block that the peer started from."""
    epochs: tuple[Hash32, ...]
    """Election blocks after it, ascending, one for each epoch."""
    checkpoint: Checkpoint | None
    """The newest macro block, above all of `epochs`."""


class EndReason(Enum):
    """Why a source is given back."""

    REACHED = "reached"
    """We have all that it claimed."""
    FAILED = "failed"
    """It did not answer, or not usefully."""
    BAD = "bad"
    """What it claimed or sent was invalid."""


@dataclass(frozen=True, slots=True)
class SourceEnded:
    """A source is no longer used, until the front brings it again."""

    peer: PeerId
    reason: EndReason


@dataclass(frozen=True, slots=True)
class Progressed:
    """What a source has sent has brought us forward."""

    peer: PeerId


FetcherOutput: TypeAlias = (
    SendRequest
    | CancelRequest
    | AdoptMacroBlocks
    | AdoptBatches
    | ReportPeer
    | SourceEnded
    | Progressed
)


class Fetcher(Protocol):
    """Brings the chain to the newest macro block that its sources claim. Pure."""

    @property
    def is_active(self) -> bool:
        """Whether a source claims more than we have, or an adoption is under way."""
        ...

    @property
    def is_proven(self) -> bool:
        """Whether a source has sent something above our head that verified since it became one."""
        ...

    @property
    def target(self) -> Height | None:
        """Height that the best claim leads to, proven or not; None without sources."""
        ...

    @property
    def held_bytes(self) -> int:
        """Bytes received and not yet adopted: bounded."""
        ...

    def next_deadline(self) -> float | None:
        """Return when `step` must be called again, or None."""
        ...

    def add_source(self, peer: PeerId, claim: Claim) -> list[FetcherOutput]:
        """Use a peer that claims more than we have."""
        ...

    def remove_source(self, peer: PeerId) -> list[FetcherOutput]:
        """Stop using a peer that left. What it has sent and is verified may still be used."""
        ...

    def answered(self, answer: Answer, now: float) -> list[FetcherOutput]:
        """Take what came of a request; a late answer changes nothing."""
        ...

    def adopted(self, finished: PushFinished, now: float) -> list[FetcherOutput]:
        """Take what the chain said to an adoption."""
        ...

    def step(self, now: float) -> list[FetcherOutput]:
        """Give up what is late, and send what may be sent."""
        ...
