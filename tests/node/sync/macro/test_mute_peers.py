"""Peers that claim the true chain and never send any of it: they cost seconds, not the sync.

All in the virtual seconds of the machines: nothing here waits, and verifying takes no time.
"""

from functools import cache

import pytest

from node.chain.retention import Retention
from node.errors import Fault
from node.profiles import MacroSyncKind
from node.sync.effects import SendRequest
from node.sync.live.config import QueueConfig
from node.sync.macro.macro_sync import FAILURES_MAX
from node.sync.macro.ordered_queue import SLOW_S
from node.sync.peers import RECHECK_S, PeerList
from node.sync.tickets import Asker, TicketId
from protocols.messages.head import HeadRequest
from protocols.messages.macro_chain import MacroChainRequest
from protocols.types import Hash32, PeerId
from tests.build.macro_sync import BATCH, EPOCH, LIGHT, chain_of, light, macro_hashes
from tests.build.sync import ALICE, BOB, SyncHarness, head_of, short_batches

EPOCHS = 30
ANSWER_S = 0.2
TIMEOUT_S = LIGHT.request_timeout_s
TICK_S = 0.1

KINDS = (MacroSyncKind.LIGHT, MacroSyncKind.HISTORY, MacroSyncKind.STATE)


def mutes(count: int) -> tuple[PeerId, ...]:
    return tuple(PeerId(f"mute{number}") for number in range(count))


def is_cheap(sent: SendRequest) -> bool:
    """Tell whether even a mute peer answers this, so that it is taken for a useful one."""
    return isinstance(sent.request, MacroChainRequest | HeadRequest)


class Timed:
    """A node that has nothing, one honest peer, and mute ones that joined before it.

    Args:
        kind: What it syncs by.
        mute: Peers that claim the true chain and never send any of it.
        answer_s: What the honest peer takes for an answer.
        leaves: Whether mute peers that are given up come back at once.
    """

    def __init__(
        self,
        kind: MacroSyncKind,
        mute: tuple[PeerId, ...],
        *,
        answer_s: float = ANSWER_S,
        leaves: bool = False,
        epochs: int = EPOCHS,
    ) -> None:
        self.server = short_batches(epochs * EPOCH)
        config = QueueConfig(
            include_body=kind is not MacroSyncKind.LIGHT, window_ahead_max=8, tolerate_past_max=4
        )
        retention = Retention.WINDOW if kind is MacroSyncKind.STATE else Retention.ALL
        self.harness = SyncHarness(self.server, config=config, kind=kind, retention=retention)
        self.mute = mute
        self.answer_s = answer_s
        self.leaves = leaves
        self.asked_at: dict[TicketId, float] = {}
        self.harness.join(*mute, ALICE)

    def seconds(self, at_most: float = 600.0) -> float:
        """Return how long it takes to have all that the honest peer has."""
        harness = self.harness
        while harness.chain.macro_head.number < self.server.head.number:
            assert harness.now < at_most
            self.answer()
            if self.leaves:
                self.come_back()
            harness.pass_time(TICK_S)
        return harness.now

    def answer(self) -> None:
        """Answer what is due."""
        self.harness.settle()
        for ticket, sent in tuple(self.harness.requests.items()):
            if sent.peer in self.mute and not is_cheap(sent):
                continue
            asked_at = self.asked_at.setdefault(ticket, self.harness.now)
            wait = ANSWER_S if is_cheap(sent) else self.answer_s
            if ticket in self.harness.requests and asked_at + wait <= self.harness.now + 1e-9:
                self.harness.serve(sent, self.server.chain)
                self.harness.settle()

    def come_back(self) -> None:
        for peer in self.mute:
            if self.harness.list_of(peer) is PeerList.OUTDATED:
                self.harness.leave(peer)
                self.harness.join(peer)


@cache
def alone(kind: MacroSyncKind) -> float:
    """Return how long it takes without mute peers."""
    return Timed(kind, ()).seconds()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [4, 10])
@pytest.mark.parametrize("leaves", [False, True])
def test_mute_peers_cost_at_most_a_timeout_and_a_half(
    kind: MacroSyncKind, count: int, leaves: bool
) -> None:
    timed = Timed(kind, mutes(count), leaves=leaves)

    assert timed.seconds() <= 1.5 * TIMEOUT_S + 2 * alone(kind)

    assert {fault for _, fault in timed.harness.reports} <= {Fault.TOO_SLOW}
    assert ALICE not in {peer for peer, _ in timed.harness.reports}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_needed_next_is_asked_of_a_second_claimant_without_blame(
    kind: MacroSyncKind,
) -> None:
    timed = Timed(kind, (BOB,))
    harness = timed.harness
    asked: dict[object, set[PeerId]] = {}
    while harness.now < SLOW_S + 3 * ANSWER_S:
        timed.answer()
        for sent in harness.requests.values():
            if not is_cheap(sent):
                asked.setdefault(sent.request, set()).add(sent.peer)
        harness.pass_time(TICK_S)
    first = next(iter(asked.values()))
    assert first == {ALICE, BOB}
    assert harness.reports == []
    assert harness.list_of(BOB) is PeerList.MACRO


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("answer_s", [1.0, 4.0, 9.0])
def test_an_honest_peer_that_is_slow_is_not_blamed(kind: MacroSyncKind, answer_s: float) -> None:
    without = Timed(kind, (), answer_s=answer_s, epochs=6).seconds()
    timed = Timed(kind, mutes(4), answer_s=answer_s, epochs=6)

    assert timed.seconds() <= 1.5 * TIMEOUT_S + 2 * without

    assert ALICE not in {peer for peer, _ in timed.harness.reports}
    assert {fault for _, fault in timed.harness.reports} <= {Fault.TOO_SLOW}


@pytest.mark.parametrize("kind", KINDS)
def test_an_honest_peer_that_takes_too_long_is_too_slow_and_no_more(kind: MacroSyncKind) -> None:
    timed = Timed(kind, (), answer_s=TIMEOUT_S + 1, epochs=2)
    while timed.harness.now < 3 * TIMEOUT_S:
        timed.answer()
        timed.harness.pass_time(TICK_S)
    assert set(timed.harness.reports) == {(ALICE, Fault.TOO_SLOW)}
    assert len(timed.harness.reports) <= 3, "once for each moment, however many questions"


# Claims that lead further than the truth, from peers that never send what would show it.

TRUE = 3 * EPOCH + BATCH + 1


def claim_more(harness: SyncHarness, liar: PeerId) -> None:
    """Let a liar claim the true election blocks and an invented one, another each time."""
    for sent in harness.open_requests(Asker.MACRO_CHAIN, liar):
        known = harness.chain.election_head.number // EPOCH
        invented = Hash32(sent.id.number.to_bytes(32, "big"))
        harness.claim(liar, *macro_hashes(chain_of(TRUE))[known:], invented)


def all_answered(harness: SyncHarness, liars: tuple[PeerId, ...]) -> None:
    """Let liars claim more at once, and the honest peer serve the truth."""
    while True:
        for liar in liars:
            claim_more(harness, liar)
        waiting = [sent for sent in harness.requests.values() if sent.peer == ALICE]
        if not waiting and not harness.adoptions:
            return
        if waiting:
            harness.serve(waiting[0], chain_of(TRUE).chain)
        harness.settle()


@pytest.mark.parametrize("kind", KINDS)
def test_liars_that_take_turns_do_not_keep_consensus_away(kind: MacroSyncKind) -> None:
    harness = Timed(kind, (), epochs=5).harness
    liars = mutes(2)
    harness.join(liars[0])
    established = 0
    for second in range(200):
        if second == 5:
            harness.join(liars[1])
        for liar in liars:
            if harness.list_of(liar) is PeerList.OUTDATED:
                harness.leave(liar)
                harness.join(liar)
        all_answered(harness, liars)
        harness.pass_time(1.0)
        # Who has lost its state begins to fetch it, and that is what consensus waits for.
        machine = harness.machine
        lacks_state = kind is MacroSyncKind.STATE
        established += machine.is_at_macro_head if lacks_state else machine.is_established
    assert harness.height == TRUE
    assert established >= 100


# What silence costs.


def test_who_does_not_say_what_it_leads_to_is_too_slow() -> None:
    harness = light()
    harness.join(ALICE)
    harness.pass_time(TIMEOUT_S)
    assert harness.reports == [(ALICE, Fault.TOO_SLOW)]
    harness.pass_time(3 * TIMEOUT_S)
    assert harness.reports == [(ALICE, Fault.TOO_SLOW)] * FAILURES_MAX
    assert harness.list_of(ALICE) is PeerList.OUTDATED


def test_coming_back_gives_one_chance() -> None:
    harness = light()
    harness.join(ALICE)
    harness.pass_time(4 * TIMEOUT_S)
    assert harness.list_of(ALICE) is PeerList.OUTDATED

    harness.leave(ALICE)
    harness.join(ALICE)
    harness.pass_time(TIMEOUT_S)

    assert harness.list_of(ALICE) is PeerList.OUTDATED


def test_leaving_in_time_does_not_wipe_failures() -> None:
    harness = light()
    for _ in range(FAILURES_MAX):
        assert harness.list_of(ALICE) is not PeerList.OUTDATED
        harness.leave(ALICE)
        harness.join(ALICE)
        harness.pass_time(TIMEOUT_S)
    assert harness.list_of(ALICE) is PeerList.OUTDATED


def test_who_has_waited_to_be_looked_at_again_has_all_its_chances() -> None:
    harness = light()
    harness.join(ALICE)
    harness.pass_time(4 * TIMEOUT_S)
    harness.pass_time(RECHECK_S)
    assert harness.list_of(ALICE) is PeerList.MACRO
    harness.pass_time(TIMEOUT_S)
    assert harness.list_of(ALICE) is PeerList.MACRO


def test_who_was_of_use_since_it_failed_starts_anew() -> None:
    harness = light()
    harness.join(ALICE)
    harness.pass_time(4 * TIMEOUT_S)
    harness.pass_time(RECHECK_S)
    harness.answer_head(ALICE, head_of(harness.chain))
    assert harness.list_of(ALICE) is PeerList.LIVE

    harness.leave(ALICE)
    harness.join(ALICE)
    harness.pass_time(TIMEOUT_S)

    assert harness.list_of(ALICE) is PeerList.MACRO
