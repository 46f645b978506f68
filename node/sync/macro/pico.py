"""Pico macro sync: the first election block on trust, until somebody says otherwise.

    PAUSED --> ASKING --fits our chain--> good, or outdated
      ^          |  +---conflict--> light macro sync, once and for good
      +--failed--+  +---leads on--> WAITING
      |                                | longest, and there is no guide
      +--has led us, overtaken, failed-+-- GUIDE: its election block, its macro block

A Pico with only its genesis takes the election block of the first peer that has one, and verifies
all that follows. As soon as a peer is not on that chain, one of the two lies, and which one only
the elections from genesis on can tell: the chain goes back to genesis, and light macro sync takes
over with all peers; so it does when one guide after another sends nothing. With an election block
that the operator vouches for no peer is ever trusted: that block is fetched first, and light macro
sync starts from it.

There is one guide at a time, while live sync goes on. Where live sync was faster, what the guide
has sent is not judged: it answered for the chain as it was, and is asked again.
"""

from enum import Enum
from typing import Final

from node.chain.view import ChainView
from node.errors import Fault
from node.sync.effects import AdoptMacroBlocks, CancelRequest, ReportPeer, ResetChain, SendRequest
from node.sync.inputs import Answer, HeadArrived, PushFinished
from node.sync.live.config import QueueConfig
from node.sync.macro.fetcher import Progressed
from node.sync.macro.heads import (
    Fit,
    HeadReading,
    Step,
    has_jumped,
    read_head,
    read_head_below_pinned,
)
from node.sync.macro.macro_sync import (
    FAILURES_MAX,
    PAUSE_S,
    MacroOutput,
    MacroSync,
    PeerPlaced,
    Place,
    StartOver,
    gap_of,
    is_beyond,
)
from node.sync.macro.pico_candidates import Candidate, Candidates, State
from node.sync.macro.pico_guide import Guide, Outcome, read_adoption, read_block
from node.sync.macro.target import Target
from node.sync.tickets import Asker, TicketId
from protocols.messages.block import BlockRequest
from protocols.messages.head import HeadRequest, HeadResponse
from protocols.types import Height, PeerId

FAILED_GUIDES_MAX: Final = 3
"""Guides that may fail in a row. Peers are cheap, and each that is mute takes one timeout. Light
macro sync asks several at once."""


class _Mode(Enum):
    TRUSTING = "trusting"
    PINNING = "pinning"
    """The operator's election block is to be fetched."""
    RESETTING = "resetting"
    """The chain is on its way back to genesis."""
    LIGHT = "light"


class PicoSync:
    """Handles every peer of the list `macro` of a Pico."""

    def __init__(
        self, chain: ChainView, config: QueueConfig, light: MacroSync, *, pinned: Target | None
    ) -> None:
        """Start without peers.

        Args:
            chain: Read only.
            config: Bounds.
            light: Takes over when there is nobody to trust.
            pinned: The election block that the operator vouches for.
        """
        self._chain = chain
        self._config = config
        self._light = light
        self._pinned = pinned
        self._candidates = Candidates()
        self._guide: Guide | None = None
        self._failed_guides: set[PeerId] = set()
        self._mode = self._first_mode()
        self._reset: TicketId | None = None
        self._next_number = 0

    @property
    def is_active(self) -> bool:
        """Whether somebody is said to be ahead, or the chain is being reset."""
        if self._mode is _Mode.LIGHT:
            return self._light.is_active
        return self._guide is not None or self._mode is _Mode.RESETTING

    @property
    def is_proven(self) -> bool:
        """Whether whoever is said to be ahead has sent what shows it."""
        if self._mode is _Mode.LIGHT:
            return self._light.is_proven
        is_led = self._guide is not None and self._guide.is_proven
        return self._mode is _Mode.RESETTING or is_led

    @property
    def target(self) -> Height | None:
        """Best claimed height, proven or not; None while nobody is ahead."""
        if self._mode is _Mode.LIGHT:
            return self._light.target
        return self._guide.steps[-1].target.height if self._guide else None

    @property
    def held_bytes(self) -> int:
        """Bytes received and not yet on the chain."""
        return self._light.held_bytes

    @property
    def is_trusting(self) -> bool:
        """Whether the first election block is, or would be, taken on a peer's word."""
        return self._mode is _Mode.TRUSTING

    def next_deadline(self) -> float | None:
        """Return when a question is late or a pause is over, or None."""
        if self._mode is _Mode.LIGHT:
            return self._light.next_deadline()
        if self._mode is _Mode.RESETTING:
            return None
        guide = None if self._guide is None else self._guide.deadline
        times = (guide, self._candidates.next_deadline())
        return min((time for time in times if time is not None), default=None)

    def add_peer(
        self, peer: PeerId, now: float, *, can_lead: bool, beyond: Height | None = None
    ) -> None:
        """Look at a peer; `step` asks it.

        Args:
            peer: New, or back.
            now: Monotonic clock, seconds.
            can_lead: Whether it serves macro blocks. Another Pico does not.
            beyond: It has shown to have a macro block above this height.
        """
        if self._mode is _Mode.LIGHT:
            self._light.add_peer(peer, now, can_lead=can_lead, beyond=beyond)
        else:
            self._candidates.add(Candidate(peer, can_lead, beyond, until=now))

    def remove_peer(self, peer: PeerId, now: float) -> list[MacroOutput]:
        """Forget a peer that is gone.

        Args:
            peer: Any peer.
            now: Monotonic clock, seconds.
        """
        if self._mode is _Mode.LIGHT:
            return self._light.remove_peer(peer, now)
        outputs: list[MacroOutput] = []
        guide = self._guide
        # An adoption under way is waited for.
        if guide is not None and guide.peer == peer and guide.deadline is not None:
            outputs += self._release_guide(now)
        return [*outputs, *self._candidates.remove(peer)]

    def answered(self, answer: Answer, now: float) -> list[MacroOutput]:
        """Take what a peer answered.

        Args:
            answer: To a request of ours; a late one changes nothing.
            now: Monotonic clock, seconds.
        """
        if self._mode is _Mode.LIGHT:
            return self._light.answered(answer, now)
        guide = self._guide
        if guide is not None and guide.deadline is not None and answer.id == guide.ticket:
            return self._on_block(guide, answer, now)
        candidate = self._candidates.asked(answer.id)
        if candidate is None:
            return []
        candidate.ticket = None
        if isinstance(answer, HeadArrived):
            return self._on_head(candidate, answer.head, now)
        return self._on_failure(candidate, now)

    def adopted(self, finished: PushFinished, now: float) -> list[MacroOutput]:
        """Take what the chain said to a macro block, or that it is back at genesis.

        Args:
            finished: An adoption or reset of ours; any other changes nothing.
            now: Monotonic clock, seconds.
        """
        if finished.id == self._reset:
            self._reset = None
            return self._on_reset(now)
        guide = self._guide
        if guide is None or finished.id != guide.ticket:
            return self._light.adopted(finished, now)
        (result,) = finished.results
        return self._on_outcome(guide, read_adoption(result, guide.steps[0], self._chain), now)

    def step(self, now: float) -> list[MacroOutput]:
        """Ask whoever is to be asked.

        Args:
            now: Monotonic clock, seconds.
        """
        outputs: list[MacroOutput] = []
        guide = self._guide
        if guide is not None and guide.deadline is not None and guide.deadline <= now:
            outputs.append(ReportPeer(guide.peer, Fault.TOO_SLOW))
            outputs += self._on_guide_failed(guide, now)
        match self._mode:
            case _Mode.LIGHT:
                return outputs + self._light.step(now)
            case _Mode.RESETTING:
                return outputs + self._start_reset()
            case _Mode.TRUSTING | _Mode.PINNING:
                return outputs + self._go_on(now)

    def _go_on(self, now: float) -> list[MacroOutput]:
        outputs = [] if self._guide is not None else self._choose_guide(now)
        for candidate in self._candidates.due(now):
            if candidate.ticket is None:
                outputs.append(self._ask(candidate, now))
            else:
                outputs.append(CancelRequest(candidate.ticket))
                outputs.append(ReportPeer(candidate.peer, Fault.TOO_SLOW))
                outputs += self._on_failure(candidate, now)
        return outputs

    def _first_mode(self) -> _Mode:
        if self._pinned is None:
            return _Mode.TRUSTING
        chain, pinned = self._chain, self._pinned
        if chain.hash_at(pinned.height) == pinned.hash:
            return _Mode.LIGHT
        if chain.macro_head.number == 0:
            return _Mode.PINNING
        is_verified = not has_jumped(chain) and chain.macro_head.number < pinned.height
        return _Mode.LIGHT if is_verified else _Mode.RESETTING

    def _ask(self, candidate: Candidate, now: float) -> SendRequest:
        """PAUSED -> ASKING."""
        ticket = self._ticket()
        candidate.ask(ticket, now + self._config.request_timeout_s)
        return SendRequest(ticket, candidate.peer, HeadRequest())

    def _on_head(self, candidate: Candidate, head: HeadResponse, now: float) -> list[MacroOutput]:
        """ASKING -> good, outdated, PAUSED, WAITING or light macro sync."""
        match self._read(head):
            case Fit.FITS if self._mode is _Mode.TRUSTING:
                return self._place(candidate, head, now)
            case Fit.IMPOSSIBLE:
                return self._on_failure(candidate, now)
            case Fit.FITS:
                return self._give_up(candidate, head)
            case _ if not candidate.can_lead:
                return self._give_up(candidate, head)
            case Fit.CONFLICT:
                return self._fall_back(now)
            case _:
                candidate.wait(head, now)
                return []

    def _read(self, head: HeadResponse) -> HeadReading:
        if self._pinned is None:
            return read_head(head, self._chain)
        return read_head_below_pinned(head, self._pinned, self._chain)

    def _place(self, candidate: Candidate, head: HeadResponse, now: float) -> list[MacroOutput]:
        """ASKING -> good, outdated or PAUSED."""
        known = self._chain.header(head.hash)
        number = head.number if known is None else known.number
        gap = gap_of(self._chain, self._config, number)
        if gap > 0 or (gap == 0 and is_beyond(self._chain, candidate.beyond)):
            return self._on_failure(candidate, now)
        self._candidates.remove(candidate.peer)
        return [PeerPlaced(candidate.peer, Place.GOOD if gap == 0 else Place.OUTDATED, head)]

    def _choose_guide(self, now: float) -> list[MacroOutput]:
        """WAITING -> GUIDE, or PAUSED if it does not lead on any more."""
        for candidate in self._candidates.waiting():
            assert candidate.head is not None
            steps = self._read(candidate.head)
            if not isinstance(steps, Fit):
                candidate.state = State.GUIDE
                return [self._fetch(candidate.peer, steps, now)]
            candidate.ask_again(now)
        return []

    def _fetch(
        self, peer: PeerId, steps: tuple[Step, ...], now: float, *, is_proven: bool = False
    ) -> SendRequest:
        ticket = self._ticket()
        deadline = now + self._config.request_timeout_s
        self._guide = Guide(peer, steps, ticket, deadline, is_proven)
        return SendRequest(ticket, peer, BlockRequest(hash=steps[0].target.hash, with_body=False))

    def _on_block(self, guide: Guide, answer: Answer, now: float) -> list[MacroOutput]:
        guide.deadline = None
        step = guide.steps[0]
        block = read_block(answer, step, self._chain)
        if isinstance(block, Outcome):
            return self._on_outcome(guide, block, now)
        guide.ticket = self._ticket()
        return [AdoptMacroBlocks(id=guide.ticket, blocks=(block,), is_trusted=step.is_trusted)]

    def _on_outcome(self, guide: Guide, outcome: Outcome, now: float) -> list[MacroOutput]:
        match outcome:
            case Outcome.ADOPTED:
                return self._on_adopted(guide, now)
            case Outcome.OVERTAKEN:
                return self._release_guide(now)
            case Outcome.FAILED:
                return self._on_guide_failed(guide, now)
            case Outcome.CONTRADICTION if self._is_doubtful:
                return self._fall_back(now)
            case Outcome.LIE | Outcome.CONTRADICTION:
                return self._on_lie(guide, now)

    def _on_adopted(self, guide: Guide, now: float) -> list[MacroOutput]:
        """GUIDE: on to its next block; after the last one it is asked again."""
        self._failed_guides.clear()
        progressed = Progressed(guide.peer)
        if self._mode is _Mode.PINNING:
            return [progressed, *self._hand_over(now)]
        candidate = self._candidates.guide(guide.peer)
        if candidate is not None:
            candidate.failures = 0
            if rest := guide.steps[1:]:
                return [progressed, self._fetch(guide.peer, rest, now, is_proven=True)]
        return [progressed, *self._release_guide(now)]

    def _on_guide_failed(self, guide: Guide, now: float) -> list[MacroOutput]:
        """GUIDE -> PAUSED, outdated after too many failures, or light macro sync."""
        candidate = self._candidates.guide(guide.peer)
        outputs = self._release_guide(now)
        if candidate is not None:
            outputs += self._on_failure(candidate, now)
        if self._mode is _Mode.PINNING:
            # Without the pinned block there is nothing to start from.
            return outputs
        self._failed_guides.add(guide.peer)
        is_over = len(self._failed_guides) >= FAILED_GUIDES_MAX
        return outputs + self._fall_back(now) if is_over else outputs

    def _on_lie(self, guide: Guide, now: float) -> list[MacroOutput]:
        """GUIDE -> outdated and reported; light macro sync if its election block was trusted."""
        candidate = self._candidates.guide(guide.peer)
        outputs = [*self._release_guide(now), ReportPeer(guide.peer, Fault.FALSE_CLAIM)]
        if candidate is not None:
            outputs += self._give_up(candidate)
        return outputs + self._fall_back(now) if self._is_doubtful else outputs

    def _release_guide(self, now: float) -> list[MacroOutput]:
        """GUIDE -> PAUSED, to be asked again at once."""
        guide, self._guide = self._guide, None
        if guide is None:
            return []
        if candidate := self._candidates.guide(guide.peer):
            candidate.ask_again(now)
        return [] if guide.deadline is None else [CancelRequest(guide.ticket)]

    def _fall_back(self, now: float) -> list[MacroOutput]:
        """Light macro sync from here on; from genesis if what we have was taken on trust."""
        if not self._is_doubtful:
            return self._hand_over(now)
        self._mode = _Mode.RESETTING
        return [*self._drop_questions(now), StartOver()]

    @property
    def _is_doubtful(self) -> bool:
        """Whether what we have rests on a peer's word."""
        return self._pinned is None and has_jumped(self._chain)

    def _start_reset(self) -> list[MacroOutput]:
        if self._reset is not None:
            return []
        self._reset = self._ticket()
        return [ResetChain(self._reset)]

    def _on_reset(self, now: float) -> list[MacroOutput]:
        if self._pinned is None:
            return self._hand_over(now)
        self._mode = _Mode.PINNING
        return []

    def _hand_over(self, now: float) -> list[MacroOutput]:
        """Give all peers to the light macro sync."""
        outputs = self._drop_questions(now)
        for candidate in self._candidates:
            self._light.add_peer(candidate.peer, now, can_lead=candidate.can_lead)
        self._candidates.clear()
        self._mode = _Mode.LIGHT
        return outputs

    def _drop_questions(self, now: float) -> list[MacroOutput]:
        """Any state -> PAUSED: what anybody says about the chain as it is does not count."""
        return [*self._release_guide(now), *self._candidates.drop_questions(now)]

    def _on_failure(self, candidate: Candidate, now: float) -> list[MacroOutput]:
        """ASKING or GUIDE -> PAUSED, or outdated after too many failures."""
        candidate.failures += 1
        candidate.ask_again(now + PAUSE_S)
        return [] if candidate.failures < FAILURES_MAX else self._give_up(candidate)

    def _give_up(self, candidate: Candidate, head: HeadResponse | None = None) -> list[MacroOutput]:
        """Any state -> outdated."""
        self._candidates.remove(candidate.peer)
        return [PeerPlaced(candidate.peer, Place.OUTDATED, head)]

    def _ticket(self) -> TicketId:
        self._next_number += 1
        return TicketId(Asker.PICO, self._next_number)
