import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl import bindings

from node.crypto import vrf
from node.crypto.ed25519 import SigningKey
from tests.build.keys import keys
from tests.node.crypto.vectors import load

VECTORS = [
    {name: bytes.fromhex(value) for name, value in vector.items()}
    for vector in load("vrf_rfc9381")["vectors"]
]
KEY = keys(0).signing
ALPHA = b"alpha"
PROOF = vrf.prove(KEY, ALPHA)
GROUP_ORDER = 2**252 + 27742317777372353535851937790883648493
POINT_OF_ORDER_8 = bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")
OF_SMALL_ORDER = [(1).to_bytes(32, "little"), bytes(32), POINT_OF_ORDER_8]


@pytest.mark.parametrize("vector", VECTORS)
def test_published_vectors(vector: dict[str, bytes]) -> None:
    key = SigningKey(vector["secret"])
    assert key.public_key == vector["public_key"]
    assert vrf._encode_to_curve(key.public_key, vector["alpha"]) == vector["point"]
    assert vrf.prove(key, vector["alpha"]) == vector["proof"]
    assert vrf.verify(key.public_key, vector["alpha"], vector["proof"]) == vector["output"]
    assert vrf.proof_to_hash(vector["proof"]) == vector["output"]


@given(alpha=st.binary(max_size=100), who=st.integers(0, 3))
def test_a_proof_gives_its_output(alpha: bytes, who: int) -> None:
    key = keys(who).signing
    proof = vrf.prove(key, alpha)
    output = vrf.verify(key.public_key, alpha, proof)
    assert output == vrf.proof_to_hash(proof)
    assert output is not None
    assert len(output) == 64


def test_a_proof_is_for_one_key_and_one_alpha() -> None:
    assert vrf.verify(KEY.public_key, ALPHA + b"!", PROOF) is None
    assert vrf.verify(keys(1).signing.public_key, ALPHA, PROOF) is None


@given(index=st.integers(0, 79), bit=st.integers(0, 7))
def test_one_changed_bit_spoils_a_proof(index: int, bit: int) -> None:
    proof = bytearray(PROOF)
    proof[index] ^= 1 << bit
    assert vrf.verify(KEY.public_key, ALPHA, bytes(proof)) is None


@given(st.binary(max_size=100) | st.binary(min_size=80, max_size=80))
def test_any_bytes_are_refused_without_an_error(proof: bytes) -> None:
    assert vrf.verify(KEY.public_key, ALPHA, proof) is None
    output = vrf.proof_to_hash(proof)
    assert output is None or len(output) == 64


@given(st.binary(max_size=40) | st.binary(min_size=32, max_size=32))
def test_any_key_is_refused_without_an_error(public_key: bytes) -> None:
    assert vrf.verify(public_key, ALPHA, PROOF) is None


def test_a_scalar_above_the_group_order_is_refused() -> None:
    """It is the second spelling of a good proof."""
    scalar = int.from_bytes(PROOF[48:], "little") + GROUP_ORDER
    assert vrf.verify(KEY.public_key, ALPHA, PROOF[:48] + scalar.to_bytes(32, "little")) is None


@pytest.mark.parametrize("point", OF_SMALL_ORDER)
def test_points_of_small_order_are_refused(point: bytes) -> None:
    assert vrf.verify(KEY.public_key, ALPHA, point + PROOF[32:]) is None
    assert vrf.verify(point, ALPHA, PROOF) is None


def test_gamma_of_mixed_order_is_refused_and_has_the_same_output() -> None:
    """The output clears the cofactor, so whoever adds to Gamma gains no second output."""
    gamma = bindings.crypto_core_ed25519_add(PROOF[:32], POINT_OF_ORDER_8)
    assert vrf.verify(KEY.public_key, ALPHA, gamma + PROOF[32:]) is None
    assert vrf.proof_to_hash(gamma + PROOF[32:]) == vrf.proof_to_hash(PROOF)


def test_zero_challenge_and_scalar_are_refused() -> None:
    assert vrf.verify(KEY.public_key, ALPHA, PROOF[:32] + bytes(16) + PROOF[48:]) is None
    assert vrf.verify(KEY.public_key, ALPHA, PROOF[:48] + bytes(32)) is None


def test_what_is_no_point_has_no_output() -> None:
    no_point = (2).to_bytes(32, "little")
    assert vrf.proof_to_hash(no_point + bytes(48)) is None
    assert vrf.proof_to_hash(PROOF[:-1]) is None
