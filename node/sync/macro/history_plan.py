"""What a history sync works on: one download for each of the next epochs, in a row.

    our macro head --> download --> download --> download
                       to an        to an        to the newest
                       election     election     checkpoint

All of it follows from our chain and the claims, and is compared with them at each step.
"""

from collections.abc import Container, Iterator
from dataclasses import dataclass

from node.chain.view import ChainView
from node.sync.macro.epoch_clusters import Cluster, EpochClusters
from node.sync.macro.epoch_download import Batch, BatchSet, EpochDownload, Wanted
from node.sync.macro.history_answers import Origin, after_election
from node.sync.macro.history_items import Item
from node.sync.macro.history_limits import HistoryLimits
from node.sync.macro.target import Target
from protocols.types import Height, PeerId


@dataclass(frozen=True, slots=True)
class WholeBatch:
    """A batch that can be adopted once those before it are."""

    download: EpochDownload
    part: BatchSet
    batch: Batch
    senders: tuple[PeerId, ...]
    """Of the set, of the headers, of the leaves."""


class HistoryPlan:
    """The downloads, and what they lack."""

    def __init__(self, chain: ChainView, clusters: EpochClusters, limits: HistoryLimits) -> None:
        self._chain = chain
        self._limits = limits
        self._clusters = clusters
        self._downloads: list[EpochDownload] = []
        self._base = self._origin_at_head()

    @property
    def base(self) -> Height:
        """Our macro head when it was last looked at."""
        return self._base.number

    @property
    def content_bytes(self) -> int:
        """What is held of batches."""
        return sum(download.content_bytes for download in self._downloads)

    @property
    def held_bytes(self) -> int:
        """All that is held."""
        return sum(download.held_bytes for download in self._downloads)

    @property
    def next_target(self) -> Target | None:
        """What the first download leads to."""
        return self._downloads[0].target if self._downloads else None

    @property
    def next_peers(self) -> tuple[PeerId, ...]:
        """Those that claim it, if there are others who claim something else; or nobody."""
        peers = self._downloads[0].peers if self._downloads else ()
        return peers if len(peers) < len(self._clusters) else ()

    def rebase(self) -> None:
        """Start from our macro head as it is now."""
        if self._chain.macro_head.number != self._base.number:
            self._base = self._origin_at_head()

    def settled(self) -> dict[PeerId, bool]:
        """Return the sources of no more use, as `EpochClusters.compare` does."""
        return self._clusters.compare(self._base.number, self._chain.hash_at)

    def update(self, failed: Container[PeerId]) -> PeerId | None:
        """Let the downloads follow from our chain and the claims.

        Args:
            failed: Peers that were given back for failing and have sent nothing since.

        Returns:
            Who sent a batch set that says something else than our chain. Call again without it.
        """
        current = {download.target: download for download in self._downloads}
        origin, downloads = self._base, []
        for cluster in self._clusters.path(
            self._base.number, current.keys(), self._limits.open_epochs, failed=failed
        ):
            downloads.append(self._continued(current.get(cluster.target), cluster, origin))
            origin = after_election(cluster.target.height, cluster.target.hash)
        self._downloads = downloads
        for download in downloads:
            download.drop_refused()
        return downloads[0].advance(self._base) if downloads else None

    def wanted(self) -> Iterator[Wanted]:
        """Yield what is missing within the window, that of lower batches first, each once."""
        window = self._limits.window_batches * self._chain.policy.batch_length
        until = self._base.number + window
        seen: set[Item] = set()
        for download in self._downloads:
            for wanted in download.wanted(content_until=until, sets_until=until + window):
                if wanted.item not in seen:
                    seen.add(wanted.item)
                    yield wanted

    def is_next(self, wanted: Wanted) -> bool:
        """Tell whether nothing can be adopted before this has come."""
        batch = wanted.batch
        return batch is None or batch.previous == self._base.hash

    def whole(self) -> Iterator[WholeBatch]:
        """Yield the batches above our macro head that can be adopted, ascending."""
        reached = self._base.number
        for download in self._downloads:
            for part, batch in download.whole():
                yield WholeBatch(download, part, batch, part.senders(batch))
                reached = batch.number
            if reached != download.target.height:
                return

    def forget_peer(self, peer: PeerId) -> None:
        """Use nothing more that hangs on the word of a liar."""
        for download in self._downloads:
            download.forget_peer(peer)

    def _origin_at_head(self) -> Origin:
        macro = self._chain.macro_head
        if self._chain.policy.is_election(macro.number):
            return after_election(macro.number, macro.hash)
        with self._chain.snapshot() as snapshot:
            length = snapshot.history_length(macro.number)
        assert length is not None, "kept where state is"
        return Origin(
            number=macro.number,
            hash=macro.hash,
            election=macro.parent_election,
            history_length=length,
            history_root=macro.history_root,
        )

    def _continued(
        self, current: EpochDownload | None, cluster: Cluster, origin: Origin
    ) -> EpochDownload:
        """Return the download of a cluster, the current one if it continues the same block."""
        download = current
        if download is None or not download.continues(origin):
            download = EpochDownload(cluster.target, origin, self._limits.chunk_leaves)
        download.peers = cluster.peers
        return download
