"""One or more of each message, with fields that differ."""

from typing import Protocol

from node.blocks.signing import prevote_message, proposal_message
from protocols.messages.announcements import BodyAnnouncement, HeaderAnnouncement
from protocols.messages.batch_set import BatchInfo, BatchSetRequest, BatchSetResponse
from protocols.messages.block import BlockRequest, BlockResponse
from protocols.messages.blocks_proof import (
    BlocksProofRequest,
    BlocksProofResponse,
    ProvenBlock,
)
from protocols.messages.handshake import Hello
from protocols.messages.head import HeadRequest, HeadResponse
from protocols.messages.history_chunk import HistoryChunkRequest, HistoryChunkResponse
from protocols.messages.history_peaks import HistoryPeaksRequest, HistoryPeaksResponse
from protocols.messages.macro_chain import Checkpoint, MacroChainRequest, MacroChainResponse
from protocols.messages.missing_blocks import MissingBlocksRequest, MissingBlocksResponse
from protocols.messages.state_range import ProvenRange, StateRangeRequest, StateRangeResponse
from protocols.messages.subtrees import SubtreesRequest, SubtreesResponse
from protocols.messages.transactions_proof import (
    ProvenTransaction,
    TransactionsProofRequest,
    TransactionsProofResponse,
)
from protocols.messages.trie_diffs import TrieDiffsRequest, TrieDiffsResponse
from protocols.messages.trie_proof import TrieProofRequest, TrieProofResponse
from protocols.messages.votes import Proposal, SkipVote, Vote, VoteKind
from protocols.status import Refusal, ResponseStatus
from protocols.types import Direction, Service
from tests.vectors import samples


class Encodable(Protocol):
    """A message."""

    def encode(self) -> bytes: ...


def all_kinds() -> list[Encodable]:
    """Return at least one message of each kind."""
    return [*_requests(), *_responses(), *_state(), *_announcements(), *_votes()]


def _requests() -> list[Encodable]:
    return [
        Hello(
            network=samples.NETWORK,
            genesis=samples.GENESIS.hash,
            version=1,
            services=Service.HEADERS | Service.BODIES,
            head_number=61,
            head_hash=samples.MICRO.hash,
            agent="headway/0.1.0",
        ),
        HeadRequest(),
        BlockRequest(hash=samples.MICRO.hash, with_body=True),
        MissingBlocksRequest(
            target=samples.MICRO.hash,
            with_body=False,
            locators=(samples.digest(10), samples.digest(11)),
            direction=Direction.FORWARD,
        ),
        MissingBlocksRequest(
            target=samples.MICRO.hash, with_body=True, locators=(), direction=Direction.BACKWARD
        ),
        MacroChainRequest(locators=(samples.CHECKPOINT.hash, samples.GENESIS.hash), max_epochs=500),
        BatchSetRequest(target=samples.ELECTION.hash, after=60),
        HistoryChunkRequest(verifier=samples.ELECTION.hash, first=300, limit=2),
        BlocksProofRequest(election_head=samples.ELECTION.hash, numbers=(61, 120)),
        TransactionsProofRequest(transactions=(samples.TRANSACTIONS[1].hash,)),
        TransactionsProofRequest(
            transactions=tuple(each.hash for each in samples.TRANSACTIONS),
            verifier=samples.ELECTION.hash,
        ),
    ]


def _responses() -> list[Encodable]:
    micro = samples.MICRO_BLOCK
    refusals = [Refusal(status) for status in ResponseStatus if status is not ResponseStatus.OK]
    return [
        HeadResponse(
            number=61,
            hash=samples.MICRO.hash,
            macro_number=60,
            macro_hash=samples.digest(1),
            election_number=0,
            election_hash=samples.GENESIS.hash,
        ),
        BlockResponse(block=micro.encode()),
        MissingBlocksResponse(blocks=()),
        MissingBlocksResponse(blocks=(micro.without_body().encode(),) * 2),
        MacroChainResponse(epochs=(), checkpoint=None),
        MacroChainResponse(
            epochs=(samples.ELECTION.hash,), checkpoint=Checkpoint(300, samples.digest(12))
        ),
        BatchSetResponse(
            batches=(BatchInfo(samples.CHECKPOINT_BLOCK.without_body().encode(), 302),)
        ),
        HistoryChunkResponse(
            transactions=tuple(each.encode() for each in samples.TRANSACTIONS),
            leaf_count=302,
            proof=(samples.digest(13), samples.digest(14)),
        ),
        BlocksProofResponse(
            elections=(samples.ELECTION.encoded,),
            blocks=(
                ProvenBlock(
                    samples.CHECKPOINT.encoded, samples.DECIDED.encode(), (samples.MICRO.encoded,)
                ),
                ProvenBlock(samples.CHECKPOINT.encoded, samples.DECIDED.encode(), ()),
            ),
        ),
        TransactionsProofResponse(
            verifier=samples.ELECTION.hash,
            leaf_count=302,
            transactions=(
                ProvenTransaction(7, samples.TRANSACTIONS[0].encode()),
                ProvenTransaction(301, samples.TRANSACTIONS[1].encode()),
            ),
            proof=(samples.digest(15), samples.digest(16)),
        ),
        *refusals,
    ]


def _state() -> list[Encodable]:
    low, high = sorted(samples.ADDRESSES[:2])
    return [
        StateRangeRequest(target=samples.MICRO.hash, start=low, end=high, limit=1000),
        StateRangeResponse(oldest=0, newest=61, answer=None),
        StateRangeResponse(
            oldest=7,
            newest=61,
            answer=ProvenRange(leaves=low + b"\0\x01v", proof=b"\0"),
        ),
        TrieDiffsRequest(first=61, target=samples.MICRO.hash),
        TrieDiffsResponse(changes=(low + b"\0\x01v", b"", high + b"\0\0")),
        HistoryPeaksRequest(verifier=samples.MICRO.hash),
        HistoryPeaksResponse(leaf_count=6, peaks=(samples.digest(12), samples.digest(13))),
        HistoryPeaksResponse(leaf_count=0, peaks=()),
        TrieProofRequest(target=samples.MICRO.hash, addresses=(low, high)),
        TrieProofResponse(proof=b"\x01" + low + b"\0\x01v"),
        SubtreesRequest(target=samples.MICRO.hash, places=(b"\0", b"\x03\xab\xc0")),
        SubtreesResponse(oldest=0, newest=61, nodes=None),
        SubtreesResponse(oldest=7, newest=61, nodes=(b"\0" + low + b"\0\x01v", b"\0")),
    ]


def _announcements() -> list[Encodable]:
    micro = samples.MICRO_BLOCK
    return [
        HeaderAnnouncement(header=micro.header.encoded, justification=micro.justification.encode()),
        BodyAnnouncement(block=micro.hash, body=samples.MICRO_BODY.encoded),
    ]


def _votes() -> list[Encodable]:
    checkpoint, voter = samples.CHECKPOINT, samples.VOTING[2]
    proposal = proposal_message(samples.NETWORK, 120, 2, 1, checkpoint.hash)
    nil = prevote_message(samples.NETWORK, 120, 2, None)
    return [
        Proposal(
            round=2,
            valid_round=1,
            proposer=1,
            header=checkpoint.encoded,
            body=samples.MACRO_BODY.encoded,
            signature=samples.SIGNING[1].sign(proposal),
        ),
        Vote(
            kind=VoteKind.PREVOTE,
            number=120,
            round=2,
            block=None,
            validator=2,
            signature=voter.sign(nil),
        ),
        Vote(
            kind=VoteKind.PRECOMMIT,
            number=120,
            round=2,
            block=checkpoint.hash,
            validator=2,
            signature=voter.sign(samples.PRECOMMIT_MESSAGE),
        ),
        SkipVote(
            number=61,
            parent_seed=samples.SEED,
            validator=2,
            signature=voter.sign(samples.SKIP_MESSAGE),
        ),
    ]
