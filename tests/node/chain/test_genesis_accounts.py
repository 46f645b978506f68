"""Accounts of a genesis in a file of their own."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from node.accounts import trie
from node.accounts.account import Account
from node.accounts.transaction import MAX_COINS
from node.chain.genesis import Genesis
from node.chain.genesis_accounts import (
    RECORD_BYTES,
    AccountsFile,
    encode_account,
    encode_accounts,
    store_accounts,
)
from node.errors import ConfigError
from node.storage.memory import MemoryStore
from node.storage.store import Table
from protocols.types import Address, Hash32
from tests.build.chain import contents, light_chain, open_chain
from tests.build.diffs import diff_between
from tests.build.keys import genesis
from tests.build.state_sync import syncing_chain

PLAIN = genesis(4)
MANY = {Address(bytes([index, index]) + bytes(18)): 1000 + index for index in range(200)}
FEW = {Address(bytes([index]) * 20): 5 for index in (3, 9)}
Change = Callable[[dict[str, Any]], None]


def with_file(folder: Path, accounts: dict[Address, int] = MANY) -> Genesis:
    """Return a genesis whose accounts are in a file, as the one that it has saved is read."""
    file = AccountsFile.write(folder / "accounts.bin", encode_accounts(accounts))
    path = folder / "genesis.json"
    replace(PLAIN, accounts={}, accounts_file=file).save(path)
    return Genesis.load(path)


def _remove(folder: Path) -> None:
    (folder / "accounts.bin").unlink()


@pytest.mark.parametrize("accounts", [FEW, MANY])
def test_it_is_the_network_that_has_them_inline(
    tmp_path: Path, accounts: dict[Address, int]
) -> None:
    inline = replace(PLAIN, accounts=accounts)
    in_file = with_file(tmp_path, accounts)

    assert in_file.hash == inline.hash
    assert in_file.account_records() == inline.account_records()
    stores = MemoryStore(), MemoryStore()
    for each, store in zip((inline, in_file), stores, strict=True):
        open_chain(each, store=store)
    assert contents(stores[0]) == contents(stores[1])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["accounts.bin", "genesis.json"]


def test_what_is_stored_is_what_inserting_one_by_one_stores() -> None:
    changes = {address: Account(coins).encode() for address, coins in MANY.items()}
    one_by_one, at_once = MemoryStore(), MemoryStore()
    with one_by_one.write() as writer:
        diff = diff_between(writer, changes)
        for address, value in changes.items():
            root = trie.update(writer, {address: value})

    assert store_accounts(at_once, encode_accounts(MANY)) == root
    assert contents(at_once) == contents(one_by_one)
    header = replace(PLAIN, accounts=MANY).block().header
    assert (header.state_root, header.diff_root) == (root, diff.root)


def test_what_a_killed_start_has_left_is_replaced(tmp_path: Path) -> None:
    store, clean = MemoryStore(), MemoryStore()
    crowd = {Address(bytes([7, index]) + bytes(18)): 1 for index in range(100)}
    store_accounts(store, encode_accounts(crowd))

    open_chain(with_file(tmp_path), store=store)

    open_chain(with_file(tmp_path), store=clean)
    assert contents(store) == contents(clean)


def test_a_large_state_is_stored_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, in_parts = MemoryStore(), MemoryStore()
    store_accounts(whole, encode_accounts(MANY))
    monkeypatch.setattr("node.chain.genesis_accounts.STORED_AT_ONCE", 7)
    store_accounts(in_parts, encode_accounts(MANY))
    assert contents(in_parts) == contents(whole)


def test_who_does_not_execute_needs_no_file(tmp_path: Path) -> None:
    expected = with_file(tmp_path).hash
    _remove(tmp_path)
    loaded = Genesis.load(tmp_path / "genesis.json")

    assert light_chain(loaded).genesis == expected


def test_a_state_that_will_be_fetched_is_not_made(tmp_path: Path) -> None:
    loaded = with_file(tmp_path)
    _remove(tmp_path)
    store = MemoryStore()
    assert not syncing_chain(loaded, store).has_state
    assert contents(store)[Table.ACCOUNTS] == ()


def test_it_is_read_once_in_the_life_of_a_store(tmp_path: Path) -> None:
    loaded, store = with_file(tmp_path), MemoryStore()
    first = open_chain(loaded, store=store)
    _remove(tmp_path)
    assert open_chain(loaded, store=store).head == first.head


def _changed(folder: Path) -> None:
    file = folder / "accounts.bin"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


def _cut(folder: Path) -> None:
    file = folder / "accounts.bin"
    file.write_bytes(file.read_bytes()[:-RECORD_BYTES])


def _is_folder(folder: Path) -> None:
    _remove(folder)
    (folder / "accounts.bin").mkdir()


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (_remove, "the accounts of the genesis: No such file or directory"),
        (_is_folder, "the accounts of the genesis: Is a directory"),
        (_changed, "not the accounts that the genesis file names"),
        (_cut, "not the accounts that the genesis file names"),
    ],
)
def test_who_executes_says_in_a_line_what_is_wrong(
    tmp_path: Path, spoil: Callable[[Path], None], reason: str
) -> None:
    loaded, store = with_file(tmp_path), MemoryStore()
    spoil(tmp_path)

    with pytest.raises(ConfigError) as caught:
        open_chain(loaded, store=store)
    assert str(caught.value) == f"{tmp_path / 'accounts.bin'}: {reason}"
    # And the next start has to do it all.
    with pytest.raises(ConfigError):
        open_chain(loaded, store=store)


def _save_changed(folder: Path, change: Change) -> Path:
    with_file(folder)
    path = folder / "genesis.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return path


def test_a_state_root_that_is_not_that_of_the_file(tmp_path: Path) -> None:
    path = _save_changed(
        tmp_path, lambda content: content["accounts_file"].update(state_root="00" * 32)
    )
    loaded, store = Genesis.load(path), MemoryStore()
    for _ in range(2):
        with pytest.raises(ConfigError, match=r"accounts\.bin: its state_root is [0-9a-f]{64}$"):
            open_chain(loaded, store=store)


def _set(name: str, value: Any) -> Change:
    return lambda content: content["accounts_file"].update({name: value})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_set("file", "../accounts.bin"), "accounts_file.file: not the name of a file"),
        (_set("file", "/accounts.bin"), "accounts_file.file: not the name of a file"),
        (_set("file", ".."), "accounts_file.file: not the name of a file"),
        (_set("file", ""), "accounts_file.file: not a string of 1..255 printable"),
        (_set("file", "a" * 256), "accounts_file.file: not a string of 1..255 printable"),
        (_set("state_root", "00"), "accounts_file.state_root: not 64 lower-case hex digits"),
        (_set("diff_root", 1), "accounts_file.diff_root: not 64 lower-case hex digits"),
        (_set("count", 1), "accounts_file.count: unknown key"),
        (lambda content: content.update(accounts_file=[]), "accounts_file: not an object"),
        (lambda content: content.update(accounts={}), "accounts: unknown beside accounts_file"),
    ],
)
def test_one_wrong_value(tmp_path: Path, change: Change, reason: str) -> None:
    path = _save_changed(tmp_path, change)
    with pytest.raises(ConfigError) as caught:
        Genesis.load(path)
    assert str(caught.value).startswith(f"{path}: {reason}")


def test_both_kinds_at_once_cannot_be_built(tmp_path: Path) -> None:
    file = with_file(tmp_path).accounts_file
    with pytest.raises(ConfigError, match="accounts: both in the genesis file and in a file"):
        replace(PLAIN, accounts_file=file)


def test_the_roots_change_the_hash(tmp_path: Path) -> None:
    loaded = with_file(tmp_path)
    assert loaded.accounts_file is not None
    file, none = loaded.accounts_file, Hash32(bytes(32))
    for other in (replace(file, state_root=none), replace(file, diff_root=none)):
        assert replace(loaded, accounts_file=other).hash != loaded.hash


ADDRESSES = [Address(bytes([index]) * 20) for index in range(3)]
GOOD = [encode_account(address, 7) for address in ADDRESSES]


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "not 1..10000000 accounts of 31 bytes"),
        (GOOD[0][:-1], "not 1..10000000 accounts of 31 bytes"),
        (GOOD[1] + GOOD[0], "addresses not ascending"),
        (GOOD[0] + GOOD[2] + GOOD[1], "addresses not ascending"),
        (GOOD[0] + GOOD[0], "addresses not ascending"),
        (GOOD[0] + encode_account(ADDRESSES[1], 0), "one without coins"),
        (GOOD[0] + GOOD[1][:22] + b"\1" + GOOD[1][23:], "an account of another kind"),
        (GOOD[0] + GOOD[1][:21] + b"\x0a" + GOOD[1][22:], "an account of another kind"),
        (GOOD[0] + encode_account(ADDRESSES[1], MAX_COINS), f"more than {MAX_COINS} coins"),
    ],
)
@pytest.mark.parametrize("at_once", [1, 1000])
def test_what_is_no_file_of_accounts_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, payload: bytes, reason: str, at_once: int
) -> None:
    monkeypatch.setattr("node.chain.genesis_accounts.CHECKED_AT_ONCE", at_once)
    with pytest.raises(ConfigError, match=f"accounts: {reason}"):
        AccountsFile.write(tmp_path / "accounts", payload)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"accounts\.bin: No such file or directory"):
        AccountsFile.write(tmp_path / "missing" / "accounts.bin", GOOD[0])
