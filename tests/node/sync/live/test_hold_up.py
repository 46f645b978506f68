"""A peer that tries to hold gap filling up, against the machines in virtual time.

It announces blocks whose parents do not exist, and answers every request for them just before its
deadline. Three honest peers announce a block a second; now and then one is lost.
"""

from dataclasses import replace
from functools import cache
from math import inf

from node.blocks.block import Block
from node.chain.chain import Chain
from node.errors import Fault
from node.net.scores import ScoreBook
from node.sync.effects import SendRequest
from node.sync.inputs import DeadlinePassed
from node.sync.tickets import Asker, TicketId
from protocols.status import ResponseStatus
from protocols.types import Hash32, Height
from tests.build.sync import ALICE, BOB, CAROL, DAVE, SyncHarness, branch

LENGTH = 60
HONEST = (ALICE, BOB, CAROL)
HONEST_S = 0.2
"""How long an honest answer takes."""
LATE_S = 9.9
"""How long the liar's takes: the deadline is 10 s."""
JUNK_EVERY_S = 0.5
"""As fast as the limit on announcements lets it."""
LOST_EVERY = 5
GAP_S = 2 * HONEST_S + 1.0
"""How long a gap may stay: two honest answers, and the grace for older lookups."""


class HoldUp:
    """A node among one liar and three honest peers."""

    def __init__(self, *, relays_first: bool = False) -> None:
        """Connect everybody.

        Args:
            relays_first: The block above a lost one comes through the liar.
        """
        self.harness = SyncHarness(branch(LENGTH))
        self.harness.join_live(*HONEST, DAVE)
        self.scores = ScoreBook()
        self.banned_at = inf
        self.gaps: list[float] = []
        """How long each gap has stayed, seconds."""
        self._relays_first = relays_first
        self._due: dict[TicketId, float] = {}
        self._open: dict[Height, float] = {}
        """The block above each gap, and when it was announced."""
        self._produced = 0
        self._junk = 0

    def run(self, end: float) -> None:
        """Go on until so many virtual seconds have passed."""
        while (now := self.harness.now) < end:
            if now >= self._produced + 1 and self._produced < LENGTH:
                self._produce()
            self._announce_junk()
            self._advance(now + JUNK_EVERY_S)

    def _produce(self) -> None:
        self._produced += 1
        number = self._produced
        if number % LOST_EVERY == 3:
            return
        peer = HONEST[number % len(HONEST)]
        if number % LOST_EVERY == 4:
            self._open[number] = self.harness.now
            peer = DAVE if self._relays_first else peer
        self.harness.announce(self.harness.builder.block_at(number), peer)

    def _announce_junk(self) -> None:
        self._junk += 1
        good = self.harness.builder.block_at(2)
        parent = Hash32(self._junk.to_bytes(32, "big"))
        # Spread over heights in the window, none of which is a macro block's.
        number = self.harness.height + 2 + self._junk % 20
        number += self.harness.chain.policy.is_macro(number)
        header = replace(good.header, number=number, parent_hash=parent)
        self.harness.announce(Block(header, good.justification, good.body), DAVE)

    def _advance(self, end: float) -> None:
        """Let answers come and deadlines pass."""
        harness = self.harness
        while True:
            harness.settle()
            self._look()
            for sent in harness.requests.values():
                self._due.setdefault(sent.id, harness.now + _delay(sent))
            due = min((self._due[ticket] for ticket in harness.requests), default=inf)
            deadline = harness.machine.next_deadline()
            moment = min(due, inf if deadline is None else deadline)
            if moment > end:
                harness.now = end
                return
            assert moment >= harness.now
            harness.now = moment
            if due == moment:
                self._answer(min(harness.requests.values(), key=lambda sent: self._due[sent.id]))
            else:
                harness.feed(DeadlinePassed())

    def _answer(self, sent: SendRequest) -> None:
        if sent.peer == DAVE and sent.id.asker is Asker.MISSING:
            self.harness.refuse(sent, ResponseStatus.TARGET_NOT_FOUND)
        else:
            self.harness.serve(sent, _chain(self._produced))

    def _look(self) -> None:
        harness = self.harness
        for number in [each for each in self._open if each <= harness.height]:
            self.gaps.append(harness.now - self._open.pop(number))
        while harness.reports:
            peer, fault = harness.reports.pop()
            assert (peer, fault) == (DAVE, Fault.MISSING_PARENT)
            if self.scores.report(peer, fault, harness.now):
                self.banned_at = min(self.banned_at, harness.now)


def _delay(sent: SendRequest) -> float:
    is_held_up = sent.peer == DAVE and sent.id.asker is Asker.MISSING
    return LATE_S if is_held_up else HONEST_S


@cache
def _chain(known: int) -> Chain:
    """Return the chain of an honest node that has so many blocks."""
    main = branch(LENGTH)
    return main.fork_from(main.block_at(known).hash if known else main.genesis.hash).chain


def test_liar_does_not_hold_honest_gaps_up() -> None:
    hold_up = HoldUp()

    hold_up.run(LENGTH + 5)

    assert hold_up.harness.height == LENGTH
    assert len(hold_up.gaps) == LENGTH // LOST_EVERY
    assert max(hold_up.gaps) <= GAP_S


def test_liar_that_relays_honest_news_first_holds_them_up_until_others_do() -> None:
    """Its share is full, so nothing is asked on its word; the next block comes a second later."""
    hold_up = HoldUp(relays_first=True)

    hold_up.run(LENGTH + 5)

    assert hold_up.harness.height == LENGTH
    assert max(hold_up.gaps) <= 1.0 + GAP_S


def test_liar_is_banned_for_it() -> None:
    hold_up = HoldUp()

    hold_up.run(600)

    assert hold_up.banned_at < 300
    assert hold_up.scores.points(ALICE, 600) == 0
