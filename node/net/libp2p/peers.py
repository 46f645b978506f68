"""Who has joined, over which connection. No I/O.

Life of a peer:

    absent --first connection joins--> JOINED --last joined connection ends--> absent

Two nodes that dial each other at once get two connections, and each must pick the same one to
keep: the one that the lower peer id dialled. Two connections in the same direction mean that the
dialler lost the older one without our noticing: the newer stays.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from protocols.messages.handshake import Hello
from protocols.types import PeerId


class Link(Protocol):
    """What this table needs to know of a connection."""

    @property
    def peer(self) -> PeerId:
        """Who is at the other end."""
        ...

    @property
    def is_inbound(self) -> bool:
        """The peer dialled."""
        ...


LinkT = TypeVar("LinkT", bound=Link)


@dataclass(slots=True, kw_only=True)
class JoinedPeer(Generic[LinkT]):
    """A peer and its connections."""

    hello: Hello
    active: LinkT
    """The one that is used."""
    spares: list[LinkT] = field(default_factory=list)
    """Joined too, on their way out."""

    @property
    def links(self) -> tuple[LinkT, ...]:
        """All of them."""
        return (self.active, *self.spares)


@dataclass(frozen=True, slots=True)
class Join(Generic[LinkT]):
    """What a joining connection changed."""

    is_new: bool
    """The peer was absent."""
    superfluous: LinkT | None
    """The connection to close, when there are two now."""


class PeerTable(Generic[LinkT]):
    """All joined peers."""

    def __init__(self, own_id: PeerId) -> None:
        self._own_id = own_id
        self._peers: dict[PeerId, JoinedPeer[LinkT]] = {}

    def __len__(self) -> int:
        return len(self._peers)

    def __iter__(self) -> Iterator[JoinedPeer[LinkT]]:
        return iter(self._peers.values())

    def get(self, peer: PeerId) -> JoinedPeer[LinkT] | None:
        """Return a joined peer."""
        return self._peers.get(peer)

    def inbound(self) -> int:
        """Count the peers that dialled us."""
        return sum(joined.active.is_inbound for joined in self._peers.values())

    def join(self, link: LinkT, hello: Hello) -> Join[LinkT]:
        """Absent -> JOINED, or a further connection of a joined peer."""
        joined = self._peers.get(link.peer)
        if joined is None:
            self._peers[link.peer] = JoinedPeer(hello=hello, active=link)
            return Join(is_new=True, superfluous=None)
        joined.hello = hello
        if not self._replaces(link, joined.active):
            joined.spares.append(link)
            return Join(is_new=False, superfluous=link)
        superfluous, joined.active = joined.active, link
        joined.spares.append(superfluous)
        return Join(is_new=False, superfluous=superfluous)

    def leave(self, link: LinkT) -> bool:
        """JOINED -> absent when this was the last connection.

        Returns:
            Whether the peer is absent now and was not before.
        """
        joined = self._peers.get(link.peer)
        if joined is None or link not in joined.links:
            return False
        if link is not joined.active:
            joined.spares.remove(link)
            return False
        if joined.spares:
            joined.active = joined.spares.pop()
            return False
        del self._peers[link.peer]
        return True

    def remove(self, peer: PeerId) -> tuple[LinkT, ...]:
        """JOINED -> absent at once. Returns the connections that are to be closed."""
        joined = self._peers.pop(peer, None)
        return () if joined is None else joined.links

    def _replaces(self, newer: LinkT, older: LinkT) -> bool:
        if newer.is_inbound == older.is_inbound:
            return True
        return newer.is_inbound == (newer.peer < self._own_id)
