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

from dataclasses import dataclass
from enum import Enum
from typing import Final

from node.chain.results import Pushed, PushOutcome
from node.chain.view import ChainView
from node.errors import Fault
from node.gossip.blocks import is_fault
from node.sync.effects import AdoptMacroBlocks, CancelRequest, ReportPeer, ResetChain, SendRequest
from node.sync.inputs import Answer, BlocksArrived, HeadArrived, PushFinished
from node.sync.live.config import QueueConfig
from node.sync.macro.fetcher import Progressed
from node.sync.macro.forms import may_stand_at, parent_election_of
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


class _State(Enum):
    PAUSED = "paused"
    ASKING = "asking"
    WAITING = "waiting"
    GUIDE = "guide"


@dataclass(slots=True)
class _Candidate:
    state: _State
    until: float
    """Deadline of the question, end of the pause, or when it began to wait."""
    can_lead: bool
    beyond: Height | None = None
    """Our macro head when it turned out to be above it; None if it did not."""
    ticket: TicketId | None = None
    failures: int = 0
    head: HeadResponse | None = None
    """What it said last."""

    def ask_again(self, at: float) -> None:
        """Any state -> PAUSED."""
        self.state, self.until, self.ticket = _State.PAUSED, at, None


@dataclass(slots=True)
class _Guide:
    """The one peer whose macro blocks are being fetched."""

    peer: PeerId
    steps: tuple[Step, ...]
    """What is left; the first is asked for or being adopted."""
    ticket: TicketId
    deadline: float | None
    """None once it has answered."""
    is_proven: bool = False
    """Whether a block that it sent has been adopted."""


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
        self._candidates: dict[PeerId, _Candidate] = {}
        self._guide: _Guide | None = None
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
        times = [each.until for each in self._candidates.values() if each.state in _TIMED]
        if self._mode is _Mode.RESETTING:
            return None
        if self._guide is not None and self._guide.deadline is not None:
            times.append(self._guide.deadline)
        return min(times, default=None)

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
            self._candidates[peer] = _Candidate(_State.PAUSED, now, can_lead, beyond)

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
        candidate = self._candidates.pop(peer, None)
        if candidate is not None and candidate.ticket is not None:
            outputs.append(CancelRequest(candidate.ticket))
        return outputs

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
        for peer, candidate in list(self._candidates.items()):
            if candidate.ticket == answer.id:
                candidate.ticket = None
                if isinstance(answer, HeadArrived):
                    return self._on_head(peer, candidate, answer.head, now)
                return self._on_failure(peer, candidate, now)
        return []

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
        if isinstance(result, Pushed) and result.outcome is PushOutcome.EXTENDED:
            return self._on_adopted(guide, now)
        if self._is_overtaken(guide.steps[0]):
            return self._release_guide(now)
        return self._on_lie(guide, now) if is_fault(result) else self._on_guide_failed(guide, now)

    def step(self, now: float) -> list[MacroOutput]:
        """Ask whoever is to be asked.

        Args:
            now: Monotonic clock, seconds.
        """
        outputs: list[MacroOutput] = []
        guide = self._guide
        if guide is not None and guide.deadline is not None and guide.deadline <= now:
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
        for peer, candidate in list(self._candidates.items()):
            if candidate.state not in _TIMED or candidate.until > now:
                continue
            if candidate.ticket is not None:
                outputs.append(CancelRequest(candidate.ticket))
                outputs += self._on_failure(peer, candidate, now)
            else:
                outputs.append(self._ask(peer, candidate, now))
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

    def _ask(self, peer: PeerId, candidate: _Candidate, now: float) -> SendRequest:
        """PAUSED -> ASKING."""
        candidate.ticket = self._ticket()
        candidate.state = _State.ASKING
        candidate.until = now + self._config.request_timeout_s
        return SendRequest(candidate.ticket, peer, HeadRequest())

    def _on_head(
        self, peer: PeerId, candidate: _Candidate, head: HeadResponse, now: float
    ) -> list[MacroOutput]:
        """ASKING -> good, outdated, PAUSED, WAITING or light macro sync."""
        match self._read(head):
            case Fit.FITS if self._mode is _Mode.TRUSTING:
                return self._place(peer, candidate, head, now)
            case Fit.IMPOSSIBLE:
                return self._on_failure(peer, candidate, now)
            case Fit.FITS:
                return self._give_up(peer, head)
            case _ if not candidate.can_lead:
                return self._give_up(peer, head)
            case Fit.CONFLICT:
                return self._fall_back(now)
            case _:
                candidate.state, candidate.until, candidate.head = _State.WAITING, now, head
                return []

    def _read(self, head: HeadResponse) -> HeadReading:
        if self._pinned is None:
            return read_head(head, self._chain)
        return read_head_below_pinned(head, self._pinned, self._chain)

    def _place(
        self, peer: PeerId, candidate: _Candidate, head: HeadResponse, now: float
    ) -> list[MacroOutput]:
        """ASKING -> good, outdated or PAUSED."""
        known = self._chain.header(head.hash)
        number = head.number if known is None else known.number
        gap = gap_of(self._chain, self._config, number)
        if gap > 0 or (gap == 0 and is_beyond(self._chain, candidate.beyond)):
            return self._on_failure(peer, candidate, now)
        del self._candidates[peer]
        return [PeerPlaced(peer, Place.GOOD if gap == 0 else Place.OUTDATED, head)]

    def _choose_guide(self, now: float) -> list[MacroOutput]:
        """WAITING -> GUIDE, or PAUSED if it does not lead on any more."""
        waiting = [pair for pair in self._candidates.items() if pair[1].state is _State.WAITING]
        for peer, candidate in sorted(waiting, key=lambda pair: pair[1].until):
            assert candidate.head is not None
            steps = self._read(candidate.head)
            if not isinstance(steps, Fit):
                candidate.state = _State.GUIDE
                return [self._fetch(peer, steps, now)]
            candidate.ask_again(now)
        return []

    def _fetch(
        self, peer: PeerId, steps: tuple[Step, ...], now: float, *, is_proven: bool = False
    ) -> SendRequest:
        ticket = self._ticket()
        deadline = now + self._config.request_timeout_s
        self._guide = _Guide(peer, steps, ticket, deadline, is_proven)
        return SendRequest(ticket, peer, BlockRequest(hash=steps[0].target.hash, with_body=False))

    def _on_block(self, guide: _Guide, answer: Answer, now: float) -> list[MacroOutput]:
        guide.deadline = None
        step = guide.steps[0]
        if self._is_overtaken(step):
            return self._release_guide(now)
        if not isinstance(answer, BlocksArrived) or not answer.blocks:
            return self._on_guide_failed(guide, now)
        block = answer.blocks[0].without_body()
        is_asked_for = block.hash == step.target.hash
        if not is_asked_for or not may_stand_at(block, step.target.height, self._chain.policy):
            return self._on_lie(guide, now)
        continues = parent_election_of(block) == self._chain.election_head.hash
        if not continues and not step.is_trusted:
            # It contradicts the election block that we have.
            return self._fall_back(now) if self._is_doubtful else self._on_lie(guide, now)
        guide.ticket = self._ticket()
        return [AdoptMacroBlocks(id=guide.ticket, blocks=(block,), is_trusted=step.is_trusted)]

    def _is_overtaken(self, step: Step) -> bool:
        """Tell whether the chain has come too far to say anything about a block by adopting it."""
        height = self._chain.macro_head.number
        return step.target.height <= height or (step.is_trusted and height > 0)

    def _on_adopted(self, guide: _Guide, now: float) -> list[MacroOutput]:
        """GUIDE: on to its next block; after the last one it is asked again."""
        self._failed_guides.clear()
        progressed = Progressed(guide.peer)
        if self._mode is _Mode.PINNING:
            return [progressed, *self._hand_over(now)]
        candidate = self._candidate_of(guide)
        if candidate is not None:
            candidate.failures = 0
            if rest := guide.steps[1:]:
                return [progressed, self._fetch(guide.peer, rest, now, is_proven=True)]
        return [progressed, *self._release_guide(now)]

    def _on_guide_failed(self, guide: _Guide, now: float) -> list[MacroOutput]:
        """GUIDE -> PAUSED, outdated after too many failures, or light macro sync."""
        candidate = self._candidate_of(guide)
        outputs = self._release_guide(now)
        if candidate is not None:
            outputs += self._on_failure(guide.peer, candidate, now)
        if self._mode is _Mode.PINNING:
            # Without the pinned block there is nothing to start from.
            return outputs
        self._failed_guides.add(guide.peer)
        is_over = len(self._failed_guides) >= FAILED_GUIDES_MAX
        return outputs + self._fall_back(now) if is_over else outputs

    def _on_lie(self, guide: _Guide, now: float) -> list[MacroOutput]:
        """GUIDE -> outdated and reported; light macro sync if its election block was trusted."""
        is_here = self._candidate_of(guide) is not None
        outputs = [*self._release_guide(now), ReportPeer(guide.peer, Fault.FALSE_CLAIM)]
        if is_here:
            outputs += self._give_up(guide.peer)
        return outputs + self._fall_back(now) if self._is_doubtful else outputs

    def _release_guide(self, now: float) -> list[MacroOutput]:
        """GUIDE -> PAUSED, to be asked again at once."""
        guide, self._guide = self._guide, None
        if guide is None:
            return []
        if candidate := self._candidate_of(guide):
            candidate.ask_again(now)
        return [] if guide.deadline is None else [CancelRequest(guide.ticket)]

    def _candidate_of(self, guide: _Guide) -> _Candidate | None:
        """Return the guide as a candidate; None if it has left, even if it is back by now."""
        candidate = self._candidates.get(guide.peer)
        return candidate if candidate and candidate.state is _State.GUIDE else None

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
        for peer, candidate in self._candidates.items():
            self._light.add_peer(peer, now, can_lead=candidate.can_lead)
        self._candidates.clear()
        self._mode = _Mode.LIGHT
        return outputs

    def _drop_questions(self, now: float) -> list[MacroOutput]:
        """Any state -> PAUSED: what anybody says about the chain as it is does not count."""
        outputs = self._release_guide(now)
        for candidate in self._candidates.values():
            if candidate.ticket is not None:
                outputs.append(CancelRequest(candidate.ticket))
            candidate.ask_again(now)
        return outputs

    def _on_failure(self, peer: PeerId, candidate: _Candidate, now: float) -> list[MacroOutput]:
        """ASKING or GUIDE -> PAUSED, or outdated after too many failures."""
        candidate.failures += 1
        candidate.ask_again(now + PAUSE_S)
        return [] if candidate.failures < FAILURES_MAX else self._give_up(peer)

    def _give_up(self, peer: PeerId, head: HeadResponse | None = None) -> list[MacroOutput]:
        """Any state -> outdated."""
        del self._candidates[peer]
        return [PeerPlaced(peer, Place.OUTDATED, head)]

    def _ticket(self) -> TicketId:
        self._next_number += 1
        return TicketId(Asker.PICO, self._next_number)


_TIMED = frozenset({_State.PAUSED, _State.ASKING})
"""States that a deadline ends."""
