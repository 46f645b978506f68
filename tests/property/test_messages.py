"""Every message: any bytes give a value or the one wire error, and a value has one encoding."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import msgpack
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from protocols.codec import Value, pack
from protocols.errors import WireError
from protocols.limits import MAX_LOCATORS, PROTOCOL_VERSION
from protocols.messages.announcements import BodyAnnouncement, HeaderAnnouncement
from protocols.messages.batch_set import MAX_LEAVES, BatchInfo, BatchSetRequest, BatchSetResponse
from protocols.messages.block import BlockRequest, BlockResponse
from protocols.messages.blocks_proof import (
    BlocksProofRequest,
    BlocksProofResponse,
    ProvenBlock,
)
from protocols.messages.handshake import Hello
from protocols.messages.head import HeadRequest, HeadResponse
from protocols.messages.history_chunk import (
    CHUNK_LEAVES,
    HistoryChunkRequest,
    HistoryChunkResponse,
)
from protocols.messages.history_peaks import HistoryPeaksRequest, HistoryPeaksResponse
from protocols.messages.macro_chain import (
    MAX_EPOCHS,
    MAX_MACRO_LOCATORS,
    Checkpoint,
    MacroChainRequest,
    MacroChainResponse,
)
from protocols.messages.missing_blocks import (
    MAX_READ_LOCATORS,
    MissingBlocksRequest,
    MissingBlocksResponse,
)
from protocols.messages.state_range import (
    MAX_RANGE_LEAVES,
    ProvenRange,
    StateRangeRequest,
    StateRangeResponse,
)
from protocols.messages.subtrees import (
    MAX_NODE_BYTES,
    MAX_PLACES,
    SubtreesRequest,
    SubtreesResponse,
)
from protocols.messages.transactions_proof import (
    ProvenTransaction,
    TransactionsProofRequest,
    TransactionsProofResponse,
)
from protocols.messages.trie_diffs import TrieDiffsRequest, TrieDiffsResponse
from protocols.messages.trie_proof import MAX_ADDRESSES, TrieProofRequest, TrieProofResponse
from protocols.messages.votes import Proposal, SkipVote, Vote, VoteKind, decode_vote_message
from protocols.status import Refusal, ResponseStatus
from protocols.types import Address, Direction, Hash32, Service


class Message(Protocol):
    """What all messages can do."""

    def encode(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Kind:
    """One message: how it is read, and good ones."""

    decode: Callable[[bytes], Message]
    good: st.SearchStrategy[Any]


hashes = st.binary(min_size=32, max_size=32).map(Hash32)
addresses = st.binary(min_size=20, max_size=20).map(Address)
heights = st.integers(0, 2**32 - 1)
blobs = st.binary(min_size=1, max_size=300)
places = st.integers(0, 20).flatmap(
    lambda size: st.binary(min_size=size, max_size=size).map(lambda some: bytes((2 * size,)) + some)
)
signatures = st.binary(min_size=96, max_size=96)
indices = st.integers(0, 511)
leaf_counts = st.integers(0, MAX_LEAVES)
refusals = st.sampled_from([each for each in ResponseStatus if each]).map(Refusal)

KINDS = {
    "hello": Kind(
        Hello.decode,
        st.builds(
            Hello,
            network=st.integers(0, 255),
            genesis=hashes,
            version=st.integers(0, 65535),
            services=st.integers(0, 255).map(Service),
            head_number=heights,
            head_hash=hashes,
            agent=st.text(max_size=16),
        ),
    ),
    "head request": Kind(HeadRequest.decode, st.just(HeadRequest())),
    "head response": Kind(
        HeadResponse.decode,
        refusals
        | st.builds(
            HeadResponse,
            number=heights,
            hash=hashes,
            macro_number=heights,
            macro_hash=hashes,
            election_number=heights,
            election_hash=hashes,
        ),
    ),
    "block request": Kind(
        BlockRequest.decode, st.builds(BlockRequest, hash=hashes, with_body=st.booleans())
    ),
    "block response": Kind(BlockResponse.decode, refusals | st.builds(BlockResponse, block=blobs)),
    "missing blocks request": Kind(
        MissingBlocksRequest.decode,
        st.builds(
            MissingBlocksRequest,
            target=hashes,
            with_body=st.booleans(),
            locators=st.lists(hashes, max_size=20).map(tuple),
            direction=st.sampled_from(Direction),
        ),
    ),
    "missing blocks response": Kind(
        MissingBlocksResponse.decode,
        refusals | st.builds(MissingBlocksResponse, blocks=st.lists(blobs, max_size=5).map(tuple)),
    ),
    "macro chain request": Kind(
        MacroChainRequest.decode,
        st.builds(
            MacroChainRequest,
            locators=st.lists(hashes, min_size=1, max_size=MAX_MACRO_LOCATORS).map(tuple),
            max_epochs=st.integers(1, MAX_EPOCHS),
        ),
    ),
    "macro chain response": Kind(
        MacroChainResponse.decode,
        refusals
        | st.builds(
            MacroChainResponse,
            epochs=st.lists(hashes, max_size=5).map(tuple),
            checkpoint=st.none() | st.builds(Checkpoint, number=heights, hash=hashes),
        ),
    ),
    "batch set request": Kind(
        BatchSetRequest.decode, st.builds(BatchSetRequest, target=hashes, after=heights)
    ),
    "batch set response": Kind(
        BatchSetResponse.decode,
        refusals
        | st.builds(
            BatchSetResponse,
            batches=st.lists(
                st.builds(BatchInfo, macro_block=blobs, history_length=leaf_counts), max_size=5
            ).map(tuple),
        ),
    ),
    "history chunk request": Kind(
        HistoryChunkRequest.decode,
        st.builds(
            HistoryChunkRequest,
            verifier=hashes,
            first=leaf_counts,
            limit=st.integers(1, CHUNK_LEAVES),
        ),
    ),
    "history chunk response": Kind(
        HistoryChunkResponse.decode,
        refusals
        | st.builds(
            HistoryChunkResponse,
            transactions=st.lists(blobs, min_size=1, max_size=5).map(tuple),
            leaf_count=leaf_counts,
            proof=st.lists(hashes, max_size=5).map(tuple),
        ),
    ),
    "trie proof request": Kind(
        TrieProofRequest.decode,
        st.builds(
            TrieProofRequest,
            target=hashes,
            addresses=st.sets(addresses, min_size=1, max_size=MAX_ADDRESSES).map(
                lambda some: tuple(sorted(some))
            ),
        ),
    ),
    "trie proof response": Kind(
        TrieProofResponse.decode, refusals | st.builds(TrieProofResponse, proof=blobs)
    ),
    "subtrees request": Kind(
        SubtreesRequest.decode,
        st.builds(
            SubtreesRequest,
            target=hashes,
            places=st.lists(places, min_size=1, max_size=MAX_PLACES).map(tuple),
        ),
    ),
    "subtrees response": Kind(
        SubtreesResponse.decode,
        refusals
        | st.builds(
            SubtreesResponse,
            oldest=heights,
            newest=heights,
            nodes=st.none()
            | st.lists(
                st.binary(min_size=1, max_size=MAX_NODE_BYTES), min_size=1, max_size=MAX_PLACES
            ).map(tuple),
        ),
    ),
    "state range request": Kind(
        StateRangeRequest.decode,
        st.builds(
            lambda target, keys, limit: StateRangeRequest(
                target=target, start=min(keys), end=max(keys), limit=limit
            ),
            hashes,
            st.tuples(addresses, addresses),
            st.integers(1, MAX_RANGE_LEAVES),
        ),
    ),
    "state range response": Kind(
        StateRangeResponse.decode,
        refusals
        | st.builds(
            StateRangeResponse,
            oldest=heights,
            newest=heights,
            answer=st.none()
            | st.builds(ProvenRange, leaves=st.binary(max_size=300), proof=st.binary(max_size=300)),
        ),
    ),
    "history peaks request": Kind(
        HistoryPeaksRequest.decode, st.builds(HistoryPeaksRequest, verifier=hashes)
    ),
    "history peaks response": Kind(
        HistoryPeaksResponse.decode,
        refusals
        | st.lists(hashes, max_size=40).map(
            lambda peaks: HistoryPeaksResponse(leaf_count=(1 << len(peaks)) - 1, peaks=tuple(peaks))
        ),
    ),
    "trie diffs request": Kind(
        TrieDiffsRequest.decode, st.builds(TrieDiffsRequest, first=heights, target=hashes)
    ),
    "trie diffs response": Kind(
        TrieDiffsResponse.decode,
        refusals
        | st.builds(
            TrieDiffsResponse,
            changes=st.lists(st.binary(max_size=100), min_size=1, max_size=5).map(tuple),
        ),
    ),
    "blocks proof request": Kind(
        BlocksProofRequest.decode,
        st.builds(
            BlocksProofRequest,
            election_head=hashes,
            numbers=st.lists(st.integers(1, 2**32 - 1), min_size=1, max_size=16).map(tuple),
        ),
    ),
    "blocks proof response": Kind(
        BlocksProofResponse.decode,
        refusals
        | st.builds(
            BlocksProofResponse,
            elections=st.lists(blobs, max_size=3).map(tuple),
            blocks=st.lists(
                st.builds(
                    ProvenBlock,
                    header=blobs,
                    justification=st.binary(min_size=1, max_size=256),
                    links=st.lists(blobs, max_size=3).map(tuple),
                ),
                min_size=1,
                max_size=3,
            ).map(tuple),
        ),
    ),
    "transactions proof request": Kind(
        TransactionsProofRequest.decode,
        st.builds(
            TransactionsProofRequest,
            transactions=st.lists(hashes, min_size=1, max_size=5).map(tuple),
            verifier=st.none() | hashes,
        ),
    ),
    "transactions proof response": Kind(
        TransactionsProofResponse.decode,
        refusals
        | st.builds(
            TransactionsProofResponse,
            verifier=hashes,
            leaf_count=leaf_counts,
            transactions=st.lists(
                st.builds(ProvenTransaction, index=leaf_counts, transaction=blobs),
                min_size=1,
                max_size=5,
            ).map(tuple),
            proof=st.lists(hashes, max_size=5).map(tuple),
        ),
    ),
    "header announcement": Kind(
        HeaderAnnouncement.decode,
        st.builds(
            HeaderAnnouncement,
            header=blobs,
            justification=st.binary(min_size=1, max_size=256),
        ),
    ),
    "body announcement": Kind(
        BodyAnnouncement.decode, st.builds(BodyAnnouncement, block=hashes, body=blobs)
    ),
    "proposal": Kind(
        decode_vote_message,
        st.builds(
            Proposal,
            round=st.integers(5, 2**32 - 1),
            valid_round=st.none() | st.integers(0, 4),
            proposer=indices,
            header=blobs,
            body=blobs,
            signature=st.binary(min_size=64, max_size=64),
        ),
    ),
    "vote": Kind(
        decode_vote_message,
        st.builds(
            Vote,
            kind=st.sampled_from(VoteKind),
            number=heights,
            round=heights,
            block=st.none() | hashes,
            validator=indices,
            signature=signatures,
        ),
    ),
    "skip vote": Kind(
        decode_vote_message,
        st.builds(
            SkipVote,
            number=heights,
            parent_seed=st.binary(min_size=80, max_size=80),
            validator=indices,
            signature=signatures,
        ),
    ),
}

every_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)

junk = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.binary(max_size=100),
    st.text(max_size=80),
    st.lists(st.none() | st.integers(-1, 300) | st.binary(max_size=33), max_size=5),
)


def check_any_payload(kind: Kind, payload: bytes) -> None:
    """Bytes from the network are refused with WireError, or are exactly one good message."""
    try:
        message = kind.decode(payload)
    except WireError:
        return
    assert message.encode() == payload


@every_kind
@given(data=st.data())
def test_decode_inverts_encode(kind: Kind, data: st.DataObject) -> None:
    message = data.draw(kind.good)

    assert kind.decode(message.encode()) == message


@every_kind
@given(payload=st.binary(max_size=400))
@example(payload=b"")
@example(payload=b"\xc0")
@example(payload=b"\x94" * 2000)
@example(payload=b"\xdd\xff\xff\xff\xff")
@example(payload=b"\xc6\xff\xff\xff\xff")
@example(payload=b"\x81\x00\x00")
@example(payload=b"\x91\xc7\x00\x01")
def test_random_bytes(kind: Kind, payload: bytes) -> None:
    check_any_payload(kind, payload)


@every_kind
@given(data=st.data())
def test_one_changed_byte(kind: Kind, data: st.DataObject) -> None:
    payload = bytearray(data.draw(kind.good).encode())
    position = data.draw(st.integers(0, len(payload) - 1))
    payload[position] ^= data.draw(st.integers(1, 255))

    check_any_payload(kind, bytes(payload))


@every_kind
@given(data=st.data())
def test_one_byte_more_or_less(kind: Kind, data: st.DataObject) -> None:
    payload = data.draw(kind.good).encode()

    for wrong in (payload[:-1], payload + b"\x00", b"\x00" + payload):
        with pytest.raises(WireError):
            kind.decode(wrong)


@every_kind
@given(data=st.data())
def test_one_wrong_field(kind: Kind, data: st.DataObject) -> None:
    """Well-formed msgpack with one field of the wrong kind, length or size."""
    fields = msgpack.unpackb(data.draw(kind.good).encode(), strict_map_key=False)
    if not fields:
        fields = [None]
    fields[data.draw(st.integers(0, len(fields) - 1))] = data.draw(junk)

    check_any_payload(kind, pack(fields))


@every_kind
@given(data=st.data())
def test_wrong_arity(kind: Kind, data: st.DataObject) -> None:
    fields = msgpack.unpackb(data.draw(kind.good).encode(), strict_map_key=False)

    with pytest.raises(WireError):
        kind.decode(pack([*fields, None]))
    if fields:
        check_any_payload(kind, pack(fields[:-1]))


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"\x92\xc4\x20" + bytes(32) + b"\x01", "field 2"),
        (b"\x92\xd9\x20" + bytes(32) + b"\xc3", "field 1"),
        (b"\x92\xc4\x20" + bytes(32) + b"\xcc\x01", "canonical"),
        (b"\xdc\x00\x02\xc4\x20" + bytes(32) + b"\xc3", "canonical"),
        (b"\x92\xc5\x00\x20" + bytes(32) + b"\xc3", "canonical"),
    ],
    ids=["integer for a flag", "text for bytes", "wide integer", "wide array", "wide bytes"],
)
def test_longer_spellings_are_refused(payload: bytes, reason: str) -> None:
    with pytest.raises(WireError, match=reason):
        BlockRequest.decode(payload)


@pytest.mark.parametrize("count", [0, MAX_LOCATORS, MAX_LOCATORS + 1, MAX_READ_LOCATORS])
def test_too_many_locators_are_still_a_request(count: int) -> None:
    request = MissingBlocksRequest(
        target=Hash32(bytes(32)),
        with_body=True,
        locators=(Hash32(bytes(32)),) * count,
        direction=Direction.FORWARD,
    )

    assert MissingBlocksRequest.decode(request.encode()) == request


def test_more_locators_than_a_request_can_hold_are_garbage() -> None:
    locators: list[Value] = [bytes(32)] * (MAX_READ_LOCATORS + 1)

    with pytest.raises(WireError, match="items"):
        MissingBlocksRequest.decode(pack([bytes(32), True, locators, 0]))


def test_agent_is_measured_in_bytes() -> None:
    def hello(agent: str) -> Hello:
        return Hello(
            network=1,
            genesis=Hash32(bytes(32)),
            version=PROTOCOL_VERSION,
            services=Service.HEADERS,
            head_number=0,
            head_hash=Hash32(bytes(32)),
            agent=agent,
        )

    assert Hello.decode(hello("ü" * 32).encode()).agent == "ü" * 32
    with pytest.raises(WireError, match="string"):
        Hello.decode(hello("ü" * 32 + "u").encode())
