"""Proofs of accounts and of ranges of them, over the same states as the state roots."""

from typing import Any

from node.accounts import trie
from node.accounts.account import Account
from node.accounts.key_proof import prove_keys
from node.accounts.range_proof import (
    FIRST_ADDRESS,
    LAST_ADDRESS,
    RangeAnswer,
    prove_range,
    verify_range,
)
from node.storage.memory import MemoryStore
from node.storage.store import Reader
from protocols.types import Address, Hash32
from tests.vectors import samples

ABSENT = Address(samples.pattern(0x30, 20))


def build() -> list[dict[str, Any]]:
    """Return, for each number of accounts, some ranges and some single accounts with proofs."""
    return [_state(count) for count in (0, 1, 65, 300)]


def _state(count: int) -> dict[str, Any]:
    coins = samples.many_accounts(count)
    middle = Address(b"\x5a" + bytes(19))
    some = sorted(coins)[:: max(count // 2, 1)]
    with MemoryStore().write() as writer:
        accounts = {address: Account(each).encode() for address, each in coins.items()}
        root = trie.update(writer, accounts)
        return {
            "accounts": count,
            "root": root.hex(),
            "ranges": [
                _range(writer, root, *keys, limit)
                for keys, limit in (
                    ((FIRST_ADDRESS, LAST_ADDRESS), 4096),
                    ((FIRST_ADDRESS, LAST_ADDRESS), 3),
                    ((middle, LAST_ADDRESS), 40),
                    ((middle, Address(b"\x5b" + bytes(19))), 40),
                    ((ABSENT, ABSENT), 1),
                )
            ],
            "addresses": [_keys(writer, [ABSENT]), _keys(writer, sorted([*some, ABSENT]))],
        }


def _range(
    reader: Reader, root: Hash32, start: Address, end: Address, limit: int
) -> dict[str, Any]:
    leaves, proof = prove_range(reader, start, end, max_leaves=limit, max_bytes=100_000)
    verified = verify_range(root, start, end, RangeAnswer.decode(leaves, proof))
    assert verified is not None
    return {
        "start": start.hex(),
        "end": end.hex(),
        "limit": limit,
        "leaves": leaves.hex(),
        "proof": proof.hex(),
        "next": None if verified.next is None else verified.next.hex(),
    }


def _keys(reader: Reader, addresses: list[Address]) -> dict[str, Any]:
    return {
        "addresses": [address.hex() for address in addresses],
        "proof": prove_keys(reader, addresses).hex(),
    }
