import pytest

from node.accounts.account import ACCOUNT_BYTES, REWARD_POT, Account
from node.accounts.transaction import MAX_COINS
from protocols.errors import WireError


@pytest.mark.parametrize("balance", [1, 255, 256, 10**9, MAX_COINS])
def test_an_account_comes_back(balance: int) -> None:
    assert Account.decode(Account(balance).encode()) == Account(balance)


def test_the_encoding_is_kind_and_balance() -> None:
    assert Account(258).encode() == bytes([0, 0, 0, 0, 0, 0, 0, 1, 2])


def test_the_pot_is_the_address_of_zeros() -> None:
    assert bytes(20) == REWARD_POT


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        bytes(ACCOUNT_BYTES),
        b"\x01" + Account(5).encode()[1:],
        Account(5).encode() + b"\0",
        Account(5).encode()[:-1],
        (MAX_COINS + 1).to_bytes(ACCOUNT_BYTES, "big"),
    ],
    ids=["nothing", "no coins", "another kind", "too long", "too short", "too many coins"],
)
def test_anything_else_is_refused(payload: bytes) -> None:
    with pytest.raises(WireError):
        Account.decode(payload)


@pytest.mark.parametrize("balance", [0, -1, MAX_COINS + 1])
def test_an_account_that_cannot_be_is_never_stored(balance: int) -> None:
    with pytest.raises(AssertionError):
        Account(balance).encode()
