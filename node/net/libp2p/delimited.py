"""Messages on a gossip stream, each behind an unsigned varint. No I/O."""

from typing import Final

from protocols.errors import WireError

MAX_LENGTH_BYTES: Final = 4
"""A varint for the largest message and some."""


class DelimitedReader:
    """Takes the bytes of one stream in pieces of any size and gives back its messages.

    Holds at most one unfinished message. After an error it must not be used again.
    """

    def __init__(self, *, maximum: int) -> None:
        """Start before the first byte.

        Args:
            maximum: Bytes of one message, inclusive.
        """
        self._maximum = maximum
        self._buffer = bytearray()

    def feed(self, chunk: bytes) -> list[bytes]:
        """Take the next bytes and return the messages that they complete.

        Raises:
            WireError: A length that is too large.
        """
        self._buffer += chunk
        messages, start = [], 0
        while (body := self._body_at(start)) is not None:
            messages.append(bytes(memoryview(self._buffer)[body]))
            start = body.stop
        del self._buffer[:start]
        return messages

    def _body_at(self, start: int) -> slice | None:
        """Return where the message behind a length lies, if all of it is there."""
        length = 0
        for index, byte in enumerate(self._buffer[start : start + MAX_LENGTH_BYTES]):
            length |= (byte & 0x7F) << 7 * index
            if byte < 0x80:
                self._check(length)
                body = slice(start + index + 1, start + index + 1 + length)
                return body if len(self._buffer) >= body.stop else None
        if len(self._buffer) - start >= MAX_LENGTH_BYTES:
            raise WireError("Gossip", f"length of more than {MAX_LENGTH_BYTES} bytes")
        return None

    def _check(self, length: int) -> None:
        if length > self._maximum:
            raise WireError("Gossip", f"message of {length} bytes, at most {self._maximum}")
