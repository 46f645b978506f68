"""Peer ids and the keys inside them."""

import pytest
from libp2p.crypto.rsa import create_new_key_pair as create_rsa_key_pair
from libp2p.peer.id import ID

from node.crypto.ed25519 import SigningKey
from node.net.libp2p.failures import ConnectionLostError
from node.net.libp2p.identity import Identity, decode_peer_id, peer_id_of, public_key_of
from protocols.types import PeerId

SEED = bytes(range(32))


def test_id_holds_the_public_key() -> None:
    identity = Identity.from_seed(SEED)
    assert public_key_of(identity.id.to_bytes()) == SigningKey(SEED).public_key
    assert peer_id_of(identity.id) == identity.peer_id
    assert decode_peer_id(identity.peer_id) == identity.id
    assert identity.peer_id.startswith("12D3KooW")


def test_same_seed_is_the_same_peer_with_another_noise_key() -> None:
    first, second = Identity.from_seed(SEED), Identity.from_seed(SEED)
    assert first.peer_id == second.peer_id
    assert first.noise_key.to_bytes() != second.noise_key.to_bytes()


def test_identity_of_another_kind_is_refused() -> None:
    rsa = ID.from_pubkey(create_rsa_key_pair(2048).public_key)
    with pytest.raises(ConnectionLostError):
        peer_id_of(rsa)


@pytest.mark.parametrize(
    "text", ["", "0OIl", "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N", "x"]
)
def test_text_that_is_no_id(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode_peer_id(PeerId(text))


@pytest.mark.parametrize("content", [b"", bytes(38), bytes.fromhex("002408011220") + bytes(31)])
def test_bytes_without_a_key(content: bytes) -> None:
    assert public_key_of(content) is None
