"""Cheap checks of announced blocks, and the verdicts that pushes lead to."""

from dataclasses import replace

import pytest

from node.blocks.body import MacroBody, MicroBody
from node.blocks.header import Header
from node.blocks.justification import GENESIS_JUSTIFICATION, Justification, ProducerSignature
from node.chain.results import (
    BlockError,
    Extended,
    InvalidBlock,
    InvalidFork,
    Orphan,
    Pushed,
    PushOutcome,
)
from node.gossip.blocks import (
    Verdicts,
    check_body,
    check_header,
    is_fault,
    is_forgeable,
    read_body,
    read_header,
    verdicts_of,
    verdicts_on_stored,
)
from node.net.network import Verdict
from protocols.errors import WireError
from protocols.messages.announcements import BodyAnnouncement, HeaderAnnouncement
from tests.build.blocks import digest, election_header, macro_header, micro_header, transaction
from tests.build.chain import push_one
from tests.build.keys import SMALL_POLICY
from tests.build.state_sync import builder_of, complete, replay, started

SIGNED = ProducerSignature(bytes(64))
ACCEPT, IGNORE, REJECT = Verdict.ACCEPT, Verdict.IGNORE, Verdict.REJECT


@pytest.mark.parametrize(
    ("header", "justification", "error"),
    [
        (micro_header(number=1), SIGNED, None),
        (macro_header(number=4), GENESIS_JUSTIFICATION, None),
        (election_header(number=12), GENESIS_JUSTIFICATION, None),
        (micro_header(number=4), SIGNED, BlockError.WRONG_TYPE),
        (macro_header(number=5), GENESIS_JUSTIFICATION, BlockError.WRONG_TYPE),
        (micro_header(number=1), GENESIS_JUSTIFICATION, BlockError.WRONG_TYPE),
        (macro_header(number=4), SIGNED, BlockError.WRONG_TYPE),
        (election_header(number=0), GENESIS_JUSTIFICATION, BlockError.WRONG_TYPE),
        (micro_header(number=1, network=2), SIGNED, BlockError.WRONG_NETWORK),
        (micro_header(number=1, version=2), SIGNED, BlockError.WRONG_VERSION),
        (election_header(number=4), GENESIS_JUSTIFICATION, BlockError.WRONG_VALIDATORS),
        (macro_header(number=12), GENESIS_JUSTIFICATION, BlockError.WRONG_VALIDATORS),
    ],
)
def test_cheap_checks_of_headers(
    header: Header, justification: Justification, error: BlockError | None
) -> None:
    assert check_header(header, justification, SMALL_POLICY, 1) is error


def test_cheap_checks_of_bodies() -> None:
    empty, rewards = MicroBody(), MacroBody()
    large = MicroBody(transactions=tuple(transaction(nonce=nonce) for nonce in range(1, 9)))
    header = micro_header(body_root=empty.root)

    assert check_body(header, empty, SMALL_POLICY) is None
    assert check_body(header, large, SMALL_POLICY) is BlockError.WRONG_BODY_ROOT
    other_kind = replace(header, body_root=rewards.root)
    assert check_body(other_kind, rewards, SMALL_POLICY) is BlockError.WRONG_TYPE
    tight = replace(SMALL_POLICY, max_body_bytes=1000)
    assert len(large.encoded) > 1000
    fat = replace(header, body_root=large.root)
    assert check_body(fat, large, tight) is BlockError.TOO_LARGE


@pytest.mark.parametrize(
    ("outcome", "verdict"),
    [
        (PushOutcome.EXTENDED, ACCEPT),
        (PushOutcome.REBRANCHED, ACCEPT),
        (PushOutcome.KNOWN, ACCEPT),
        (PushOutcome.FORKED, IGNORE),
        (PushOutcome.IGNORED, IGNORE),
    ],
)
def test_verdicts_on_good_blocks(outcome: PushOutcome, verdict: Verdict) -> None:
    assert verdicts_of(Pushed(outcome)) == Verdicts(verdict, verdict)


@pytest.mark.parametrize("outcome", [PushOutcome.EXTENDED, PushOutcome.REBRANCHED])
def test_a_body_is_not_relayed_by_whoever_has_no_state_to_execute_it_on(
    outcome: PushOutcome,
) -> None:
    deferred = Pushed(outcome, is_deferred=True)
    assert verdicts_of(deferred) == Verdicts(header=ACCEPT, body=IGNORE)


def test_a_copy_of_a_stored_body_is_relayed_once_it_is_executed() -> None:
    builder = builder_of(5)
    chain, store = started(builder, 4)
    block = builder.block_at(5)
    assert push_one(chain, block) == Pushed(
        PushOutcome.EXTENDED, (Extended(block.hash),), is_deferred=True
    )
    assert verdicts_on_stored(block, chain) == Verdicts(header=ACCEPT, body=IGNORE)
    assert complete(chain, store, builder, 4) is None
    replay(chain)
    assert chain.seal().is_sealed
    assert verdicts_on_stored(block, chain) == Verdicts(header=ACCEPT, body=ACCEPT)


@pytest.mark.parametrize("error", list(BlockError))
def test_a_bad_block_is_rejected_by_one_of_its_messages(error: BlockError) -> None:
    """By the body where nodes without bodies could not have known, else by the header."""
    result = InvalidBlock(error, digest("bad"))

    verdicts = verdicts_of(result)

    if error is BlockError.FROM_FUTURE:
        # One of two clocks is wrong, and it may be ours.
        assert verdicts == Verdicts(IGNORE, IGNORE)
        assert not is_fault(result)
        return
    assert {verdicts.header, verdicts.body} == {IGNORE, REJECT}
    assert is_fault(result)
    needs_more = {BlockError.WRONG_STATE_ROOT, BlockError.INVALID_TRANSACTION}
    if error in needs_more:
        assert verdicts.body is REJECT
    if error in {BlockError.WRONG_PRODUCER, BlockError.WRONG_SEED, BlockError.NO_QUORUM}:
        assert verdicts.header is REJECT


def test_verdicts_on_branches_that_lead_nowhere() -> None:
    assert verdicts_of(Orphan(digest("parent"))) == Verdicts(IGNORE, IGNORE)
    assert verdicts_of(InvalidFork(digest("fork"))) == Verdicts(REJECT, IGNORE)
    assert not is_forgeable(InvalidFork(digest("fork")))


def test_what_the_hash_does_not_cover_is_forgeable() -> None:
    assert is_forgeable(InvalidBlock(BlockError.WRONG_PRODUCER, digest("bad")))
    assert is_forgeable(InvalidBlock(BlockError.NO_QUORUM, digest("bad")))
    assert not is_forgeable(InvalidBlock(BlockError.WRONG_STATE_ROOT, digest("bad")))


def test_reading_announcements() -> None:
    header, body = micro_header(), MicroBody()
    head = HeaderAnnouncement(header=header.encoded, justification=SIGNED.encode())
    rest = BodyAnnouncement(block=header.hash, body=body.encoded)

    assert read_header(head.encode()) == (header, SIGNED)
    assert read_body(rest.encode()) == (header.hash, body)
    for junk in (b"", head.encode()[:-1], rest.encode() + b"\0"):
        with pytest.raises(WireError):
            read_header(junk)
        with pytest.raises(WireError):
            read_body(junk)
