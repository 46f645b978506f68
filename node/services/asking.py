"""Asking a peer one question, and what an answer costs it that is none."""

from collections.abc import Callable
from typing import Final, TypeVar

import structlog
import trio

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
        answer = await _request(network, peer, protocol, payload)
        if len(answer) < DECODE_IN_THREAD_BYTES:
            return decode(answer)
        return await carry_out(lambda: decode(answer), in_thread=in_thread)
    except UnavailableError:
        # Told already, and nobody's fault.
        pass
    except PeerFaultError as error:
        network.report(error.peer, error.fault)
    except WireError as error:
        log.info("answer_malformed", peer=peer, reason=str(error))
        network.report(peer, Fault.MALFORMED)
    return None


async def _request(
    network: Network, peer: PeerId, protocol: RequestProtocol, payload: bytes
) -> bytes:
    """Ask, and tell of each step. Seconds count from the question."""
    told = log.bind(peer=peer, protocol=protocol.value)
    told.debug("request_sent")
    began = trio.current_time()
    try:
        answer = await network.request(peer, protocol, payload)
    except UnavailableError as error:
        told.debug("request_failed", reason=str(error), seconds=_since(began))
        raise
    except PeerFaultError as error:
        told.debug("request_failed", reason=error.fault.value, seconds=_since(began))
        raise
    except trio.Cancelled:
        # It takes longer than whoever asks will wait, or nobody needs the answer any more.
        told.debug("request_cancelled", seconds=_since(began))
        raise
    told.debug("request_answered", bytes=len(answer), seconds=_since(began))
    return answer


def _since(began: float) -> float:
    return round(trio.current_time() - began, 6)
