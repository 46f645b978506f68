"""Asking a peer one question, and what an answer costs it that is none."""

from collections.abc import Callable
from typing import Final, TypeVar

import structlog

from node.errors import Fault, PeerFaultError, UnavailableError
from node.net.network import Network
from node.services.workers import carry_out
from protocols.errors import WireError
from protocols.ids import RequestProtocol
from protocols.types import PeerId

log = structlog.get_logger("requests")

DECODE_IN_THREAD_BYTES: Final = 64 * 1024
"""An answer larger than this takes longer to decode than a hop to a thread costs."""

AnswerT = TypeVar("AnswerT")


async def ask_peer(
    network: Network,
    peer: PeerId,
    protocol: RequestProtocol,
    payload: bytes,
    decode: Callable[[bytes], AnswerT],
    *,
    in_thread: bool,
) -> AnswerT | None:
    """Ask, and decode the answer; None without one that decodes, which the peer answers for.

    Args:
        network: Where the peer is.
        peer: Joined, or gone meanwhile.
        protocol: Of the request.
        payload: The encoded request.
        decode: Reads a response, or raises `WireError`.
        in_thread: Decode what is large in a worker thread.
    """
    try:
        answer = await network.request(peer, protocol, payload)
        if len(answer) < DECODE_IN_THREAD_BYTES:
            return decode(answer)
        return await carry_out(lambda: decode(answer), in_thread=in_thread)
    except UnavailableError as error:
        log.debug("request_failed", peer=peer, reason=str(error))
    except PeerFaultError as error:
        network.report(error.peer, error.fault)
    except WireError as error:
        log.info("answer_malformed", peer=peer, reason=str(error))
        network.report(peer, Fault.MALFORMED)
    return None
