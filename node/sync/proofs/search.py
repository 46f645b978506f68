"""Asking peers one after the other until one of them has proven the answer.

begin --> AskPeer --> Answered --+--> AskPeer, the same peer: the dialogue goes on
             ^        Failed     |
             |                   +--> Proven: the end
             +-- the next peer --+
                                 +--> Unproven: nobody is left, the end
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Generic, TypeAlias, TypeVar

from node.chain.view import ChainView
from node.crypto.bls import KeyCache
from node.errors import Fault
from node.sync.effects import ReportPeer
from node.sync.proofs.dialogue import Dialogue, Query, RefusedError, RefutedError
from node.sync.proofs.questions import Question
from protocols.errors import WireError
from protocols.status import ResponseStatus
from protocols.types import PeerId

AnswerT = TypeVar("AnswerT")

MAX_PEERS_ASKED: Final = 5
"""For one question. Of five peers that serve the thing one will be honest and reachable; more would
only make the user wait longer for the same error."""


class Failure(StrEnum):
    """Why a peer has not proven the answer, besides its own refusals. The value is for people."""

    NO_ANSWER = "no answer"
    """Gone, too slow, or the stream broke."""
    BUSY = "asked too often"
    """By us: more would break its rate limit."""
    MALFORMED = "malformed answer"
    REFUTED = "false proof"


@dataclass(frozen=True, slots=True)
class Answered:
    """The response of the peer that was asked."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Failed:
    """There is no response of the peer that was asked."""

    failure: Failure


@dataclass(frozen=True, slots=True)
class AskPeer:
    """Ask this peer, and handle `Answered` or `Failed`."""

    peer: PeerId
    query: Query


@dataclass(frozen=True, slots=True)
class Proven(Generic[AnswerT]):
    """The end: a peer has proven the answer."""

    peer: PeerId
    answer: AnswerT


@dataclass(frozen=True, slots=True)
class Unproven:
    """The end: nobody has."""

    subject: str
    """What was to be proven, for people."""
    failures: tuple[str, ...]
    """One of each peer that was asked, for people."""

    @property
    def is_unknown(self) -> bool:
        """Whether all who were asked say that there is no such thing."""
        return set(self.failures) == {_words(ResponseStatus.NOT_FOUND)}

    @property
    def reason(self) -> str:
        """Say why in one line."""
        if not self.failures:
            return f"no peer is connected that proves {self.subject}"
        counts = Counter(self.failures)
        told = ", ".join(f"{count} {failure}" for failure, count in counts.items())
        return f"no peer could prove it: {told}"


Step: TypeAlias = ReportPeer | AskPeer | Proven[AnswerT] | Unproven


class ProofSearch(Generic[AnswerT]):
    """One question, and the peers that it is put to."""

    def __init__(
        self,
        question: Question[AnswerT],
        peers: Sequence[PeerId],
        chain: ChainView,
        keys: KeyCache,
    ) -> None:
        """Prepare.

        Args:
            question: What is asked.
            peers: Whom to ask, the first one first. Only so many of them are.
            chain: Ours.
            keys: Decoded voting keys.
        """
        self._question = question
        self._chain = chain
        self._keys = keys
        self._peers: Iterator[PeerId] = iter(tuple(peers)[:MAX_PEERS_ASKED])
        self._failures: list[str] = []
        self._peer: PeerId | None = None
        self._dialogue: Dialogue[AnswerT] | None = None

    @property
    def unproven(self) -> Unproven:
        """What is to be said if the search ends now, with the peer that is being asked."""
        waiting = () if self._peer is None else (Failure.NO_ANSWER.value,)
        return Unproven(self._question.subject, (*self._failures, *waiting))

    def begin(self) -> list[Step[AnswerT]]:
        """Ask the first peer."""
        return self._ask_next()

    def handle(self, event: Answered | Failed) -> list[Step[AnswerT]]:
        """Take what came of the last `AskPeer`. May be slow: it verifies."""
        assert self._peer is not None
        match event:
            case Failed(failure):
                return self._fail(failure.value)
            case Answered(payload):
                return self._go_on(payload)

    def _ask_next(self) -> list[Step[AnswerT]]:
        self._peer = next(self._peers, None)
        if self._peer is None:
            return [self.unproven]
        self._dialogue = self._question.ask(self._chain, self._keys)
        return self._go_on(None)

    def _go_on(self, payload: bytes | None) -> list[Step[AnswerT]]:
        """Let the dialogue have a response; with none, let it begin."""
        assert self._peer is not None
        assert self._dialogue is not None
        peer = self._peer
        try:
            query = next(self._dialogue) if payload is None else self._dialogue.send(payload)
        except StopIteration as end:
            self._peer = None
            return [Proven(peer, end.value)]
        except RefusedError as error:
            return self._fail(_words(error.status))
        except RefutedError as error:
            return [ReportPeer(peer, error.fault), *self._fail(Failure.REFUTED.value)]
        except WireError:
            return [ReportPeer(peer, Fault.MALFORMED), *self._fail(Failure.MALFORMED.value)]
        return [AskPeer(peer, query)]

    def _fail(self, failure: str) -> list[Step[AnswerT]]:
        self._failures.append(failure)
        return self._ask_next()


def _words(status: ResponseStatus) -> str:
    return status.name.lower().replace("_", " ")
