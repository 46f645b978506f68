"""The chain without network: pushing blocks, checking quorums, decoding, committing."""

import random
import statistics
import time
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import lmdb
import msgpack

from node.crypto import bls, ed25519, vrf
from node.crypto.bls import KeyCache
from node.crypto.ed25519 import SigningKey
from node.crypto.hashes import hash32
from node.storage.disk import DiskStore
from node.storage.store import Table
from protocols.codec import unpack
from protocols.errors import WireError
from tests.benchmarks.chains import build_chain, chain_on_disk, fresh, push_in_batches
from tests.benchmarks.measure import Figure, median_seconds, seconds

KEYS = 512
SIGNERS = 343
"""Two thirds of 512 and one."""

PROBES = 200


def block_apply(quick: bool) -> list[Figure]:
    """Push blocks of 0, 10, 100 and 1000 transactions; divide by their signatures and seeds."""
    sizes = {0: 240, 10: 120, 100: 60} if quick else {0: 1200, 10: 600, 100: 180, 1000: 20}
    signature_s, seed_s = _native_costs()
    figures = []
    for transactions, count in sizes.items():
        genesis, made = build_chain(count, transactions)
        blocks = fresh(made)
        with chain_on_disk(genesis) as chain:
            spent = seconds(partial(push_in_batches, chain, blocks))
        per_block = spent / count
        native = seed_s + signature_s * (1 + transactions)
        figures.append(
            Figure(
                name="block_apply",
                value=per_block * 1000,
                unit="ms/block",
                limit=native * 1000,
                ratio=per_block / native,
                aim="ratio at most 1.5",
                details={"transactions": transactions, "blocks_per_s": round(1 / per_block, 1)},
            )
        )
    return figures


def macro_verify(quick: bool) -> list[Figure]:
    """Check a quorum of 512 keys with a warm and a cold cache; divide by one signature check."""
    keys = [bls.VotingKey(bls.derive_secret(index.to_bytes(32, "big"))) for index in range(KEYS)]
    signers = keys[:SIGNERS]
    message = b"precommit"
    signature = bls.aggregate([key.sign(message) for key in signers])
    names = [key.public_key for key in signers]
    runs = 5 if quick else 25
    single_cache = KeyCache()
    single = keys[0].sign(message)
    one = median_seconds(
        lambda: bls.verify(keys[0].public_key, message, single, single_cache), runs
    )
    warm_cache = KeyCache()
    assert bls.verify_aggregate(names, message, signature, warm_cache)
    warm = median_seconds(lambda: bls.verify_aggregate(names, message, signature, warm_cache), runs)
    cold = median_seconds(lambda: bls.verify_aggregate(names, message, signature, KeyCache()), runs)
    return [
        Figure(
            name="macro_verify",
            value=spent * 1000,
            unit="ms",
            limit=one * 1000,
            ratio=spent / one,
            aim="ratio at most 2 warm",
            details={"cache": cache, "signers": SIGNERS},
        )
        for cache, spent in (("warm", warm), ("cold", cold))
    ]


def decode_bomb(quick: bool) -> list[Figure]:
    """Refuse 10 MB of nested and of repeated empty arrays."""
    size = 1_000_000 if quick else 10_000_000
    bombs = {"wide": msgpack.packb([[]] * size), "deep": b"\x91" * size + b"\x90"}
    figures = []
    for shape, payload in bombs.items():
        spent = median_seconds(partial(_refuse, payload), 5)
        figures.append(
            Figure(
                name="decode_bomb",
                value=spent * 1000,
                unit="ms",
                aim="under 1 ms",
                details={"shape": shape, "bytes": len(payload)},
            )
        )
    return figures


def store_commit(quick: bool) -> list[Figure]:
    """Commit 1000 puts durably; divide by the same through LMDB alone."""
    runs = 5 if quick else 30
    rng = random.Random(1)
    rounds = [
        [(rng.randbytes(20), rng.randbytes(58)) for _ in range(1000)] for _ in range(2 * runs)
    ]
    with TemporaryDirectory() as ours, TemporaryDirectory() as bare:
        store = DiskStore(Path(ours))
        environment = lmdb.open(bare, map_size=1 << 32)
        spent_ours, spent_bare = [], []
        for first, second in zip(rounds[::2], rounds[1::2], strict=True):
            start = time.perf_counter()
            with store.write() as writer:
                for key, value in first:
                    writer.put(Table.ACCOUNTS, key, value)
            middle = time.perf_counter()
            with environment.begin(write=True) as transaction:
                for key, value in second:
                    transaction.put(key, value)
            spent_ours.append(middle - start)
            spent_bare.append(time.perf_counter() - middle)
        store.close()
        environment.close()
    ours_s, bare_s = statistics.median(spent_ours), statistics.median(spent_bare)
    return [
        Figure(
            name="store_commit",
            value=ours_s * 1000,
            unit="ms",
            limit=bare_s * 1000,
            ratio=ours_s / bare_s,
            aim="ratio at most 2",
            details={"puts": 1000},
        )
    ]


def _refuse(payload: bytes) -> None:
    try:
        unpack("bomb", payload)
    except WireError:
        return
    raise AssertionError("a bomb was decoded")


def _native_costs() -> tuple[float, float]:
    """Return the seconds of one Ed25519 and one seed verification by the libraries alone."""
    key = SigningKey(bytes(32))
    message = hash32(b"message")
    signature, proof = key.sign(message), vrf.prove(key, message)
    signature_s = seconds(
        lambda: [ed25519.verify(key.public_key, message, signature) for _ in range(PROBES)]
    )
    seed_s = seconds(lambda: [vrf.verify(key.public_key, message, proof) for _ in range(PROBES)])
    return signature_s / PROBES, seed_s / PROBES
