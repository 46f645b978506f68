"""Protocol negotiation over a channel in memory."""

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from node.net.libp2p.failures import ConnectionLostError, NegotiationError
from node.net.libp2p.multistream import (
    HELLO,
    MAX_MESSAGE_BYTES,
    MAX_PROPOSALS,
    accept,
    encode,
    propose,
)


class Channel:
    """Reads what it was given and keeps what is written."""

    def __init__(self, incoming: bytes) -> None:
        self.incoming = incoming
        self.written = b""

    async def read_exactly(self, size: int) -> bytes:
        await trio.lowlevel.checkpoint()
        if len(self.incoming) < size:
            raise ConnectionLostError("ended")
        taken, self.incoming = self.incoming[:size], self.incoming[size:]
        return taken

    async def write(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        self.written += data


async def test_listener_takes_the_first_name_it_knows() -> None:
    channel = Channel(encode(HELLO, "/new", "/ours") + b"rest")
    refused: list[str] = []
    assert await accept(channel, {"/ours"}, on_refused=refused.append) == "/ours"
    assert channel.written == encode(HELLO, "na", "/ours")
    assert channel.incoming == b"rest"
    assert refused == ["/new"]


async def test_dialler_asks_and_reads_the_answer() -> None:
    channel = Channel(encode(HELLO, "/ours") + b"rest")
    await propose(channel, "/ours")
    assert channel.written == encode(HELLO, "/ours")
    assert channel.incoming == b"rest"


async def test_dialler_is_refused() -> None:
    with pytest.raises(NegotiationError, match="no /ours there"):
        await propose(Channel(encode(HELLO, "na")), "/ours")


@pytest.mark.parametrize(
    "incoming",
    [
        encode("/multistream/2.0.0"),
        b"GET / HTTP/1.1\r\n\r\n" * 20,
        b"\x00",
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        b"\x81\x88\x01" + bytes(2000),
        b"\x02/x",
        encode(HELLO) + b"\x03\xff\xfe\n",
        encode(HELLO, *["/none"] * MAX_PROPOSALS),
    ],
)
async def test_listener_gives_up(incoming: bytes) -> None:
    with pytest.raises(NegotiationError):
        await accept(Channel(incoming), {"/ours"})


async def test_longest_name_is_taken() -> None:
    name = "/" + "x" * (MAX_MESSAGE_BYTES - 2)
    assert await accept(Channel(encode(HELLO, name)), {name}) == name
    with pytest.raises(NegotiationError):
        await accept(Channel(encode(HELLO, name + "x")), {name + "x"})


@given(st.binary(max_size=200), st.sampled_from([b"", encode(HELLO), encode(HELLO, "/a")]))
def test_random_bytes_end_in_one_of_the_errors(content: bytes, before: bytes) -> None:
    async def check() -> None:
        try:
            await accept(Channel(before + content), {"/ours"})
        except (NegotiationError, ConnectionLostError):
            return

    trio.run(check)
