"""What the RPC interface may see and do of a node."""

from collections.abc import Mapping
from typing import Any, Protocol, TypeVar

from node.accounts.transaction import Transaction
from node.chain.reading import ChainReader
from node.event_record import EventRecord
from node.net.network import PeerRecord
from node.sync.proofs.questions import Question
from node.sync.proofs.search import Proven, Unproven
from protocols.types import PeerId

AnswerT = TypeVar("AnswerT")


class NodeView(Protocol):
    """One running node. All members are called on the trio thread."""

    @property
    def chain(self) -> ChainReader:
        """What can be read of the chain."""
        ...

    @property
    def peer_id(self) -> PeerId:
        """Our own id."""
        ...

    @property
    def peers(self) -> Mapping[PeerId, PeerRecord]:
        """Connected peers."""
        ...

    @property
    def is_established(self) -> bool:
        """Whether the node agrees with enough peers on the head."""
        ...

    @property
    def events(self) -> EventRecord:
        """What has happened of late."""
        ...

    def peer_lists(self) -> Mapping[PeerId, str]:
        """Return the list that each peer is in: macro, live, outdated or incompatible."""
        ...

    def status(self) -> dict[str, Any]:
        """Return the node's state for people and scripts, plain JSON values only."""
        ...

    async def status_after(self, sequence: int, timeout_s: float) -> dict[str, Any]:
        """Return the status once its `sequence` is another than this, or when the time is up."""
        ...

    async def submit(self, transaction: Transaction) -> str | None:
        """Take a transaction and announce it. Returns why not, or None if it was taken."""
        ...

    async def prove(self, question: Question[AnswerT]) -> Proven[AnswerT] | Unproven:
        """Have peers prove what this node does not have. Ends within a bounded time."""
        ...

    def shut_down(self) -> None:
        """Begin a graceful stop."""
        ...
