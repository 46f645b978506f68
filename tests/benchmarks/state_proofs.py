"""Proofs of the account state, without network and store."""

import random
import statistics
from functools import partial

from node.accounts import trie
from node.accounts.range_proof import LAST_ADDRESS, RangeAnswer, prove_range, verify_range
from node.crypto.hashes import hash32
from node.storage.memory import MemoryStore
from protocols.types import Address, Hash32
from tests.benchmarks.measure import Figure, seconds

LEAVES = 1000
VALUE_BYTES = 9


def chunk_verify(quick: bool) -> list[Figure]:
    """Decode and verify 1000 accounts of a range; divide by one hash of the same bytes."""
    accounts, runs = (20_000, 50) if quick else (200_000, 300)
    root, start, leaves, proof = _answer(accounts)
    whole = leaves + proof
    verified, hashed = [], []
    for _ in range(runs):
        verified.append(seconds(partial(_verify, root, start, leaves, proof)))
        hashed.append(seconds(partial(hash32, whole)))
    ours_s, hash_s = statistics.median(verified), statistics.median(hashed)
    return [
        Figure(
            name="chunk_verify",
            value=ours_s * 1000,
            unit="ms",
            limit=hash_s * 1000,
            ratio=ours_s / hash_s,
            aim="ratio at most 8",
            details={"accounts": accounts, "leaves": LEAVES, "proof_bytes": len(proof)},
        )
    ]


def _answer(accounts: int) -> tuple[Hash32, Address, bytes, bytes]:
    """Return the root of a random state, and an answer from its middle on."""
    rng = random.Random(1)
    state = {Address(rng.randbytes(20)): rng.randbytes(VALUE_BYTES) for _ in range(accounts)}
    store = MemoryStore()
    with store.write() as writer:
        root = trie.update(writer, state)
        start = Address(rng.randbytes(1) + b"\x89" * 19)
        answer = prove_range(writer, start, LAST_ADDRESS, max_leaves=LEAVES, max_bytes=10**6)
    return root, start, *answer


def _verify(root: Hash32, start: Address, leaves: bytes, proof: bytes) -> None:
    answer = RangeAnswer.decode(leaves, proof)
    assert len(answer.leaves) == LEAVES
    assert verify_range(root, start, LAST_ADDRESS, answer) is not None
