"""One request on one stream, both sides. Frames as in `protocols.frames`.

asking    name of the protocol, request (one frame), FIN      read to the end
serving   read to the end                                     response (frames), FIN
"""

from node.net.libp2p import multistream
from node.net.libp2p.failures import StreamResetError
from node.net.libp2p.muxer import Muxer
from node.net.libp2p.stream import Stream
from protocols.frames import FrameReader, encode_frames


async def ask(muxer: Muxer, protocol_id: str, request: bytes, *, max_response_bytes: int) -> bytes:
    """Send a request and return the whole response. Cancel-safe: the stream is given up.

    Raises:
        UnavailableError: The peer does not know the protocol, or gave the stream up, or is gone.
        WireError: The response breaks the framing or the limit.
    """
    stream = muxer.open()
    try:
        # The name and the request leave in one packet; see `multistream.confirm`.
        names = multistream.encode(multistream.HELLO, protocol_id)
        await stream.write(names + b"".join(encode_frames(request)))
        stream.finish()
        await multistream.confirm(stream, protocol_id)
        return await read_payload(stream, maximum=max_response_bytes)
    finally:
        stream.reset()


async def answer(stream: Stream, response: bytes) -> None:
    """Send a whole response.

    Raises:
        UnavailableError: The peer gave the stream up, or takes nothing for too long.
    """
    for frame in encode_frames(response):
        await stream.write(frame)
    stream.finish()


async def read_payload(stream: Stream, *, maximum: int) -> bytes:
    """Read frames to the end of the stream and return what they carry.

    Raises:
        StreamResetError: The stream was given up.
        WireError: The bytes break the framing or the limit.
    """
    reader = FrameReader(maximum=maximum)
    pieces: list[bytes] = []
    has_begun = False
    while chunk := await stream.read_some():
        pieces += reader.feed(chunk)
        has_begun = True
    if not has_begun:
        # A side that ends a stream without a word has given it up politely.
        raise StreamResetError("ended without a word")
    reader.finish()
    return b"".join(pieces)
