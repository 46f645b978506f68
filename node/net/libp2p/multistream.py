"""Agreeing on a protocol: multistream-select 1.0, bounded and checked.

    dialler   /multistream/1.0.0  /name           each message: varint length, text, newline
    listener  /multistream/1.0.0          /name   or "na"

py-libp2p reads a length of any size and decodes the text unchecked, outside of its own error
handling (protocol_muxer/multiselect_communicator.py 58): one byte above 127 ends the host.
"""

from collections.abc import Callable, Container
from typing import Final, Protocol

from node.net.libp2p.failures import NegotiationError
from protocols.frames import encode_varint

HELLO: Final = "/multistream/1.0.0"
REFUSAL: Final = "na"

MAX_MESSAGE_BYTES: Final = 1024
"""Longest name that anybody uses is a tenth of it."""

MAX_PROPOSALS: Final = 8
"""Names that a dialler may try on one stream before we give it up."""

_LENGTH_BYTES: Final = 2
"""A varint for MAX_MESSAGE_BYTES has two bytes."""


class Channel(Protocol):
    """Whatever a protocol is agreed on for: a socket, a secured channel, a stream."""

    async def read_exactly(self, size: int) -> bytes:
        """Return so many bytes, or raise what the channel raises when it ends."""
        ...

    async def write(self, data: bytes) -> None:
        """Write all of it, or raise."""
        ...


def encode(*messages: str) -> bytes:
    """Return messages as they travel."""
    lines = [f"{message}\n".encode() for message in messages]
    return b"".join(encode_varint(len(line)) + line for line in lines)


async def accept(
    channel: Channel, supported: Container[str], *, on_refused: Callable[[str], None] | None = None
) -> str:
    """Answer as the listener and return the protocol that both sides know.

    Args:
        channel: At its very start.
        supported: Names that we know.
        on_refused: Is told each name that we do not know, after it has been refused.

    Raises:
        NegotiationError: Not multistream-select, or too many names.
    """
    await channel.write(encode(HELLO))
    await _expect_hello(channel)
    for _ in range(MAX_PROPOSALS):
        name = await _read(channel)
        if name in supported:
            await channel.write(encode(name))
            return name
        await channel.write(encode(REFUSAL))
        if on_refused is not None:
            on_refused(name)
    raise NegotiationError("too many unknown protocols")


async def propose(channel: Channel, name: str) -> None:
    """Ask for a protocol as the dialler and wait for the answer.

    Raises:
        NegotiationError: The other side does not know it.
    """
    await channel.write(encode(HELLO, name))
    await confirm(channel, name)


async def confirm(channel: Channel, name: str) -> None:
    """Read the answer to a proposal that has been written, perhaps with more behind it.

    The proposal of one name needs no answer before the request goes out: a listener that refuses
    it discards the rest. That saves two round trips per request.

    Raises:
        NegotiationError: The other side does not know the protocol.
    """
    await _expect_hello(channel)
    answer = await _read(channel)
    if answer != name:
        raise NegotiationError(f"no {name} there")


async def _expect_hello(channel: Channel) -> None:
    if await _read(channel) != HELLO:
        raise NegotiationError("does not speak multistream-select")


async def _read(channel: Channel) -> str:
    length = 0
    for index in range(_LENGTH_BYTES):
        byte = (await channel.read_exactly(1))[0]
        length |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            break
    else:
        raise NegotiationError("message with a length of more than two bytes")
    if not 1 <= length <= MAX_MESSAGE_BYTES:
        raise NegotiationError(f"message of {length} bytes")
    return _text(await channel.read_exactly(length))


def _text(line: bytes) -> str:
    if line[-1:] != b"\n":
        raise NegotiationError("message without a newline at its end")
    try:
        return line[:-1].decode()
    except UnicodeDecodeError as error:
        raise NegotiationError("message that is not UTF-8") from error
