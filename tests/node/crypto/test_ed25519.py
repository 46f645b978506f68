from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.crypto import ed25519
from node.crypto.ed25519 import SigningKey
from tests.build.keys import keys
from tests.node.crypto.vectors import load

VECTORS = load("ed25519")["vectors"]
KEY = keys(0).signing
MESSAGE = b"message"


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["why"] for vector in VECTORS])
def test_vectors(vector: dict[str, Any]) -> None:
    public_key, message, signature = (
        bytes.fromhex(vector[name]) for name in ("public_key", "message", "signature")
    )
    assert ed25519.verify(public_key, message, signature) is vector["valid"]


def test_a_signature_is_good_for_its_key_and_message_only() -> None:
    signature = KEY.sign(MESSAGE)

    assert ed25519.verify(KEY.public_key, MESSAGE, signature)
    assert not ed25519.verify(KEY.public_key, MESSAGE + b"!", signature)
    assert not ed25519.verify(keys(1).signing.public_key, MESSAGE, signature)


@given(index=st.integers(0, 63), bit=st.integers(0, 7))
def test_one_changed_bit_spoils_a_signature(index: int, bit: int) -> None:
    signature = bytearray(KEY.sign(MESSAGE))
    signature[index] ^= 1 << bit

    assert not ed25519.verify(KEY.public_key, MESSAGE, bytes(signature))


@given(public_key=st.binary(max_size=64), signature=st.binary(max_size=128))
def test_any_bytes_are_refused_without_an_error(public_key: bytes, signature: bytes) -> None:
    assert not ed25519.verify(public_key, MESSAGE, signature)


@pytest.mark.parametrize("cut", range(64))
def test_bytes_that_are_cut_short_are_refused(cut: int) -> None:
    assert not ed25519.verify(KEY.public_key[: cut // 2], MESSAGE, KEY.sign(MESSAGE))
    assert not ed25519.verify(KEY.public_key, MESSAGE, KEY.sign(MESSAGE)[:cut])


def test_bytes_that_are_too_long_are_refused() -> None:
    signature = KEY.sign(MESSAGE)
    assert not ed25519.verify(KEY.public_key + b"\x00", MESSAGE, signature)
    assert not ed25519.verify(KEY.public_key, MESSAGE[1:], signature + MESSAGE[:1])
    assert not ed25519.verify(KEY.public_key, signature[-1:] + MESSAGE, signature[:-1])


def test_a_key_is_not_completed_by_what_lies_behind_it_in_memory() -> None:
    """Behind the bytes of a Python object lies a zero, with which this key would be whole."""
    candidates = (SigningKey(seed.to_bytes(32, "big")) for seed in range(10_000))
    key = next(key for key in candidates if key.public_key.endswith(b"\x00"))
    assert ed25519.verify(key.public_key, MESSAGE, key.sign(MESSAGE))
    assert not ed25519.verify(key.public_key[:-1], MESSAGE, key.sign(MESSAGE))


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_seed_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match=f"32 bytes: {length}"):
        SigningKey(bytes(length))


def test_a_public_key_is_a_point_of_prime_order() -> None:
    assert ed25519.is_public_key(KEY.public_key)
    refused = [vector for vector in VECTORS if "public key" in vector["why"]]
    assert [ed25519.is_public_key(bytes.fromhex(vector["public_key"])) for vector in refused] == [
        False
    ] * len(refused)
    assert not ed25519.is_public_key(KEY.public_key[:31])
