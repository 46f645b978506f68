"""Accounts of a genesis that are too many for its JSON: a file of records beside it.

File: the records of `node.accounts.records`, all of 31 bytes, as pages hash them:

    address: 20 bytes || length: 2 bytes, 9 || kind: 0 || balance: 8 bytes, big-endian

ascending by address, no address twice. The genesis file names it and holds two roots:

    state_root   what they hash to as a trie
    diff_root    Blake2b-256 of 0x02 and the file

Both stand in the genesis block, so the file is as much a part of the network as the genesis file,
and who does not execute from block 0 on never has to read it, or to have it.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from operator import lt
from pathlib import Path
from struct import Struct
from typing import Final, Self

from node.accounts.account import ACCOUNT_BYTES, BASIC
from node.accounts.bulk import hash_subtree
from node.accounts.diff import DIFF_DOMAIN
from node.accounts.pages import ROOT, root_of
from node.accounts.records import Records
from node.accounts.transaction import MAX_COINS
from node.crypto.hashes import hash32
from node.errors import ConfigError
from node.storage.runs import HEAD_BYTES, LENGTH_BYTES
from node.storage.store import Store, Table, delete_range
from protocols.types import ADDRESS_BYTES, Address, Hash32

RECORD_BYTES: Final = HEAD_BYTES + ACCOUNT_BYTES

MAX_FILE_ACCOUNTS: Final = 10_000_000
"""310 MB, read as a whole once in the life of a node that executes from block 0 on."""

CHECKED_AT_ONCE: Final = 1 << 16
"""Accounts that are taken apart at a time: six megabytes of objects."""

STORED_AT_ONCE: Final = 1 << 17
"""Accounts in a transaction: six megabytes of changed pages."""

_MIDDLE: Final = ACCOUNT_BYTES.to_bytes(LENGTH_BYTES, "big") + bytes((BASIC,))
"""What stands between address and balance."""

_ADDRESS: Final = Struct(f"{ADDRESS_BYTES}s{RECORD_BYTES - ADDRESS_BYTES}x")
_BALANCE: Final = Struct(f">{ADDRESS_BYTES + len(_MIDDLE)}xQ")
_RECORD: Final = Struct(f">{ADDRESS_BYTES}s{len(_MIDDLE)}sQ")


@dataclass(frozen=True, slots=True)
class AccountsFile:
    """A file of accounts and what it must hold."""

    path: Path
    state_root: Hash32
    diff_root: Hash32

    @classmethod
    def write(cls, path: Path, payload: bytes) -> Self:
        """Write accounts to a new file, whole or not at all.

        Args:
            path: In the folder of the genesis file.
            payload: The records.

        Raises:
            ConfigError: They are no accounts of a network, or the file cannot be written.
        """
        _check(path, payload)
        unfinished = path.with_name(f"{path.name}.{os.getpid()}")
        try:
            unfinished.write_bytes(payload)
            unfinished.replace(path)
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror}") from error
        return cls(path, state_root_of(payload), diff_root_of(payload))

    def read(self) -> bytes:
        """Return the records, checked one by one. Whether the state root is theirs is left open.

        Raises:
            ConfigError: The file is missing, or is not the one that the genesis names.
        """
        try:
            payload = self.path.read_bytes()
        except OSError as error:
            raise ConfigError(
                f"{self.path}: the accounts of the genesis: {error.strerror}"
            ) from error
        if diff_root_of(payload) != self.diff_root:
            raise ConfigError(f"{self.path}: not the accounts that the genesis file names")
        _check(self.path, payload)
        return payload


def encode_account(address: bytes, balance: int) -> bytes:
    """Return one record of the file."""
    return _RECORD.pack(address, _MIDDLE, balance)


def encode_accounts(accounts: Mapping[Address, int]) -> bytes:
    """Return the records of accounts, by address."""
    return b"".join(encode_account(address, accounts[address]) for address in sorted(accounts))


def state_root_of(payload: bytes, branches: dict[bytes, bytes] | None = None) -> Hash32:
    """Return the root of the trie of these records.

    Args:
        payload: The records.
        branches: Store key -> encoded branch; receives those of the trie.
    """
    offsets = range(0, len(payload) + 1, RECORD_BYTES)
    # The addresses are not needed as objects, which would be twice as large as the records.
    records = Records(payload, [], offsets)
    return root_of(
        hash_subtree(ROOT, records, 0, len(offsets) - 1, {} if branches is None else branches)
    )


def store_accounts(store: Store, payload: bytes) -> Hash32:
    """Make these accounts all that a store holds, with their branches; return the root.

    In several transactions, so that a large state is never held in one: whoever calls this notes
    afterwards that it is done, and calls it again where nothing is noted.

    Raises:
        StorageError: The disk refused.
    """
    branches: dict[bytes, bytes] = {}
    root = state_root_of(payload, branches)
    with store.write(durable=False) as writer:
        delete_range(writer, Table.ACCOUNTS)
        delete_range(writer, Table.BRANCHES)
        writer.put_many(Table.BRANCHES, sorted(branches.items()))
    step = STORED_AT_ONCE * RECORD_BYTES
    for start in range(0, len(payload), step):
        with store.write(durable=False) as writer:
            part = payload[start : start + step]
            writer.replace_run(part[:ADDRESS_BYTES], None, part)
    return root


def diff_root_of(payload: bytes) -> Hash32:
    """Return the diff root of a block that makes these accounts out of nothing."""
    return hash32(DIFF_DOMAIN + payload)


def _check(path: Path, payload: bytes) -> None:
    """Check every account, some at a time."""
    count, rest = divmod(len(payload), RECORD_BYTES)
    if rest or not 1 <= count <= MAX_FILE_ACCOUNTS:
        raise ConfigError(f"{path}: not 1..{MAX_FILE_ACCOUNTS} accounts of {RECORD_BYTES} bytes")
    for index, byte in enumerate(_MIDDLE, ADDRESS_BYTES):
        if payload[index::RECORD_BYTES].count(byte) != count:
            raise ConfigError(f"{path}: an account of another kind")
    coins, last = 0, b""
    step = CHECKED_AT_ONCE * RECORD_BYTES
    for start in range(0, len(payload), step):
        part = payload[start : start + step]
        addresses = [address for (address,) in _ADDRESS.iter_unpack(part)]
        balances = [balance for (balance,) in _BALANCE.iter_unpack(part)]
        if last >= addresses[0] or not all(map(lt, addresses, addresses[1:])):
            raise ConfigError(f"{path}: addresses not ascending")
        if not min(balances):
            raise ConfigError(f"{path}: one without coins")
        coins, last = coins + sum(balances), addresses[-1]
    if coins > MAX_COINS:
        raise ConfigError(f"{path}: more than {MAX_COINS} coins together")
