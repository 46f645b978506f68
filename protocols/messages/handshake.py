"""The first request on a new connection, in both directions."""

from dataclasses import dataclass
from typing import Self

from protocols.codec import FieldReader, pack
from protocols.types import Hash32, Height, Service


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """Who a node is. The dialler sends its own and gets the other's as the response.

    Wire: [network: uint 0..255, genesis: bin 32, version: uint 0..65535, services: uint 0..255,
    head number: uint 32, head hash: bin 32, agent: str up to 64 bytes].
    """

    network: int
    genesis: Hash32
    version: int
    services: Service
    head_number: Height
    head_hash: Hash32
    agent: str
    """Name and version of the software, for people."""

    def encode(self) -> bytes:
        """Return the wire form."""
        return pack(
            [
                self.network,
                self.genesis,
                self.version,
                int(self.services),
                self.head_number,
                self.head_hash,
                self.agent,
            ]
        )

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """Read a handshake. Unknown service bits are kept: a newer peer may set them.

        Raises:
            WireError: The payload is not exactly one handshake.
        """
        fields = FieldReader.unpack("Hello", payload, arity=7)
        return cls(
            network=fields.uint(maximum=0xFF),
            genesis=fields.hash32(),
            version=fields.uint(maximum=0xFFFF),
            services=Service(fields.uint(maximum=0xFF)),
            head_number=fields.uint(maximum=0xFFFF_FFFF),
            head_hash=fields.hash32(),
            agent=fields.text(maximum=64),
        )
