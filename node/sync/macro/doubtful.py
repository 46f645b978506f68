"""Peers that were slow or failed, remembered beyond the time when they are used."""

from protocols.types import PeerId


class Doubtful:
    """A bounded memory of peers: when it is full, whoever is in it longest is forgotten.

    Args:
        limit: Most peers, at least one.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._peers: dict[PeerId, None] = {}

    def __contains__(self, peer: object) -> bool:
        """Tell whether a peer is remembered."""
        return peer in self._peers

    def add(self, peer: PeerId) -> None:
        """Remember a peer."""
        self._peers[peer] = None
        if len(self._peers) > self._limit:
            del self._peers[next(iter(self._peers))]

    def discard(self, peer: PeerId) -> None:
        """Forget a peer: it has answered."""
        self._peers.pop(peer, None)
