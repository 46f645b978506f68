from functools import reduce
from operator import add

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from py_arkworks_bls12381 import G1Point, G2Point, Scalar

from node.crypto import bls
from node.crypto.bls import KeyCache, VotingKey
from tests.build.keys import keys
from tests.node.crypto.vectors import load

VECTORS = load("bls_ethereum")
MESSAGE = b"message"
KEYS = tuple(keys(index).voting for index in range(4))
PUBLIC_KEYS = tuple(key.public_key for key in KEYS)
SIGNATURES = tuple(key.sign(MESSAGE) for key in KEYS)
GROUP_ORDER = 0x73EDA753299D7D483339D80809A1D80553BDA402FFFE5BFEFFFFFFFF00000001
FIELD_PRIME = int(
    "1a0111ea397fe69a4b1ba7b6434bacd764774b84f38512bf"
    "6730d2a0f6b0f6241eabfffeb153ffffb9feffffffffaaab",
    16,
)


@pytest.fixture
def cache() -> KeyCache:
    return KeyCache()


def _not_in_subgroup() -> bytes:
    """A point of the curve with x = 4, whose order is not the group's."""
    return bytes([0x80]) + bytes(46) + b"\x04"


BAD_KEYS = {
    "empty": b"",
    "short": PUBLIC_KEYS[0][:-1],
    "long": PUBLIC_KEYS[0] + b"\0",
    "infinity": bytes([0xC0]) + bytes(47),
    "infinity with junk": bytes([0xC0]) + bytes(46) + b"\x01",
    "infinity with sign": bytes([0xE0]) + bytes(47),
    "no compression flag": bytes([PUBLIC_KEYS[0][0] & 0x7F]) + PUBLIC_KEYS[0][1:],
    "x above the field prime": bytes([0x80 | FIELD_PRIME >> 376])
    + (FIELD_PRIME + 4).to_bytes(48, "big")[1:],
    "not on the curve": bytes([0x80]) + bytes(46) + b"\x01",
    "not in the subgroup": _not_in_subgroup(),
    "uncompressed": bytes(96),
}
BAD_SIGNATURES = {
    "empty": b"",
    "short": SIGNATURES[0][:-1],
    "long": SIGNATURES[0] + b"\0",
    "infinity": bytes([0xC0]) + bytes(95),
    "infinity with junk": bytes([0xC0]) + bytes(94) + b"\x01",
    "no compression flag": bytes([SIGNATURES[0][0] & 0x7F]) + SIGNATURES[0][1:],
    "other sign": bytes([SIGNATURES[0][0] ^ 0x20]) + SIGNATURES[0][1:],
    "not in the subgroup": bytes.fromhex(VECTORS["not_in_subgroup"]["signature"]),
    "zeros": bytes(96),
}


def test_published_keys() -> None:
    for vector in VECTORS["public_keys"]:
        key = VotingKey(bytes.fromhex(vector["secret"]))
        assert key.public_key.hex() == vector["public_key"]


def test_published_signatures(cache: KeyCache) -> None:
    for vector in VECTORS["signatures"]:
        key = VotingKey(bytes.fromhex(vector["secret"]))
        message = bytes.fromhex(vector["message"])
        assert key.sign(message).hex() == vector["signature"]
        assert bls.verify(key.public_key, message, bytes.fromhex(vector["signature"]), cache)


def test_published_aggregate(cache: KeyCache) -> None:
    vector = VECTORS["aggregate"]
    members = [VotingKey(bytes.fromhex(secret)) for secret in vector["secrets"]]
    message = bytes.fromhex(vector["message"])
    signature = bls.aggregate([key.sign(message) for key in members])
    assert signature.hex() == vector["signature"]
    public_keys = [key.public_key for key in members]
    assert bls.verify_aggregate(public_keys, message, signature, cache)


def test_published_key_generation() -> None:
    vector = VECTORS["key_generation"]
    secret = bls.derive_secret(bytes.fromhex(vector["material"]))
    assert secret == int(vector["secret_decimal"]).to_bytes(32, "big")


def test_key_material_is_long_enough() -> None:
    with pytest.raises(ValueError, match="at least 32 bytes: 31"):
        bls.derive_secret(bytes(31))


@pytest.mark.parametrize(
    "secret",
    [b"", bytes(31) + b"\x01\x01", bytes(32), GROUP_ORDER.to_bytes(32, "big"), b"\xff" * 32],
)
def test_a_secret_is_above_zero_and_below_the_group_order(secret: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 (the library words some of them)
        VotingKey(secret)


def test_a_signature_is_good_for_its_key_and_message_only(cache: KeyCache) -> None:
    assert bls.verify(PUBLIC_KEYS[0], MESSAGE, SIGNATURES[0], cache)
    assert not bls.verify(PUBLIC_KEYS[1], MESSAGE, SIGNATURES[0], cache)
    assert not bls.verify(PUBLIC_KEYS[0], b"another", SIGNATURES[0], cache)


def test_an_aggregate_is_good_for_exactly_its_signers(cache: KeyCache) -> None:
    signature = bls.aggregate(SIGNATURES[:3])

    assert bls.verify_aggregate(PUBLIC_KEYS[:3], MESSAGE, signature, cache)
    assert not bls.verify_aggregate(PUBLIC_KEYS[:2], MESSAGE, signature, cache)
    assert not bls.verify_aggregate(PUBLIC_KEYS, MESSAGE, signature, cache)
    assert not bls.verify_aggregate((*PUBLIC_KEYS[:3], PUBLIC_KEYS[0]), MESSAGE, signature, cache)
    assert not bls.verify_aggregate(PUBLIC_KEYS[:3], b"another", signature, cache)


def test_no_keys_prove_nothing(cache: KeyCache) -> None:
    assert not bls.verify_aggregate((), MESSAGE, SIGNATURES[0], cache)
    assert not bls.verify_aggregate((), MESSAGE, bytes([0xC0]) + bytes(95), cache)


def test_keys_that_cancel_out_prove_nothing(cache: KeyCache) -> None:
    """Their sum is infinity, for which anybody could sign."""
    opposite = VotingKey((GROUP_ORDER - int.from_bytes(KEYS[0].secret, "big")).to_bytes(32, "big"))
    pair = (PUBLIC_KEYS[0], opposite.public_key)
    for signature in (SIGNATURES[0], bytes([0xC0]) + bytes(95)):
        assert not bls.verify_aggregate(pair, MESSAGE, signature, cache)


@pytest.mark.parametrize("bad", BAD_KEYS.values(), ids=BAD_KEYS)
def test_bad_keys_are_refused(bad: bytes, cache: KeyCache) -> None:
    assert cache.key(bad) is None
    assert not bls.verify(bad, MESSAGE, SIGNATURES[0], cache)
    assert not bls.verify_aggregate((PUBLIC_KEYS[0], bad), MESSAGE, SIGNATURES[0], cache)
    assert not bls.verify_possession(bad, KEYS[0].proof_of_possession())
    assert len(cache) <= 1


@pytest.mark.parametrize("bad", BAD_SIGNATURES.values(), ids=BAD_SIGNATURES)
def test_bad_signatures_are_refused(bad: bytes, cache: KeyCache) -> None:
    assert not bls.verify(PUBLIC_KEYS[0], MESSAGE, bad, cache)
    assert not bls.verify_aggregate(PUBLIC_KEYS[:1], MESSAGE, bad, cache)
    assert not bls.verify_possession(PUBLIC_KEYS[0], bad)


@pytest.mark.parametrize("bad", ["empty", "infinity", "not in the subgroup"])
def test_bad_signatures_cannot_be_aggregated(bad: str) -> None:
    with pytest.raises(ValueError, match="verified"):
        bls.aggregate((SIGNATURES[0], BAD_SIGNATURES[bad]))


def test_no_signatures_cannot_be_aggregated() -> None:
    with pytest.raises(ValueError, match="verified"):
        bls.aggregate(())


@given(st.binary(max_size=100) | st.binary(min_size=48, max_size=48))
def test_any_key_is_refused_without_an_error(public_key: bytes) -> None:
    assert not bls.verify(public_key, MESSAGE, SIGNATURES[0], KeyCache())


@given(st.binary(max_size=100) | st.binary(min_size=96, max_size=96))
def test_any_signature_is_refused_without_an_error(signature: bytes) -> None:
    assert not bls.verify(PUBLIC_KEYS[0], MESSAGE, signature, KeyCache())


def test_possession_is_proven_for_one_key() -> None:
    assert bls.verify_possession(PUBLIC_KEYS[0], KEYS[0].proof_of_possession())
    assert not bls.verify_possession(PUBLIC_KEYS[1], KEYS[0].proof_of_possession())


def test_a_vote_is_no_proof_of_possession() -> None:
    """The two have domains of their own: nobody can be tricked into voting for a rogue key."""
    assert not bls.verify_possession(PUBLIC_KEYS[0], KEYS[0].sign(PUBLIC_KEYS[0]))


def test_a_rogue_key_forges_an_aggregate_but_has_no_proof(cache: KeyCache) -> None:
    """Why proofs of possession are checked before anything is aggregated."""
    attacker = KEYS[1]
    victim_point = G1Point.from_compressed_bytes(PUBLIC_KEYS[0])
    rogue = (
        G1Point.from_compressed_bytes(attacker.public_key) - victim_point
    ).to_compressed_bytes()

    forged = attacker.sign(MESSAGE)
    assert bls.verify_aggregate((PUBLIC_KEYS[0], rogue), MESSAGE, forged, cache)
    assert not bls.verify_possession(rogue, attacker.proof_of_possession())


def test_the_cache_decodes_a_key_once(cache: KeyCache) -> None:
    assert cache.key(PUBLIC_KEYS[0]) is cache.key(PUBLIC_KEYS[0])
    assert cache.sum_of(PUBLIC_KEYS) is cache.sum_of(list(PUBLIC_KEYS))
    assert len(cache) == len(PUBLIC_KEYS)


def test_the_cache_forgets_the_key_used_longest_ago() -> None:
    cache = KeyCache(capacity=2)
    first = cache.key(PUBLIC_KEYS[0])
    second = cache.key(PUBLIC_KEYS[1])
    assert cache.key(PUBLIC_KEYS[0]) is first
    cache.key(PUBLIC_KEYS[2])

    assert len(cache) == 2
    assert cache.key(PUBLIC_KEYS[0]) is first
    assert cache.key(PUBLIC_KEYS[1]) is not second


def test_a_sum_of_more_keys_than_the_cache_holds() -> None:
    signature = bls.aggregate(SIGNATURES)
    assert bls.verify_aggregate(PUBLIC_KEYS, MESSAGE, signature, KeyCache(capacity=1))


def test_the_sum_is_the_sum_of_the_points(cache: KeyCache) -> None:
    total = cache.sum_of(PUBLIC_KEYS)
    scalars = [Scalar.from_be_bytes(key.secret) for key in KEYS]
    expected = G1Point() * (scalars[0] + scalars[1] + scalars[2] + scalars[3])
    assert total == expected


_indices = st.sampled_from(range(4))


@given(st.lists(st.lists(_indices, max_size=6) | st.lists(_indices, unique=True), max_size=6))
@example([[0, 1, 2, 3], [0, 1, 2], [1, 2, 3], [3]])
@example([[0, 0], [0, 1, 2]])
def test_sums_that_follow_each_other_are_those_of_their_own_keys(orders: list[list[int]]) -> None:
    """Also with a key that stands twice, and after sums of many or of none of the same keys."""
    cache = KeyCache()
    for order in orders:
        expected = [G1Point.from_compressed_bytes(PUBLIC_KEYS[index]) for index in order]
        total = reduce(add, expected) if expected else None
        assert cache.sum_of([PUBLIC_KEYS[index] for index in order]) == total


def test_no_sum_of_what_is_no_key_beside_those_of_the_sum_before(cache: KeyCache) -> None:
    assert cache.sum_of(PUBLIC_KEYS) is not None
    assert cache.sum_of([*PUBLIC_KEYS, bytes(48)]) is None
    assert cache.sum_of([*PUBLIC_KEYS[1:], bytes(48)]) is None


def test_the_negative_of_a_signature_is_refused(cache: KeyCache) -> None:
    negative = (-G2Point.from_compressed_bytes(SIGNATURES[0])).to_compressed_bytes()
    assert negative == BAD_SIGNATURES["other sign"]
    assert not bls.verify(PUBLIC_KEYS[0], MESSAGE, negative, cache)
