"""Protocol ids and gossip topics.

Both carry the first eight hex digits of the genesis hash, so nodes of different networks cannot
talk past each other, and the protocol version.
"""

from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Final

from protocols.limits import MAX_REQUEST_BYTES, MAX_RESPONSE_BYTES, PROTOCOL_VERSION
from protocols.types import Hash32


class Topic(StrEnum):
    """What gossip carries."""

    HEADERS = "headers"
    """Header and justification of a new block."""
    BODIES = "bodies"
    """Body of a new block, published after its header."""
    VOTES = "votes"
    """Validators' proposals, votes and skip votes."""
    TRANSACTIONS = "transactions"
    """Transactions that wait for a block."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestLimits:
    """Bounds of one request protocol, kept by both sides."""

    number: int
    """Type number of the source protocol, for documentation and logs."""
    max_request_bytes: int
    max_response_bytes: int
    timeout_s: float
    """From opening the stream to the last byte of the response."""
    requests_per_10_s: int
    """Per peer; beyond it the answer is the named error RATE_LIMITED."""


class RequestProtocol(Enum):
    """The request/response protocols by name."""

    HANDSHAKE = "handshake"
    MACRO_CHAIN = "macro-chain"
    BATCH_SET = "batch-set"
    HISTORY_CHUNK = "history-chunk"
    BLOCK = "block"
    MISSING_BLOCKS = "missing-blocks"
    HEAD = "head"
    STATE_RANGE = "state-range"
    TRIE_PROOF = "trie-proof"
    TRIE_DIFFS = "trie-diffs"
    HISTORY_PEAKS = "history-peaks"
    SUBTREES = "subtrees"
    TRANSACTIONS_PROOF = "transactions-proof"
    BLOCKS_PROOF = "blocks-proof"

    @property
    def limits(self) -> RequestLimits:
        """Bounds of this protocol."""
        return _LIMITS[self]


_LIMITS: Final = {
    RequestProtocol.HANDSHAKE: RequestLimits(
        number=1,
        max_request_bytes=512,
        max_response_bytes=512,
        timeout_s=5.0,
        requests_per_10_s=10,
    ),
    RequestProtocol.MACRO_CHAIN: RequestLimits(
        number=200,
        max_request_bytes=512,
        max_response_bytes=64 * 1024,
        timeout_s=10.0,
        requests_per_10_s=100,
    ),
    RequestProtocol.BATCH_SET: RequestLimits(
        number=202,
        max_request_bytes=64,
        max_response_bytes=MAX_RESPONSE_BYTES,
        timeout_s=10.0,
        requests_per_10_s=300,
    ),
    RequestProtocol.HISTORY_CHUNK: RequestLimits(
        number=204,
        max_request_bytes=64,
        max_response_bytes=1024 * 1024,
        timeout_s=10.0,
        requests_per_10_s=4000,
    ),
    RequestProtocol.BLOCK: RequestLimits(
        number=207,
        max_request_bytes=64,
        max_response_bytes=MAX_RESPONSE_BYTES,
        timeout_s=10.0,
        requests_per_10_s=1000,
    ),
    RequestProtocol.MISSING_BLOCKS: RequestLimits(
        number=209,
        max_request_bytes=MAX_REQUEST_BYTES,
        max_response_bytes=MAX_RESPONSE_BYTES,
        timeout_s=10.0,
        requests_per_10_s=1000,
    ),
    RequestProtocol.HEAD: RequestLimits(
        number=210,
        max_request_bytes=16,
        max_response_bytes=256,
        timeout_s=10.0,
        requests_per_10_s=100,
    ),
    RequestProtocol.TRANSACTIONS_PROOF: RequestLimits(
        number=213,
        max_request_bytes=2560,
        max_response_bytes=128 * 1024,
        timeout_s=10.0,
        requests_per_10_s=1000,
    ),
    RequestProtocol.BLOCKS_PROOF: RequestLimits(
        number=216,
        max_request_bytes=128,
        max_response_bytes=MAX_RESPONSE_BYTES,
        timeout_s=10.0,
        requests_per_10_s=20,
    ),
    RequestProtocol.STATE_RANGE: RequestLimits(
        number=212,
        max_request_bytes=128,
        max_response_bytes=400 * 1024,
        timeout_s=10.0,
        requests_per_10_s=1000,
    ),
    RequestProtocol.TRIE_PROOF: RequestLimits(
        number=215,
        max_request_bytes=2048,
        max_response_bytes=2 * 1024 * 1024,
        timeout_s=10.0,
        requests_per_10_s=50,
    ),
    RequestProtocol.TRIE_DIFFS: RequestLimits(
        number=218,
        max_request_bytes=64,
        max_response_bytes=MAX_RESPONSE_BYTES,
        timeout_s=10.0,
        requests_per_10_s=200,
    ),
    RequestProtocol.HISTORY_PEAKS: RequestLimits(
        number=220,
        max_request_bytes=64,
        max_response_bytes=2048,
        timeout_s=10.0,
        requests_per_10_s=100,
    ),
    RequestProtocol.SUBTREES: RequestLimits(
        number=219,
        max_request_bytes=2048,
        max_response_bytes=320 * 1024,
        timeout_s=10.0,
        requests_per_10_s=200,
    ),
}


def protocol_id(genesis: Hash32, protocol: RequestProtocol) -> str:
    """Return the libp2p protocol id of a request protocol on one network."""
    return f"/headway/{genesis.hex()[:8]}/{protocol.value}/{PROTOCOL_VERSION}"


def topic_id(genesis: Hash32, topic: Topic) -> str:
    """Return the gossipsub topic of one network."""
    return f"/headway/{genesis.hex()[:8]}/{topic.value}/{PROTOCOL_VERSION}"
