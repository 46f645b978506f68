from dataclasses import replace
from typing import Any

import pytest

from node.accounts.transaction import MAX_COINS, Transaction
from node.crypto import ed25519
from node.crypto.hashes import address_of, hash32
from protocols.codec import Value, pack
from protocols.errors import WireError
from tests.build.blocks import transaction
from tests.build.keys import account_keys, address
from tests.node.blocks.fields import unpacked, with_field

ONE = transaction(value=300, fee=2, validity_start=7, data=b"data")


def test_a_transaction_comes_back_as_it_was() -> None:
    assert Transaction.decode(ONE.encode()) == ONE
    assert Transaction.from_wire(unpacked(ONE.encode())) == ONE


def test_the_layout() -> None:
    content: list[Value] = [ONE.sender_key, address(1), 300, 2, 7, 1, b"data"]
    assert unpacked(ONE.encode()) == [*content, ONE.signature]
    assert ONE.hash == hash32(pack(content))


def test_the_signature_covers_the_hash() -> None:
    assert ed25519.verify(ONE.sender_key, ONE.hash, ONE.signature)
    assert ONE.sender == address_of(account_keys(0).signing.public_key) == address(0)


def test_the_hash_does_not_cover_the_signature() -> None:
    respelled = Transaction.decode(with_field(ONE.encode(), 7, bytes(64)))
    assert respelled.hash == ONE.hash
    assert respelled != ONE


@pytest.mark.parametrize(
    ("index", "value"),
    [
        (2, 0),
        (2, MAX_COINS),
        (3, 0),
        (3, MAX_COINS),
        (4, 0),
        (4, 2**32 - 1),
        (5, 0),
        (5, 255),
        (6, b""),
        (6, bytes(64)),
    ],
)
def test_the_smallest_and_the_largest(index: int, value: Any) -> None:
    encoded = with_field(ONE.encode(), index, value)
    read = Transaction.decode(encoded)
    assert unpacked(read.encode())[index] == read.to_wire()[index] == value
    assert read == Transaction.from_wire(unpacked(encoded))
    assert read.hash == replace(read).hash == hash32(pack(unpacked(encoded)[:-1]))


def test_what_follows_from_the_fields_is_not_copied() -> None:
    other = replace(Transaction.decode(ONE.encode()), value=301)
    assert other.hash == hash32(pack(other.to_wire()[:-1])) != ONE.hash
    assert Transaction.decode(other.encode()) == other


@pytest.mark.parametrize(
    ("index", "value"),
    [
        (0, bytes(33)),
        (0, "k" * 32),
        (0, [0] * 32),
        (1, bytes(19)),
        (1, "r" * 20),
        (0, bytes(31)),
        (1, bytes(21)),
        (2, MAX_COINS + 1),
        (2, -1),
        (2, 1.0),
        (3, MAX_COINS + 1),
        (3, -1),
        (3, True),
        (4, 2**32),
        (4, -1),
        (4, None),
        (5, 256),
        (5, -1),
        (5, False),
        (6, bytes(65)),
        (6, None),
        (6, ""),
        (7, bytes(63)),
        (7, bytes(65)),
        (7, None),
    ],
)
def test_one_wrong_field(index: int, value: Any) -> None:
    with pytest.raises(WireError, match=r"^Transaction: "):
        Transaction.decode(with_field(ONE.encode(), index, value))


@pytest.mark.parametrize("value", [None, b"", [], [1] * 8, "transaction"])
def test_other_values_are_refused(value: Any) -> None:
    with pytest.raises(WireError, match=r"^Transaction: "):
        Transaction.from_wire(value)
