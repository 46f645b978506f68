"""Which peers to ask for a proof, in which order, and how often."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from protocols.ids import RequestProtocol
from protocols.rate_limit import RateLimit, RateLimiter
from protocols.types import PeerId, Service

OWN_SHARE: Final = 2
"""Proofs take one half of what a peer allows: the sync asks for blocks by the same protocols."""

MAX_REMEMBERED_PEERS: Final = 1024
"""Several times the peers that can be connected, as the serving side has it."""


@dataclass(slots=True)
class _Record:
    asked: int = 0
    """Number of the request that it got last; 0 if none."""
    is_silent: bool = False
    has_lied: bool = False


class ProofPeers:
    """What is remembered of connected peers from one question to the next."""

    def __init__(self) -> None:
        self._records: dict[PeerId, _Record] = {}
        self._requests = 0
        self._limits: dict[RequestProtocol, RateLimiter[PeerId]] = {}

    def ranked(
        self, peers: Mapping[PeerId, Service], services: Sequence[Service]
    ) -> tuple[PeerId, ...]:
        """Return the peers to ask, the first one first. Those that have lied are left out.

        Whoever was silent comes last, who serves more comes before who serves less, and among
        equals those that have not been asked for the longest time.

        Args:
            peers: Connected ones, with what they serve.
            services: Useful ones, the best first.
        """
        self._records = {peer: self._records.get(peer, _Record()) for peer in peers}
        ranks: dict[PeerId, int] = {}
        for peer, offered in peers.items():
            useful = [rank for rank, service in enumerate(services) if offered & service]
            if useful and not self._records[peer].has_lied:
                ranks[peer] = useful[0]

        def place(peer: PeerId) -> tuple[bool, int, int]:
            record = self._records[peer]
            return record.is_silent, ranks[peer], record.asked

        return tuple(sorted(ranks, key=place))

    def take(self, peer: PeerId, protocol: RequestProtocol, now: float) -> bool:
        """Note that a peer is asked; False if that would be too often.

        Args:
            peer: Whom.
            protocol: By which request.
            now: Monotonic clock, seconds.
        """
        self._requests += 1
        if (record := self._records.get(peer)) is not None:
            record.asked = self._requests
        limit = self._limits.get(protocol)
        if limit is None:
            capacity = max(protocol.limits.requests_per_10_s // OWN_SHARE, 1)
            limit = RateLimiter(RateLimit(capacity=capacity), max_keys=MAX_REMEMBERED_PEERS)
            self._limits[protocol] = limit
        return limit.take(peer, now)

    def answered(self, peer: PeerId) -> None:
        """Note that a peer is there."""
        if (record := self._records.get(peer)) is not None:
            record.is_silent = False

    def fell_silent(self, peer: PeerId) -> None:
        """Note that a peer gave no answer."""
        if (record := self._records.get(peer)) is not None:
            record.is_silent = True

    def lied(self, peer: PeerId) -> None:
        """Note that a peer has sent what cannot be true. It is not asked again."""
        if (record := self._records.get(peer)) is not None:
            record.has_lied = True
