"""What gossip says of a new block: first its header, then its body."""

from dataclasses import dataclass
from typing import Self

from protocols.codec import FieldReader, pack
from protocols.limits import MAX_GOSSIP_BYTES, MAX_HEADER_BYTES, MAX_JUSTIFICATION_BYTES
from protocols.types import Hash32


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderAnnouncement:
    """A new block without its body, on topic `headers`.

    Wire: [header: bin 1..65536, justification: bin 1..256].
    """

    header: bytes
    """Encoding of the header; its Blake2b-256 is the hash of the block."""
    justification: bytes
    """Encoding of the justification."""

    def encode(self) -> bytes:
        """Return the wire form."""
        return pack([self.header, self.justification])

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """Read an announcement. Header and justification in it are not looked at.

        Raises:
            WireError: The payload is not exactly one header announcement.
        """
        fields = FieldReader.unpack("HeaderAnnouncement", payload, arity=2)
        return cls(
            header=fields.blob(minimum=1, maximum=MAX_HEADER_BYTES),
            justification=fields.blob(minimum=1, maximum=MAX_JUSTIFICATION_BYTES),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyAnnouncement:
    """The body of a new block, on topic `bodies`, published after its header.

    Wire: [block: bin 32, body: bin 1..1000000]. A body with which the message would be larger
    than gossip carries is never announced: it is fetched by a block request.
    """

    block: Hash32
    """Hash of the block that it belongs to."""
    body: bytes
    """Encoding of the body; its Blake2b-256 stands in the header."""

    def encode(self) -> bytes:
        """Return the wire form."""
        return pack([self.block, self.body])

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """Read an announcement. The body in it is not looked at.

        Raises:
            WireError: The payload is not exactly one body announcement.
        """
        fields = FieldReader.unpack("BodyAnnouncement", payload, arity=2)
        return cls(
            block=fields.hash32(),
            body=fields.blob(minimum=1, maximum=MAX_GOSSIP_BYTES),
        )
