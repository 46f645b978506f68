"""History macro sync: peers that do not help, peers that lie, and what is nobody's fault."""

from dataclasses import replace

import pytest

from node.blocks.block import Block
from node.chain.results import BlockError, InvalidBlock, Pushed, PushOutcome
from node.errors import Fault
from node.sync.effects import SendRequest
from node.sync.inputs import (
    BatchSetArrived,
    BlocksArrived,
    HistoryChunkArrived,
    PushFinished,
    RequestFailed,
    RequestRefused,
)
from node.sync.macro.fetcher import Claim, EndReason, SourceEnded
from node.sync.tickets import Asker, TicketId
from protocols.messages.batch_set import BatchSetRequest
from protocols.messages.history_chunk import HistoryChunkRequest
from protocols.messages.macro_chain import Checkpoint
from protocols.messages.missing_blocks import MissingBlocksRequest
from protocols.status import ResponseStatus
from protocols.types import Hash32, PeerId
from tests.build.blocks import digest
from tests.build.clock import FixedClock
from tests.build.history import WIDE, HistoryHarness, hash_at, height_of, leaves, started, with_sets
from tests.build.history_peers import (
    LENGTH,
    Answering,
    changing_a_leaf,
    forging_a_macro_block,
    forging_quorums,
    forging_signatures,
    history,
    honest,
    miscounting,
    miscounting_the_end,
    reordering,
)
from tests.build.keys import GENESIS_TIMESTAMP
from tests.build.sync import ALICE, BOB, CAROL

# Peers that do not help.


def test_a_silent_peer_costs_one_timeout() -> None:
    harness = with_sets(ALICE, BOB)
    while of_bob := [sent for sent in harness.requests.values() if sent.peer == BOB]:
        harness.serve(of_bob[0])
    assert harness.height < LENGTH

    harness.pass_time(10.0)

    assert harness.ended_for(EndReason.FAILED) == [ALICE]
    assert {sent.peer for sent in harness.requests.values()} == {BOB}
    harness.run()
    assert harness.is_done
    assert harness.reports == [(ALICE, Fault.TOO_SLOW)]


def test_one_that_failed_before_holds_up_one_question() -> None:
    harness = with_sets(ALICE, BOB)
    for sent in [sent for sent in harness.requests.values() if sent.peer == ALICE][:3]:
        harness.answer(RequestFailed(sent.id))
    assert harness.ended_for(EndReason.FAILED) == [ALICE]
    while len([sent for sent in harness.requests.values() if sent.peer == BOB]) > 1:
        harness.serve_next()

    harness.add(ALICE)
    of_alice = [sent for sent in harness.requests.values() if sent.peer == ALICE]
    assert len(of_alice) <= 1
    harness.run()
    assert harness.is_done


def test_a_sound_answer_forgives_failures() -> None:
    harness = with_sets(ALICE)
    for _ in range(5):
        harness.answer(RequestFailed(next(iter(harness.requests))))
        harness.serve_next()
    assert harness.ended == []


@pytest.mark.parametrize("status", [ResponseStatus.BUSY, ResponseStatus.RATE_LIMITED])
def test_a_busy_peer_is_left_alone_for_a_moment(status: ResponseStatus) -> None:
    harness = with_sets(ALICE, BOB)
    count = len(harness.requests)
    first = next(sent for sent in harness.requests.values() if sent.peer == ALICE)
    harness.answer(RequestRefused(first.id, status))
    assert len(harness.requests) == count
    assert next(reversed(harness.requests.values())).peer == BOB
    for _ in range(WIDE.refusals_max - 1):
        harness.pass_time(WIDE.busy_pause_s)
        sent = next(sent for sent in harness.requests.values() if sent.peer == ALICE)
        harness.answer(RequestRefused(sent.id, status))
    assert harness.ended_for(EndReason.FAILED) == [ALICE]


def test_a_lone_busy_peer_is_asked_again_after_the_pause() -> None:
    harness = with_sets(ALICE)
    for ticket in tuple(harness.requests):
        harness.answer(RequestRefused(ticket, ResponseStatus.BUSY))
    assert harness.requests == {}
    assert harness.machine.next_deadline() == WIDE.busy_pause_s
    harness.pass_time(WIDE.busy_pause_s)
    assert harness.requests


def test_a_pause_that_is_over_is_forgotten() -> None:
    harness = with_sets(ALICE)
    first, *others = tuple(harness.requests)
    harness.answer(RequestFailed(first))
    for ticket in others:
        harness.answer(RequestRefused(ticket, ResponseStatus.BUSY))
    harness.pass_time(WIDE.busy_pause_s)
    assert len(harness.requests) == 1
    deadline = harness.machine.next_deadline()
    assert deadline is not None
    assert deadline > harness.now


REFUSALS = [
    ResponseStatus.NOT_FOUND,
    ResponseStatus.PRUNED,
    ResponseStatus.HISTORY_NOT_STORED,
    ResponseStatus.NOT_A_MACRO_BLOCK,
    ResponseStatus.OUT_OF_RANGE,
    ResponseStatus.TARGET_NOT_FOUND,
    ResponseStatus.UNKNOWN_LOCATORS,
]


@pytest.mark.parametrize("status", REFUSALS)
def test_who_refuses_what_it_claims_is_given_back(status: ResponseStatus) -> None:
    harness = started(ALICE, BOB)
    harness.answer(RequestRefused(harness.open(BatchSetRequest, ALICE)[0].id, status))
    assert harness.ended == [SourceEnded(ALICE, EndReason.FAILED)]
    assert {sent.peer for sent in harness.requests.values()} == {BOB}


@pytest.mark.parametrize("status", REFUSALS)
def test_who_refuses_what_the_set_of_another_says_is_given_back_when_that_was_true(
    status: ResponseStatus,
) -> None:
    harness = started(ALICE, BOB)
    while sets := harness.open(BatchSetRequest):
        harness.serve(sets[0])
    sent = first_for(harness, BOB, of_sets_by=ALICE)
    harness.answer(RequestRefused(sent.id, status))
    assert harness.ended == []
    assert [each.peer for each in harness.requests.values() if each.request == sent.request] == [
        ALICE
    ]
    harness.run()
    assert harness.is_done
    assert harness.reports == []
    assert SourceEnded(BOB, EndReason.FAILED) in harness.ended


def test_a_set_that_nobody_can_serve_is_asked_for_again() -> None:
    """Its owner has forged it, or all others lie: nobody is blamed."""
    harness = started(ALICE, BOB)
    sent = harness.open(BatchSetRequest, ALICE)[0]
    harness.serve(sent, forging_a_macro_block)
    for _ in range(40):
        waiting = [each for each in harness.requests.values() if each.peer == BOB]
        if not waiting:
            break
        harness.serve(waiting[0])
    harness.remove(ALICE)
    harness.run()
    assert harness.is_done
    assert harness.reports == []
    assert harness.ended_for(EndReason.FAILED) == []


def test_those_who_lead_nowhere_do_not_hold_up_the_others_for_ever() -> None:
    patient = replace(WIDE, failures_max=1000)
    lie = Claim(start=0, epochs=(digest("lie"),), checkpoint=None)
    harness = HistoryHarness(limits=patient)
    harness.add(ALICE, BOB, claim=lie)
    harness.add(CAROL)
    assert {sent.peer for sent in harness.requests.values()} <= {ALICE, BOB}

    harness.pass_time(patient.stall_s)

    assert harness.ended_for(EndReason.FAILED) == [ALICE, BOB]
    harness.add(ALICE, BOB, claim=lie)
    harness.run()
    assert harness.is_done
    assert harness.ended_for(EndReason.BAD) == [ALICE, BOB]


def test_without_others_slow_peers_keep_their_time() -> None:
    patient = replace(WIDE, failures_max=1000)
    harness = started(ALICE, BOB, limits=patient)
    harness.pass_time(2 * patient.stall_s)
    assert harness.ended == []
    harness.run()
    assert harness.is_done


def test_a_peer_that_leaves_is_replaced_and_what_it_sent_is_used() -> None:
    harness = started(ALICE, BOB)
    for sent in harness.open(BatchSetRequest):
        harness.serve(sent)
    before = len(harness.requests)

    harness.remove(ALICE)

    assert {sent.peer for sent in harness.requests.values()} == {BOB}
    assert len(harness.requests) == before
    assert harness.asked(BatchSetRequest) == []
    harness.run()
    assert harness.is_done


def test_without_sources_nothing_is_held() -> None:
    harness = with_sets(ALICE)
    harness.remove(ALICE)
    assert harness.requests == {}
    assert not harness.machine.is_active
    assert harness.machine.held_bytes == 0
    assert harness.machine.next_deadline() is None


def test_a_late_answer_changes_nothing() -> None:
    harness = with_sets(ALICE, BOB)
    late = next(sent for sent in harness.requests.values() if sent.peer == ALICE)
    harness.remove(ALICE)
    before = dict(harness.requests)
    assert harness.machine.answered(honest(late, history().chain), harness.now) == []
    harness.step()
    assert harness.requests == before


def test_an_unknown_adoption_changes_nothing() -> None:
    harness = with_sets(ALICE)
    unknown = PushFinished(TicketId(Asker.HISTORY, 10**6), (Pushed(PushOutcome.EXTENDED),))
    assert harness.machine.adopted(unknown, harness.now) == []


# Peers that lie.


@pytest.mark.parametrize(
    ("kind", "answering"),
    [
        (HistoryChunkRequest, changing_a_leaf),
        (MissingBlocksRequest, reordering),
    ],
)
def test_who_sends_something_else_is_bad(kind: type, answering: Answering) -> None:
    harness = with_sets(ALICE, BOB)
    sent = harness.open(kind, BOB)[0]
    harness.serve(sent, answering)
    assert harness.reports == [(BOB, Fault.FALSE_CLAIM)]
    assert harness.ended == [SourceEnded(BOB, EndReason.BAD)]
    assert sent.request in harness.asked(kind)
    harness.run()
    assert harness.is_done


def test_a_set_that_cannot_be_is_refused() -> None:
    harness = started(ALICE, BOB)
    sent = harness.open(BatchSetRequest, ALICE)[0]
    harness.answer(BatchSetArrived(sent.id, (), 10))
    assert harness.reports == [(ALICE, Fault.FALSE_CLAIM)]
    assert sent.request in harness.asked(BatchSetRequest)


def test_too_few_transactions_are_refused() -> None:
    harness = with_sets(ALICE, BOB)
    sent = harness.open(HistoryChunkRequest, BOB)[0]
    answer = honest(sent, history().chain)
    assert isinstance(answer, HistoryChunkArrived)
    harness.answer(replace(answer, transactions=answer.transactions[:-1]))
    assert harness.reports == [(BOB, Fault.FALSE_CLAIM)]


def test_a_wrong_length_at_the_end_of_a_set_is_its_owners_fault() -> None:
    harness = started(ALICE, BOB)
    owned = harness.open(BatchSetRequest, ALICE)[0]
    harness.serve(owned, miscounting_the_end)
    # Bob answers what there is: less than was asked for, and he is right.
    sent = next(
        sent
        for sent in harness.open(HistoryChunkRequest, BOB)
        if isinstance(sent.request, HistoryChunkRequest)
    )
    harness.serve(sent)
    assert harness.reports == [(ALICE, Fault.FALSE_CLAIM)]


@pytest.mark.parametrize("answering", [forging_quorums, miscounting])
def test_a_false_set_is_its_owners_fault_alone(answering: Answering) -> None:
    harness = started(ALICE, BOB)
    sets = harness.open(BatchSetRequest)
    for sent in sets:
        harness.serve(sent, answering if sent.peer == ALICE else honest)
    harness.run()
    assert harness.is_done
    assert {peer for peer, _ in harness.reports} == {ALICE}
    assert harness.ended_for(EndReason.BAD) == [ALICE]


def test_false_signatures_below_headers_are_their_senders_fault() -> None:
    harness = with_sets(ALICE, BOB)
    for sent in harness.open(MissingBlocksRequest):
        harness.serve(sent, forging_signatures if sent.peer == BOB else honest)
    harness.run()
    assert harness.is_done
    assert {peer for peer, _ in harness.reports} == {BOB}


def test_all_who_claim_an_impossible_block_are_to_blame() -> None:
    """No quorum can make a block right that breaks a rule."""
    true = history().block_at(12)
    false = Block(replace(true.header, timestamp=0), true.justification, None)
    lie = Claim(start=0, epochs=(false.hash,), checkpoint=None)
    harness = HistoryHarness(limits=WIDE)
    harness.add(ALICE, BOB, claim=lie)
    harness.add(CAROL)

    def lying(sent: SendRequest) -> None:
        answer = honest(replace_target(sent, true.hash), history().chain)
        if isinstance(answer, BatchSetArrived):
            answer = replace(answer, batches=(*answer.batches[:-1], (false, leaves(12))))
        if isinstance(answer, BlocksArrived) and answer.blocks[-1].number == 12:
            answer = replace(answer, blocks=(*answer.blocks[:-1], false))
        harness.answer(answer)

    while harness.requests or harness.adoption:
        if harness.adoption:
            harness.adopt()
            continue
        sent = next(iter(harness.requests.values()))
        if sent.peer == CAROL:
            harness.serve(sent)
        else:
            lying(sent)
    assert harness.is_done
    assert harness.reports == [(ALICE, Fault.FALSE_CLAIM), (BOB, Fault.FALSE_CLAIM)]
    assert harness.ended_for(EndReason.BAD) == [ALICE, BOB]


def test_a_claim_that_the_chain_refutes_is_false() -> None:
    harness = started(ALICE, BOB)
    lie = Claim(start=0, epochs=(digest("lie"),), checkpoint=None)
    harness.add(CAROL, claim=lie)
    while harness.height < 12:
        if harness.adoption:
            harness.adopt()
        else:
            harness.serve_next()
    assert harness.reports == [(CAROL, Fault.FALSE_CLAIM)]
    assert harness.ended_for(EndReason.BAD) == [CAROL]


def test_a_set_that_live_sync_refutes_is_its_owners_fault() -> None:
    harness = started(ALICE, BOB)
    harness.serve(harness.open(BatchSetRequest, ALICE)[0], forging_a_macro_block)
    harness.push_elsewhere(history().blocks[:4])
    harness.step()
    assert harness.reports == [(ALICE, Fault.FALSE_CLAIM)]


def test_an_impossible_claim_is_refused_at_once() -> None:
    harness = HistoryHarness(limits=WIDE)
    lie = Claim(start=0, epochs=(), checkpoint=Checkpoint(5, digest("lie")))
    harness.add(ALICE, claim=lie)
    assert harness.reports == [(ALICE, Fault.FALSE_CLAIM)]
    assert harness.ended == [SourceEnded(ALICE, EndReason.BAD)]
    assert harness.requests == {}


def test_nothing_that_hangs_on_the_word_of_a_liar_is_used() -> None:
    harness = with_sets(ALICE, BOB)
    harness.serve(harness.open(MissingBlocksRequest, ALICE)[0], reordering)
    again = [BatchSetRequest(hash_at(12), 0), BatchSetRequest(hash_at(36), 24)]
    assert harness.asked(BatchSetRequest) == again


# Nobody's fault.


def test_a_clock_is_nobodys_fault() -> None:
    harness = with_sets(ALICE)
    clock = FixedClock(GENESIS_TIMESTAMP - 10**9)
    harness.chain._clock = clock
    harness.serve_until_adoption()
    harness.adopt()
    assert harness.adoption is None
    assert harness.reports == []
    assert harness.ended == []
    clock.ms = GENESIS_TIMESTAMP + 10**9
    harness.pass_time(WIDE.adoption_pause_s)
    harness.run()
    assert harness.is_done


@pytest.mark.parametrize("error", [BlockError.WRONG_STATE_ROOT, BlockError.WRONG_BODY_ROOT])
def test_what_no_peer_can_cause_is_tried_again_later(error: BlockError) -> None:
    harness = with_sets(ALICE, BOB)
    adoption, harness.adoption = harness.serve_until_adoption(), None
    macro = adoption.batches[0].macro

    refused = InvalidBlock(error, macro.hash)
    harness._note(harness.machine.adopted(PushFinished(adoption.id, (refused,)), harness.now))
    harness.step()

    assert harness.reports == []
    assert harness.ended_for(EndReason.FAILED) == [ALICE]
    assert BatchSetRequest(hash_at(12), 0) in harness.asked(BatchSetRequest)
    while harness.requests:
        harness.serve_next()
    assert harness.adoption is None
    harness.pass_time(WIDE.adoption_pause_s)
    harness.run()
    assert harness.is_done


def replace_target(sent: SendRequest, target: Hash32) -> SendRequest:
    """Let a liar's accomplice ask for the true block."""
    request = sent.request
    known = history().chain.header
    match request:
        case BatchSetRequest() if known(request.target) is None:
            request = replace(request, target=target)
        case MissingBlocksRequest() if known(request.target) is None:
            request = replace(request, target=target)
        case HistoryChunkRequest() if known(request.verifier) is None:
            request = replace(request, verifier=target)
        case _:
            pass
    return replace(sent, request=request)


def first_for(harness: HistoryHarness, peer: PeerId, *, of_sets_by: PeerId) -> SendRequest:
    """Return a question to one peer about the first epoch, whose set another has sent."""
    assert of_sets_by != peer
    for sent in harness.requests.values():
        request = sent.request
        is_for_headers = sent.peer == peer and isinstance(request, MissingBlocksRequest)
        if is_for_headers and height_of(request) <= 12:
            return sent
    raise AssertionError("nothing of it was asked")
