"""How many bytes of answers may wait to be taken by the peers that asked."""

from collections import Counter

from protocols.types import PeerId


class AnswerBudget:
    """Bounds what peers that ask and do not read can make us hold.

    Args:
        per_peer: Bytes of all answers to one peer.
        in_all: Bytes over all peers.
    """

    def __init__(self, *, per_peer: int, in_all: int) -> None:
        assert 0 < per_peer <= in_all
        self._per_peer = per_peer
        self._in_all = in_all
        self._held: Counter[PeerId] = Counter()

    @property
    def held(self) -> int:
        """Bytes that are held now."""
        return self._held.total()

    def take(self, peer: PeerId, size: int) -> bool:
        """Hold an answer of `size` bytes. Tells whether there was room; if not, nothing is held."""
        if self._held[peer] + size > self._per_peer or self.held + size > self._in_all:
            self._forget_if_empty(peer)
            return False
        self._held[peer] += size
        return True

    def give_back(self, peer: PeerId, size: int) -> None:
        """Let go of an answer that was taken, sent or not."""
        self._held[peer] -= size
        assert self._held[peer] >= 0
        self._forget_if_empty(peer)

    def _forget_if_empty(self, peer: PeerId) -> None:
        if not self._held[peer]:
            del self._held[peer]
