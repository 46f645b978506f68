"""Macro sync and proofs of history: what is too much, and what just fits."""

from collections.abc import Callable

import pytest

from protocols.codec import pack
from protocols.errors import WireError
from protocols.ids import RequestProtocol
from protocols.messages.batch_set import (
    MAX_BATCHES,
    MAX_LEAVES,
    MAX_MACRO_BYTES,
    BatchSetRequest,
    BatchSetResponse,
)
from protocols.messages.blocks_proof import (
    MAX_ELECTIONS,
    MAX_LINKS,
    MAX_PROVEN_BLOCKS,
    BlocksProofRequest,
    BlocksProofResponse,
)
from protocols.messages.history_chunk import (
    CHUNK_LEAVES,
    MAX_PROOF_HASHES,
    MAX_TRANSACTION_BYTES,
    HistoryChunkRequest,
    HistoryChunkResponse,
)
from protocols.messages.macro_chain import (
    MAX_EPOCHS,
    MAX_MACRO_LOCATORS,
    MAX_READ_EPOCHS,
    Checkpoint,
    MacroChainRequest,
    MacroChainResponse,
)
from protocols.messages.transactions_proof import (
    MAX_PROVEN_NODES,
    MAX_PROVEN_TRANSACTIONS,
    ProvenTransaction,
    TransactionsProofRequest,
    TransactionsProofResponse,
)
from protocols.types import Hash32


@pytest.mark.parametrize(
    ("decode", "payload"),
    [
        (MacroChainRequest.decode, pack([[], 1])),
        (MacroChainRequest.decode, pack([[bytes(32)] * (MAX_MACRO_LOCATORS + 1), 1])),
        (MacroChainRequest.decode, pack([[bytes(32)], 0])),
        (MacroChainRequest.decode, pack([[bytes(32)], MAX_EPOCHS + 1])),
        (MacroChainResponse.decode, pack([0, [bytes(32)] * (MAX_READ_EPOCHS + 1), None])),
        (MacroChainResponse.decode, pack([0, [], [1]])),
        (MacroChainResponse.decode, pack([0, [], [2**32, bytes(32)]])),
        (BatchSetRequest.decode, pack([bytes(32), 2**32])),
        (BatchSetResponse.decode, pack([0, [[b"", 0]]])),
        (BatchSetResponse.decode, pack([0, [[b"b", MAX_LEAVES + 1]]])),
        (BatchSetResponse.decode, pack([0, [[b"b", 1]] * (MAX_BATCHES + 1)])),
        (BatchSetResponse.decode, pack([0, [[bytes(MAX_MACRO_BYTES + 1), 1]]])),
        (BlocksProofRequest.decode, pack([bytes(32), []])),
        (BlocksProofRequest.decode, pack([bytes(32), [0]])),
        (BlocksProofRequest.decode, pack([bytes(32), [2**32]])),
        (BlocksProofRequest.decode, pack([bytes(32), [1] * (MAX_PROVEN_BLOCKS + 1)])),
        (BlocksProofResponse.decode, pack([0, [], []])),
        (BlocksProofResponse.decode, pack([0, [b""], [[b"h", b"j", []]]])),
        (BlocksProofResponse.decode, pack([0, [b"h"] * (MAX_ELECTIONS + 1), [[b"h", b"j", []]]])),
        (BlocksProofResponse.decode, pack([0, [], [[b"h", b"j", [b"h"] * (MAX_LINKS + 1)]]])),
        (TransactionsProofRequest.decode, pack([[], None])),
        (
            TransactionsProofRequest.decode,
            pack([[bytes(32)] * (MAX_PROVEN_TRANSACTIONS + 1), None]),
        ),
        (TransactionsProofRequest.decode, pack([[bytes(32)], bytes(31)])),
        (TransactionsProofResponse.decode, pack([0, bytes(32), 1, [], []])),
        (TransactionsProofResponse.decode, pack([0, bytes(32), 1, [[0, b""]], []])),
        (
            TransactionsProofResponse.decode,
            pack([0, bytes(32), 1, [[0, b"t"]], [bytes(32)] * (MAX_PROVEN_NODES + 1)]),
        ),
        (HistoryChunkRequest.decode, pack([bytes(32), 0, 0])),
        (HistoryChunkRequest.decode, pack([bytes(32), 0, CHUNK_LEAVES + 1])),
        (HistoryChunkRequest.decode, pack([bytes(32), MAX_LEAVES + 1, 1])),
        (HistoryChunkResponse.decode, pack([0, [], 1, []])),
        (HistoryChunkResponse.decode, pack([0, [b""], 1, []])),
        (HistoryChunkResponse.decode, pack([0, [bytes(MAX_TRANSACTION_BYTES + 1)], 1, []])),
        (HistoryChunkResponse.decode, pack([0, [b"t"] * (CHUNK_LEAVES + 1), 1, []])),
        (HistoryChunkResponse.decode, pack([0, [b"t"], MAX_LEAVES + 1, []])),
        (HistoryChunkResponse.decode, pack([0, [b"t"], 1, [bytes(32)] * (MAX_PROOF_HASHES + 1)])),
    ],
)
def test_bounds(decode: Callable[[bytes], object], payload: bytes) -> None:
    with pytest.raises(WireError):
        decode(payload)


def test_the_largest_answers_fit_into_their_limits() -> None:
    proven = ProvenTransaction(MAX_LEAVES, bytes(MAX_TRANSACTION_BYTES))
    proof = TransactionsProofResponse(
        verifier=Hash32(bytes(32)),
        leaf_count=MAX_LEAVES,
        transactions=(proven,) * MAX_PROVEN_TRANSACTIONS,
        proof=(Hash32(bytes(32)),) * MAX_PROVEN_NODES,
    ).encode()
    chunk = HistoryChunkResponse(
        transactions=(bytes(MAX_TRANSACTION_BYTES),) * CHUNK_LEAVES,
        leaf_count=MAX_LEAVES,
        proof=(Hash32(bytes(32)),) * MAX_PROOF_HASHES,
    ).encode()
    macro_chain = MacroChainResponse(
        epochs=(Hash32(bytes(32)),) * MAX_EPOCHS,
        checkpoint=Checkpoint(2**32 - 1, Hash32(bytes(32))),
    ).encode()

    assert len(proof) <= RequestProtocol.TRANSACTIONS_PROOF.limits.max_response_bytes
    assert len(chunk) <= RequestProtocol.HISTORY_CHUNK.limits.max_response_bytes
    assert len(macro_chain) <= RequestProtocol.MACRO_CHAIN.limits.max_response_bytes


def test_a_claim_over_the_limit_is_read_so_that_it_can_be_judged() -> None:
    epochs = (Hash32(bytes(32)),) * MAX_READ_EPOCHS
    payload = MacroChainResponse(epochs=epochs, checkpoint=None).encode()
    assert len(payload) <= RequestProtocol.MACRO_CHAIN.limits.max_response_bytes
    read = MacroChainResponse.decode(payload)
    assert isinstance(read, MacroChainResponse)
    assert len(read.epochs) > MAX_EPOCHS


@pytest.mark.parametrize(
    ("protocol", "request_"),
    [
        (
            RequestProtocol.MACRO_CHAIN,
            MacroChainRequest(locators=(Hash32(bytes(32)),) * MAX_MACRO_LOCATORS),
        ),
        (RequestProtocol.BATCH_SET, BatchSetRequest(Hash32(bytes(32)), 2**32 - 1)),
        (
            RequestProtocol.HISTORY_CHUNK,
            HistoryChunkRequest(verifier=Hash32(bytes(32)), first=MAX_LEAVES),
        ),
        (
            RequestProtocol.BLOCKS_PROOF,
            BlocksProofRequest(
                election_head=Hash32(bytes(32)), numbers=(2**32 - 1,) * MAX_PROVEN_BLOCKS
            ),
        ),
        (
            RequestProtocol.TRANSACTIONS_PROOF,
            TransactionsProofRequest(
                transactions=(Hash32(bytes(32)),) * MAX_PROVEN_TRANSACTIONS,
                verifier=Hash32(bytes(32)),
            ),
        ),
    ],
)
def test_the_largest_requests_fit_into_their_limits(
    protocol: RequestProtocol,
    request_: MacroChainRequest
    | BatchSetRequest
    | HistoryChunkRequest
    | BlocksProofRequest
    | TransactionsProofRequest,
) -> None:
    assert len(request_.encode()) <= protocol.limits.max_request_bytes
