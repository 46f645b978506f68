"""Having peers prove to us what a user asks and we do not have."""

from collections.abc import Callable
from typing import Final, TypeAlias, TypeVar

import structlog
import trio

from node.chain.view import ChainView
from node.crypto.bls import KeyCache
from node.errors import Fault, PeerFaultError, UnavailableError
from node.net.network import Network
from node.services.workers import carry_out
from node.sync.effects import ReportPeer
from node.sync.proofs.peers import ProofPeers
from node.sync.proofs.questions import Question
from node.sync.proofs.search import (
    Answered,
    AskPeer,
    Failed,
    Failure,
    ProofSearch,
    Proven,
    Step,
    Unproven,
)
from protocols.types import PeerId

log = structlog.get_logger("proofs")

MAX_SEARCHES: Final = 8
"""At one moment: an answer may take 10 MiB and a pairing. Others wait, within their own time."""

MAX_WAITING: Final = 64
"""Questions that wait for their turn. Beyond it a user is told at once that there are too many."""

MAX_THREADS: Final = 1
"""Worker threads that verify: more would only take the processor from the node's own pushes."""

PEER_TIMEOUT_S: Final = 5.0
"""For all that one peer is asked: a user waits, and one that answers each request just in time
would keep a search to itself."""

SEARCH_TIMEOUT_S: Final = 20.0
"""For one question with all its peers: time for four of them at least, and shorter than commands
wait for an answer."""

AnswerT = TypeVar("AnswerT")
ResultT = TypeVar("ResultT")
Outcome: TypeAlias = Proven[AnswerT] | Unproven


class ProofService:
    """Puts questions to peers. Has no task of its own: whoever asks waits."""

    def __init__(
        self, network: Network, chain: ChainView, keys: KeyCache, *, in_thread: bool
    ) -> None:
        """Prepare.

        Args:
            network: Where the peers are.
            chain: What proofs are verified against.
            keys: The cache of decoded voting keys that the chain verifies with.
            in_thread: Verify in a worker thread. False in virtual time, whose clock does not wait
                for threads.
        """
        self._network = network
        self._chain = chain
        self._keys = keys
        self._in_thread = in_thread
        self._peers = ProofPeers()
        self._places = trio.Semaphore(MAX_SEARCHES)
        self._threads = trio.CapacityLimiter(MAX_THREADS)

    async def prove(self, question: Question[AnswerT]) -> Outcome[AnswerT]:
        """Ask peers until one has proven the answer, for 20 seconds at most. Cancel-safe."""
        if self._places.statistics().tasks_waiting >= MAX_WAITING:
            return Unproven(question.subject, ("too many questions at once",))
        search: ProofSearch[AnswerT] | None = None
        with trio.move_on_after(SEARCH_TIMEOUT_S):
            async with self._places:
                services = {
                    peer: record.hello.services for peer, record in self._network.peers.items()
                }
                ranked = self._peers.ranked(services, question.services)
                search = ProofSearch(question, ranked, self._chain, self._keys)
                return await self._drive(search)
        if search is None:
            return Unproven(question.subject, ("too many questions at once",))
        return search.unproven

    async def _drive(self, search: ProofSearch[AnswerT]) -> Outcome[AnswerT]:
        steps: list[Step[AnswerT]] = await self._work(search.begin)
        asked, deadline = None, 0.0
        while True:
            for step in steps:
                match step:
                    case ReportPeer(peer, fault):
                        self._report(peer, fault)
                    case Proven() | Unproven():
                        return step
                    case AskPeer(peer):
                        if peer != asked:
                            asked, deadline = peer, trio.current_time() + PEER_TIMEOUT_S
                        event = await self._ask(step, deadline)
            steps = await self._handle(search, event)

    async def _handle(
        self, search: ProofSearch[AnswerT], event: Answered | Failed
    ) -> list[Step[AnswerT]]:
        return await self._work(lambda: search.handle(event))

    async def _ask(self, ask: AskPeer, deadline: float) -> Answered | Failed:
        peer, query = ask.peer, ask.query
        if not self._peers.take(peer, query.protocol, trio.current_time()):
            return Failed(Failure.BUSY)
        try:
            with trio.fail_at(deadline):
                payload = await self._network.request(peer, query.protocol, query.payload)
        except (UnavailableError, trio.TooSlowError) as error:
            log.debug("proof_not_given", peer=peer, reason=str(error) or "timed out")
            self._peers.fell_silent(peer)
            return Failed(Failure.NO_ANSWER)
        except PeerFaultError as error:
            self._report(error.peer, error.fault)
            return Failed(Failure.MALFORMED)
        self._peers.answered(peer)
        return Answered(payload)

    def _report(self, peer: PeerId, fault: Fault) -> None:
        log.info("proof_refuted", peer=peer, fault=fault.value)
        self._peers.lied(peer)
        self._network.report(peer, fault)

    async def _work(self, task: Callable[[], ResultT]) -> ResultT:
        return await carry_out(task, in_thread=self._in_thread, limiter=self._threads)
