"""Talking with one peer until something is proven: requests out, payloads in, an answer at the end.

A dialogue is a generator. It reads the chain and verifies, and does nothing else, so it may run in
a worker thread and in any test. What a peer may not send ends it with one of the errors below,
which never get further than `ProofSearch`.
"""

from collections.abc import Generator
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from node.errors import Fault
from protocols.ids import RequestProtocol
from protocols.status import Refusal, ResponseStatus

AnswerT = TypeVar("AnswerT")
ResponseT = TypeVar("ResponseT")


@dataclass(frozen=True, slots=True)
class Query:
    """One request to the peer that the dialogue is with."""

    protocol: RequestProtocol
    payload: bytes


Dialogue: TypeAlias = Generator[Query, bytes, AnswerT]


class RefusedError(Exception):
    """The peer cannot help, and is not to blame.

    Attributes:
        status: Why.
    """

    def __init__(self, status: ResponseStatus) -> None:
        super().__init__(status.name)
        self.status = status


class RefutedError(Exception):
    """The peer has sent what cannot be true.

    Attributes:
        fault: What it is blamed for.
    """

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.value)
        self.fault = fault


def served(response: ResponseT | Refusal) -> ResponseT:
    """Return a response that is no refusal.

    Raises:
        RefusedError: It is one.
    """
    if isinstance(response, Refusal):
        raise RefusedError(response.status)
    return response
