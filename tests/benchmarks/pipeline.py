"""The chain without network: pushing blocks, checking quorums, decoding, committing."""

import random
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial, reduce
from operator import add
from pathlib import Path
from tempfile import TemporaryDirectory

import lmdb
import msgpack
from py_arkworks_bls12381 import GT, G1Point, G2Point, Scalar

from node.blocks.signing import precommit_message
from node.crypto import bls, ed25519, vrf
from node.crypto.bls import KeyCache
from node.crypto.ed25519 import SigningKey
from node.crypto.hashes import hash32
from node.storage.disk import DiskStore
from node.storage.store import PACKED, Table
from protocols.codec import unpack
from protocols.errors import WireError
from tests.benchmarks.chains import build_chain, chain_on_disk, fresh, push_in_batches
from tests.benchmarks.measure import Figure, median_seconds, seconds

KEYS = 512
SIGNERS = 343
"""Two thirds of 512 and one."""

SIGNATURE_DST = b"BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_"
"""Said to the library, so that our cache of hashed messages has never seen what is checked."""

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
    """Check quorums of 512 keys; divide by the one pairing check that each of them needs.

    Every check has a message of its own: nobody votes for one block twice. Warm, all keys have been
    decoded, and the signers are those of the block before or others; cold, no key has been seen.
    """
    keys = [bls.VotingKey(bls.derive_secret(index.to_bytes(32, "big"))) for index in range(KEYS)]
    warm = KeyCache()
    for key in keys:
        warm.key(key.public_key)
    blocks, rng = _Signers(keys[:SIGNERS]), random.Random(1)
    spent: dict[str, list[float]] = {}
    for number in range(5 if quick else 25):
        others = _Signers(sorted(rng.sample(keys, SIGNERS), key=keys.index))
        checks = {
            "bare": blocks.bare_check(4 * number),
            "warm": blocks.check(4 * number + 1, warm),
            "warm, other signers": others.check(4 * number + 2, warm),
            "cold": blocks.check(4 * number + 3, KeyCache()),
        }
        for name, check in checks.items():
            spent.setdefault(name, []).append(seconds(check))
    medians = {name: statistics.median(times) for name, times in spent.items()}
    bare = medians.pop("bare")
    return [
        Figure(
            name="macro_verify",
            value=median * 1000,
            unit="ms",
            limit=bare * 1000,
            ratio=median / bare,
            aim="ratio at most 2 warm",
            details={"cache": cache, "signers": SIGNERS},
        )
        for cache, median in medians.items()
    ]


class _Signers:
    """Validators that sign together. One key that is the sum of theirs does it for all."""

    def __init__(self, keys: Sequence[bls.VotingKey]) -> None:
        self._names = [key.public_key for key in keys]
        self._secret = reduce(add, [Scalar.from_be_bytes(key.secret) for key in keys])

    def check(self, number: int, cache: KeyCache) -> Callable[[], object]:
        """Return our check of a message that is signed here and that we have not seen yet."""
        message = precommit_message(1, number, 0, None)
        signature = self._signature(message).to_compressed_bytes()
        return lambda: _proven(bls.verify_aggregate(self._names, message, signature, cache))

    def bare_check(self, number: int) -> Callable[[], object]:
        """Return the pairing check alone, by the library, of points that are there already."""
        message = precommit_message(1, number, 0, None)
        keys = [G1Point() * self._secret, -G1Point()]
        points = [G2Point.hash_to_curve(message, SIGNATURE_DST), self._signature(message)]
        return lambda: _proven(GT.pairing_check(keys, points))

    def _signature(self, message: bytes) -> G2Point:
        return G2Point.hash_to_curve(message, SIGNATURE_DST) * self._secret


def _proven(is_valid: bool) -> None:
    assert is_valid


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
    """Commit 1000 puts durably; divide by the same through LMDB alone.

    New ones to a table as most are, and changes of accounts, which are packed.
    """
    return [_committed(table, 5 if quick else 30) for table in (Table.UNDO, PACKED)]


def _committed(table: Table, runs: int) -> Figure:
    rng = random.Random(1)
    held = [rng.randbytes(20) for _ in range(20_000 if table is PACKED else 0)]
    rounds = [
        [(key, rng.randbytes(9)) for key in sorted(rng.sample(held, 1000))]
        if held
        else [(rng.randbytes(20), rng.randbytes(58)) for _ in range(1000)]
        for _ in range(2 * runs)
    ]
    with TemporaryDirectory() as ours, TemporaryDirectory() as bare:
        store = DiskStore(Path(ours))
        environment = lmdb.open(bare, map_size=1 << 32)
        with store.write() as writer, environment.begin(write=True) as transaction:
            writer.put_many(table, [(key, bytes(9)) for key in held])
            for key in held:
                transaction.put(key, bytes(9))
        spent_ours, spent_bare = [], []
        for first, second in zip(rounds[::2], rounds[1::2], strict=True):
            start = time.perf_counter()
            with store.write() as writer:
                if table is PACKED:
                    writer.change(table, first)
                else:
                    for key, value in first:
                        writer.put(table, key, value)
            middle = time.perf_counter()
            with environment.begin(write=True) as transaction:
                for key, value in second:
                    transaction.put(key, value)
            spent_ours.append(middle - start)
            spent_bare.append(time.perf_counter() - middle)
        store.close()
        environment.close()
    ours_s, bare_s = statistics.median(spent_ours), statistics.median(spent_bare)
    return Figure(
        name="store_commit",
        value=ours_s * 1000,
        unit="ms",
        limit=bare_s * 1000,
        ratio=ours_s / bare_s,
        aim="ratio at most 2",
        details={"puts": 1000, "table": table.value},
    )


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
