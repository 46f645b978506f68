"""Where the claims of peers agree, and where they split.

    epoch      1      2      3      4
    ALICE      a -->  b -->  c -->  d
    BOB        a -->  b                       a prefix: BOB helps up to b
    CAROL             b -->  c -->  checkpoint  it started later: aligned by height
    DAVE       a -->  b -->  X                split from the others above b

What is worked on is one path through them, epoch by epoch: at each the target that most peers
share, of those peers that share all of the path below it. What is claimed only by peers that have
failed to bring it comes last.
"""

from collections.abc import Callable, Collection, Container, Iterable, Mapping
from dataclasses import dataclass
from functools import partial

from node.policy import BlockKind, Policy
from node.sync.macro.fetcher import Claim
from node.sync.macro.target import Target
from protocols.types import Hash32, Height, PeerId


@dataclass(frozen=True, slots=True)
class Cluster:
    """Peers that agree on a target and on the path to it."""

    target: Target
    peers: tuple[PeerId, ...]
    """In the order in which they came."""


@dataclass(slots=True)
class _Source:
    claim: Claim
    first_epoch: int
    """Epoch that the first of its claims ends or lies in."""
    next_epoch: int
    """The first that our chain has not been compared in."""


class EpochClusters:
    """The claims of all sources."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._sources: dict[PeerId, _Source] = {}

    def __contains__(self, peer: PeerId) -> bool:
        """Tell whether a peer is a source."""
        return peer in self._sources

    def __len__(self) -> int:
        """Count the sources."""
        return len(self._sources)

    @property
    def highest(self) -> Height | None:
        """Height of the best claim; None without any."""
        ends = (self._end(source) for source in self._sources.values())
        return max((end for end in ends if end is not None), default=None)

    def add(self, peer: PeerId, claim: Claim) -> bool:
        """Take a claim, in place of an older one of this peer.

        Returns:
            Whether a chain can look like this; if not, nothing has changed.
        """
        first = self._policy.epoch_at(claim.start + 1)
        if not self._is_possible(claim, first):
            return False
        self._sources[peer] = _Source(claim, first, first)
        return True

    def remove(self, peer: PeerId) -> bool:
        """Forget a peer; tell whether it was a source."""
        return self._sources.pop(peer, None) is not None

    def compare(
        self, above: Height, hash_at: Callable[[Height], Hash32 | None]
    ) -> dict[PeerId, bool]:
        """Hold the claims against the final chain.

        Args:
            above: Our macro head.
            hash_at: Looks up our final blocks.

        Returns:
            The peers that are of no more use: True if we have all that they claimed, False if our
            chain has something else there.
        """
        found: dict[PeerId, bool] = {}
        for peer, source in self._sources.items():
            claimed = self._target_in(source, source.next_epoch)
            while claimed is not None and claimed.height <= above:
                if hash_at(claimed.height) != claimed.hash:
                    found[peer] = False
                    break
                source.next_epoch += 1
                claimed = self._target_in(source, source.next_epoch)
            if claimed is None:
                found[peer] = True
        return found

    def path(
        self,
        above: Height,
        current: Collection[Target],
        limit: int,
        *,
        failed: Container[PeerId] = (),
    ) -> tuple[Cluster, ...]:
        """Return what to work on, ascending, one target for each epoch.

        Args:
            above: Our macro head.
            current: What is worked on now. It goes on as long as anybody claims it: claims that
                come and go shall not undo work.
            limit: Most targets.
            failed: Peers that were given back for failing and have sent nothing since. They do not
                keep the others from what those claim.
        """
        path: list[Cluster] = []
        agreeing: Iterable[PeerId] = self._sources
        epoch = self._policy.epoch_at(above + 1)
        while len(path) < limit:
            groups = self._groups(agreeing, epoch, above)
            if not groups:
                break
            best = max(groups, key=partial(_rank, groups, current, failed))
            path.append(Cluster(best, tuple(groups[best])))
            if not self._policy.is_election(best.height):
                break
            agreeing, epoch = groups[best], epoch + 1
        return tuple(path)

    def _groups(
        self, peers: Iterable[PeerId], epoch: int, above: Height
    ) -> dict[Target, list[PeerId]]:
        groups: dict[Target, list[PeerId]] = {}
        for peer in peers:
            claimed = self._target_in(self._sources[peer], epoch)
            if claimed is not None and claimed.height > above:
                groups.setdefault(claimed, []).append(peer)
        return groups

    def _target_in(self, source: _Source, epoch: int) -> Target | None:
        """Return what a source claims in an epoch: its election block, or the newest checkpoint."""
        index = epoch - source.first_epoch
        if 0 <= index < len(source.claim.epochs):
            return Target(epoch * self._policy.epoch_length, source.claim.epochs[index])
        newest = source.claim.checkpoint
        if index == len(source.claim.epochs) and newest is not None:
            return Target(newest.number, newest.hash)
        return None

    def _end(self, source: _Source) -> Height | None:
        if source.claim.checkpoint is not None:
            return source.claim.checkpoint.number
        last = source.first_epoch + len(source.claim.epochs) - 1
        return last * self._policy.epoch_length if source.claim.epochs else None

    def _is_possible(self, claim: Claim, first_epoch: int) -> bool:
        newest = claim.checkpoint
        if newest is None:
            return True
        return (
            newest.number > claim.start
            and self._policy.kind_at(newest.number) is BlockKind.CHECKPOINT
            and self._policy.epoch_at(newest.number) == first_epoch + len(claim.epochs)
        )


def _rank(
    groups: Mapping[Target, Collection[PeerId]],
    current: Collection[Target],
    failed: Container[PeerId],
    target: Target,
) -> tuple[bool, bool, int, Height]:
    peers = groups[target]
    may_bring_it = any(peer not in failed for peer in peers)
    return may_bring_it, target in current, len(peers), target.height
