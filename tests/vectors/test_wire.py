"""The wire vectors: what the code does today, and true by other means than the code's own."""

import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest

from node.accounts.transaction import Transaction
from node.blocks.block import Block
from node.blocks.body import decode_body
from node.blocks.header import decode_header
from node.blocks.justification import decode_justification
from node.blocks.validators import SignerSet
from node.crypto import bls, ed25519, vrf
from node.crypto.bls import KeyCache
from protocols.codec import unpack
from protocols.errors import WireError
from protocols.frames import FrameReader, encode_frames, encode_varint
from protocols.messages.announcements import BodyAnnouncement, HeaderAnnouncement
from protocols.messages.batch_set import BatchSetRequest, BatchSetResponse
from protocols.messages.block import BlockRequest, BlockResponse
from protocols.messages.blocks_proof import BlocksProofRequest, BlocksProofResponse
from protocols.messages.handshake import Hello
from protocols.messages.head import HeadRequest, HeadResponse
from protocols.messages.history_chunk import HistoryChunkRequest, HistoryChunkResponse
from protocols.messages.history_peaks import HistoryPeaksRequest, HistoryPeaksResponse
from protocols.messages.macro_chain import MacroChainRequest, MacroChainResponse
from protocols.messages.missing_blocks import MissingBlocksRequest, MissingBlocksResponse
from protocols.messages.state_range import StateRangeRequest, StateRangeResponse
from protocols.messages.subtrees import SubtreesRequest, SubtreesResponse
from protocols.messages.transactions_proof import (
    TransactionsProofRequest,
    TransactionsProofResponse,
)
from protocols.messages.trie_diffs import TrieDiffsRequest, TrieDiffsResponse
from protocols.messages.trie_proof import TrieProofRequest, TrieProofResponse
from protocols.messages.votes import decode_vote_message
from tests.vectors import generate

VECTORS: dict[str, Any] = json.loads(generate.PATH.read_text(encoding="utf-8"))
KEY_CACHE = KeyCache()

DECODERS: dict[str, Callable[[bytes], Any]] = {
    "BatchSetRequest": BatchSetRequest.decode,
    "BatchSetResponse": BatchSetResponse.decode,
    "BlockRequest": BlockRequest.decode,
    "BlockResponse": BlockResponse.decode,
    "BlocksProofRequest": BlocksProofRequest.decode,
    "BlocksProofResponse": BlocksProofResponse.decode,
    "BodyAnnouncement": BodyAnnouncement.decode,
    "Header": decode_header,
    "HeadRequest": HeadRequest.decode,
    "HeadResponse": HeadResponse.decode,
    "HeaderAnnouncement": HeaderAnnouncement.decode,
    "Hello": Hello.decode,
    "HistoryChunkRequest": HistoryChunkRequest.decode,
    "HistoryChunkResponse": HistoryChunkResponse.decode,
    "MacroChainRequest": MacroChainRequest.decode,
    "MacroChainResponse": MacroChainResponse.decode,
    "MissingBlocksRequest": MissingBlocksRequest.decode,
    "MissingBlocksResponse": MissingBlocksResponse.decode,
    "Proposal": decode_vote_message,
    "Refusal": BlockResponse.decode,
    "SignerSet": SignerSet.from_wire,
    "SkipVote": decode_vote_message,
    "TransactionsProofRequest": TransactionsProofRequest.decode,
    "TransactionsProofResponse": TransactionsProofResponse.decode,
    "StateRangeRequest": StateRangeRequest.decode,
    "StateRangeResponse": StateRangeResponse.decode,
    "HistoryPeaksRequest": HistoryPeaksRequest.decode,
    "HistoryPeaksResponse": HistoryPeaksResponse.decode,
    "TrieDiffsRequest": TrieDiffsRequest.decode,
    "TrieDiffsResponse": TrieDiffsResponse.decode,
    "SubtreesRequest": SubtreesRequest.decode,
    "SubtreesResponse": SubtreesResponse.decode,
    "TrieProofRequest": TrieProofRequest.decode,
    "TrieProofResponse": TrieProofResponse.decode,
    "Vote": decode_vote_message,
}


def blake2b(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=32).digest()


def raw(vector: dict[str, Any], name: str) -> bytes:
    return bytes.fromhex(vector[name])


def read_stream(stream: bytes, *, maximum: int) -> bytes:
    reader = FrameReader(maximum=maximum)
    payload = b"".join(reader.feed(stream))
    reader.finish()
    return payload


def test_file_is_what_the_script_writes() -> None:
    """Whoever changes the wire runs `python -m tests.vectors.generate` and sees what it changed."""
    assert generate.PATH.read_text(encoding="utf-8") == generate.text()


@pytest.mark.parametrize("vector", VECTORS["values"], ids=lambda vector: vector["value"])
def test_values_are_canonical(vector: dict[str, Any]) -> None:
    unpack("Value", raw(vector, "encoded"))


@pytest.mark.parametrize("vector", VECTORS["messages"], ids=lambda vector: vector["kind"])
def test_messages_decode_and_encode(vector: dict[str, Any]) -> None:
    message = DECODERS[vector["kind"]](raw(vector, "encoded"))

    assert type(message).__name__ == vector["kind"]
    assert message.encode() == raw(vector, "encoded")


@pytest.mark.parametrize("vector", VECTORS["refused"], ids=lambda vector: vector["why"])
def test_refused_bytes_are_refused(vector: dict[str, Any]) -> None:
    with pytest.raises(WireError):
        DECODERS[vector["kind"]](raw(vector, "encoded"))


def test_varints() -> None:
    for vector in VECTORS["frames"]["varints"]:
        assert encode_varint(vector["value"]) == raw(vector, "encoded")


def test_streams() -> None:
    for vector in VECTORS["frames"]["streams"]:
        payload = bytes(index % 256 for index in range(vector["payload_bytes"]))
        frames = list(encode_frames(payload))
        assert [len(frame) for frame in frames] == vector["frame_bytes"]
        assert [frame[:8].hex() for frame in frames] == vector["frame_starts"]
        assert read_stream(b"".join(frames), maximum=len(payload)) == payload


@pytest.mark.parametrize("vector", VECTORS["frames"]["refused"], ids=lambda vector: vector["why"])
def test_refused_streams_are_refused(vector: dict[str, Any]) -> None:
    with pytest.raises(WireError):
        read_stream(raw(vector, "stream"), maximum=1000)


def test_transactions() -> None:
    for vector in VECTORS["transactions"]:
        transaction = Transaction.decode(raw(vector, "encoded"))
        assert transaction.encode() == raw(vector, "encoded")
        assert transaction.hash == raw(vector, "hash")
        # The hash covers the first seven fields: an array of seven instead of eight.
        content = b"\x97" + raw(vector, "encoded")[1:-66]
        assert blake2b(content) == raw(vector, "hash")
        assert ed25519.verify(transaction.sender_key, transaction.hash, transaction.signature)


def test_headers() -> None:
    for vector in VECTORS["headers"]:
        header = decode_header(raw(vector, "encoded"))
        assert type(header).__name__ == vector["kind"]
        assert blake2b(raw(vector, "encoded")) == raw(vector, "hash") == header.hash


def test_bodies() -> None:
    for vector in VECTORS["bodies"]:
        body = decode_body(raw(vector, "encoded"))
        assert type(body).__name__ == vector["kind"]
        assert blake2b(raw(vector, "encoded")) == raw(vector, "root") == body.root


def test_justifications() -> None:
    for vector in VECTORS["justifications"]:
        justification = decode_justification(raw(vector, "encoded"))
        assert type(justification).__name__ == vector["kind"]
        assert justification.encode() == raw(vector, "encoded")


def test_blocks() -> None:
    for vector in VECTORS["blocks"]:
        block = Block.decode(raw(vector, "encoded"))
        assert block.encode() == raw(vector, "encoded")
        assert block.hash == raw(vector, "hash")


@pytest.mark.parametrize("vector", VECTORS["signatures"], ids=lambda vector: vector["what"])
def test_signatures(vector: dict[str, Any]) -> None:
    key, message, signature = (raw(vector, name) for name in ("public_key", "message", "signature"))

    if vector["scheme"] == "ed25519":
        assert ed25519.verify(key, message, signature)
        assert not ed25519.verify(key, message + b"\x00", signature)
    else:
        assert bls.verify(key, message, signature, KEY_CACHE)
        assert not bls.verify(key, message + b"\x00", signature, KEY_CACHE)


def test_aggregates() -> None:
    for vector in VECTORS["aggregates"]:
        keys = [bytes.fromhex(key) for key in vector["voting_keys"]]
        message, signature = raw(vector, "message"), raw(vector, "signature")
        assert len(SignerSet.from_wire(raw(vector, "signers")).indices()) == len(keys)
        assert bls.verify_aggregate(keys, message, signature, KEY_CACHE)
        assert not bls.verify_aggregate(keys[:1], message, signature, KEY_CACHE)


def test_proofs_of_possession() -> None:
    for vector in VECTORS["keys"]:
        key, proof = raw(vector, "voting_key"), raw(vector, "proof_of_possession")
        assert bls.verify_possession(key, proof)
        assert raw(vector, "address") == blake2b(raw(vector, "signing_key"))[:20]


def test_seeds() -> None:
    for vector in VECTORS["seeds"]:
        key, alpha, seed = (raw(vector, name) for name in ("signing_key", "alpha", "seed"))
        assert vrf.verify(key, alpha, seed) == raw(vector, "output")
        assert alpha == b"headway seed" + raw(vector, "parent_output")
        assert raw(vector, "entropy") == blake2b(b"headway entropy" + raw(vector, "output"))


def test_producers_follow_the_documented_shuffle() -> None:
    for vector in VECTORS["producers"]:
        punished = int.from_bytes(raw(vector, "punished"), "little")
        slots = [slot for slot in range(vector["slots"]) if not punished >> slot & 1]
        for position in range(vector["round"] + 1):
            counters = vector["number"].to_bytes(4, "big") + position.to_bytes(4, "big")
            drawn = blake2b(b"headway producer" + raw(vector, "entropy") + counters)
            other = position + int.from_bytes(drawn, "big") % (len(slots) - position)
            slots[position], slots[other] = slots[other], slots[position]
        assert slots[vector["round"]] == vector["slot"]


def test_election_follows_the_documented_draw() -> None:
    vector = VECTORS["election"]
    candidates = sorted(vector["candidates"], key=lambda each: each["signing_key"])
    total, won = sum(each["stake"] for each in candidates), [0] * len(candidates)
    for slot in range(vector["slots"]):
        counters = slot.to_bytes(4, "big") + bytes(4)
        drawn = blake2b(b"headway election" + raw(vector, "entropy") + counters)
        point = slot * total + int.from_bytes(drawn, "big") % total
        owner, end = 0, candidates[0]["stake"] * vector["slots"]
        while point >= end:
            owner += 1
            end += candidates[owner]["stake"] * vector["slots"]
        won[owner] += 1

    elected = [(each["signing_key"], count) for each, count in zip(candidates, won, strict=True)]
    assert [entry for entry in elected if entry[1]] == [
        (member["signing_key"], member["slots"]) for member in vector["validators"]
    ]


def test_history_roots_by_recursion() -> None:
    """Peaks are perfect trees over the leaves, largest first."""

    def perfect(leaves: list[bytes]) -> bytes:
        if len(leaves) == 1:
            return blake2b(b"\x10" + leaves[0])
        half = len(leaves) // 2
        return blake2b(b"\x11" + perfect(leaves[:half]) + perfect(leaves[half:]))

    for vector in VECTORS["history"]:
        leaves = [bytes.fromhex(each) for each in vector["transactions"]]
        peaks, start = [], 0
        for size in (4, 2, 1):
            if len(leaves) & size:
                peaks.append(perfect(leaves[start : start + size]))
                start += size
        assert [peak.hex() for peak in peaks] == vector["peaks"]
        count = len(leaves).to_bytes(8, "big")
        assert blake2b(b"\x12" + count + b"".join(peaks)) == raw(vector, "root")


def test_history_proofs_as_documented() -> None:
    """Peak by peak; in a peak height by height, each sibling that is not known."""
    for vector in VECTORS["proofs"]:
        given = [bytes.fromhex(each) for each in vector["proof"]]
        leaves = {
            index: blake2b(b"\x10" + bytes.fromhex(each))
            for index, each in zip(vector["indices"], vector["transactions"], strict=True)
        }
        peaks, start = [], 0
        for height in (2, 1, 0):
            if not vector["leaf_count"] >> height & 1:
                continue
            end = start + 2**height
            row = {at - start: leaf for at, leaf in leaves.items() if start <= at < end}
            start = end
            if not row:
                peaks.append(given.pop(0))
                continue
            for width in (2**each for each in range(height, 0, -1)):
                for at in range(width):
                    if at not in row and at ^ 1 in row:
                        row[at] = given.pop(0)
                pairs = [at for at in row if at % 2 == 0]
                row = {at // 2: blake2b(b"\x11" + row[at] + row[at + 1]) for at in pairs}
            peaks.append(row[0])
        assert given == []
        count = vector["leaf_count"].to_bytes(8, "big")
        assert blake2b(b"\x12" + count + b"".join(peaks)) == raw(vector, "root")


def test_account_roots_by_recursion() -> None:
    def subtree(records: list[tuple[bytes, bytes]], depth: int) -> bytes:
        if len(records) <= 64:
            pages = b"".join(
                address + len(value).to_bytes(2, "big") + value for address, value in records
            )
            return blake2b(b"\x00" + pages)
        children = b""
        for nibble in range(16):
            below = [each for each in records if int(each[0].hex()[depth], 16) == nibble]
            root = subtree(below, depth + 1) if below else bytes(32)
            children += len(below).to_bytes(8, "big") + root
        return blake2b(b"\x01" + children)

    for vector in VECTORS["accounts"]:
        records = sorted(
            (blake2b(index.to_bytes(4, "big"))[:20], (index + 1).to_bytes(9, "big"))
            for index in range(vector["accounts"])
        )
        assert subtree(records, 0) == raw(vector, "root")


def test_diff_roots() -> None:
    for vector in VECTORS["diffs"]:
        parts = b""
        for address, coins in vector["coins"].items():
            value = b"" if coins is None else coins.to_bytes(9, "big")
            parts += bytes.fromhex(address) + len(value).to_bytes(2, "big") + value
        assert parts == raw(vector, "encoded")
        assert blake2b(b"\x02" + parts) == raw(vector, "root")


def test_genesis_hash_is_that_of_its_header() -> None:
    vector = VECTORS["genesis"]
    header = decode_header(raw(vector, "header"))

    assert blake2b(raw(vector, "header")) == raw(vector, "hash")
    assert header.extra_data == raw(vector, "commitment")
    assert VECTORS["ids"]["genesis"] == vector["hash"]
    for name, topic in VECTORS["ids"]["topics"].items():
        assert topic == f"/headway/{vector['hash'][:8]}/{name}/1"
    for name, protocol in VECTORS["ids"]["protocols"].items():
        assert protocol == f"/headway/{vector['hash'][:8]}/{name}/1"
