"""What following the chain tells."""

from collections.abc import Iterator, MutableMapping
from typing import Any

import pytest
from structlog.testing import capture_logs

from node.chain.results import (
    BlockError,
    EquivocationFound,
    Extended,
    Finalized,
    InvalidBlock,
    Orphan,
    Pushed,
    PushOutcome,
    Rebranched,
)
from node.net.network import LeaveReason, MessageId, PeerJoined, PeerLeft
from node.services import sync_journal as journal
from node.sync.effects import (
    AdoptMacroBlocks,
    ConsensusEstablished,
    ConsensusLost,
    PushBlocks,
)
from node.sync.live.events import (
    AcceptedAnnouncedBlock,
    AcceptedBufferedBlock,
    Ahead,
    Behind,
    ReceivedMissingBlocks,
    RejectedBlock,
)
from node.sync.tickets import Asker, TicketId
from protocols.messages.handshake import Hello
from protocols.types import PeerId, Service
from tests.build.blocks import digest, equivocation_proof
from tests.build.chain import ChainBuilder
from tests.build.keys import keys

PEER = PeerId("peer")
TICKET = TicketId(Asker.LIVE, 1)
ONE, TWO = digest("one"), digest("two")

Lines = list[MutableMapping[str, Any]]


@pytest.fixture
def lines() -> Iterator[Lines]:
    with capture_logs() as captured:
        yield captured


def told(lines: Lines) -> list[dict[str, Any]]:
    return [{name: line[name] for name in line if name != "log_level"} for line in lines]


def test_peers_come_and_go(lines: Lines) -> None:
    hello = Hello(
        network=1,
        genesis=ONE,
        version=1,
        services=Service.HEADERS,
        head_number=7,
        head_hash=TWO,
        agent="test",
    )
    journal.note_peer(PeerJoined(PEER, hello))
    journal.note_peer(PeerLeft(PEER, LeaveReason.BANNED))
    assert told(lines) == [
        {"event": "peer_joined", "peer": PEER, "height": 7, "agent": "test"},
        {"event": "peer_left", "peer": PEER, "reason": "banned"},
    ]


def test_a_push_tells_source_outcome_and_duration(lines: Lines) -> None:
    builder = ChainBuilder()
    builder.extend(2)
    blocks = tuple(builder.blocks)
    ours = Pushed(PushOutcome.EXTENDED)
    journal.note_push(PushBlocks(id=TICKET, blocks=blocks), (ours, ours), 0.25)
    announced = PushBlocks(id=TICKET, blocks=blocks[:1], headers=(MessageId(b"1"),))
    journal.note_push(announced, (InvalidBlock(BlockError.WRONG_SEED, ONE),), 0.5)
    journal.note_adoption(AdoptMacroBlocks(id=TICKET, blocks=blocks), (Orphan(ONE),), 1.0)
    first = {"number": 1, "block": blocks[0].hash, "count": 1}
    both = {"number": 2, "block": blocks[1].hash, "count": 2}
    assert told(lines) == [
        {"event": "blocks_pushed", "source": "fetched", "outcome": "extended", "seconds": 0.25}
        | both,
        {"event": "blocks_pushed", "source": "announced", "outcome": "wrong_seed", "seconds": 0.5}
        | first,
        {"event": "blocks_adopted", "source": "macro_blocks", "outcome": "orphan", "seconds": 1.0}
        | both,
    ]


def test_what_becomes_of_blocks(lines: Lines) -> None:
    for event in (
        AcceptedAnnouncedBlock(ONE),
        AcceptedBufferedBlock(ONE, 3),
        ReceivedMissingBlocks((ONE, TWO)),
        RejectedBlock(ONE, BlockError.WRONG_SEED),
        RejectedBlock(ONE),
    ):
        journal.note_sync(event)
    assert told(lines) == [
        {"event": "block_accepted", "block": ONE, "source": "announced"},
        {"event": "block_accepted", "block": ONE, "source": "buffered", "buffered": 3},
        {"event": "missing_blocks_stored", "count": 2, "last": TWO},
        {"event": "block_rejected", "block": ONE, "reason": "wrong_seed"},
        {"event": "block_rejected", "block": ONE, "reason": "its branch"},
    ]


def test_whom_it_follows_and_agrees_with(lines: Lines) -> None:
    for event in (Behind(PEER), Ahead(PEER), ConsensusEstablished(), ConsensusLost()):
        journal.note_sync(event)
    assert told(lines) == [
        {"event": "peer_outdated", "peer": PEER, "reason": "behind"},
        {"event": "peer_outdated", "peer": PEER, "reason": "ahead"},
        {"event": "consensus_established"},
        {"event": "consensus_lost"},
    ]


def test_what_happens_to_the_chain(lines: Lines) -> None:
    proof = equivocation_proof(keys(0))
    for event in (
        Extended(ONE),
        Rebranched((ONE,), (TWO, ONE)),
        Rebranched((ONE,), ()),
        Finalized(TWO, 8, (ONE, TWO), ()),
        EquivocationFound(proof),
    ):
        journal.note_chain(event)
    assert [line["log_level"] for line in lines] == ["info", "info", "debug", "info"]
    assert told(lines) == [
        {"event": "rebranched", "old": ONE, "new": ONE, "reverted": 1, "adopted": 2},
        {"event": "rebranched", "old": ONE, "new": None, "reverted": 1, "adopted": 0},
        {"event": "finalized", "block": TWO, "number": 8, "accepted": 2, "rejected": 0},
        {"event": "equivocation_found", "number": proof.header1.number},
    ]
