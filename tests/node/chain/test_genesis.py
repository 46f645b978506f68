import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from node.accounts import trie
from node.accounts.account import Account
from node.accounts.diff import Diff
from node.accounts.transaction import MAX_COINS
from node.blocks.body import MacroBody
from node.blocks.header import MacroHeader
from node.blocks.justification import GENESIS_JUSTIFICATION
from node.chain.genesis import Genesis
from node.chain.history_tree import EMPTY_ROOT
from node.errors import ConfigError
from node.policy import Policy
from node.storage.memory import MemoryStore
from protocols.types import Address
from tests.build.blocks import SEED_0
from tests.build.diffs import diff_between
from tests.build.keys import SMALL_POLICY, address, genesis, keys

GENESIS = genesis(4)
HEADER = GENESIS.block().header
Change = Callable[[dict[str, Any]], None]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "genesis.json"


def _save_changed(path: Path, change: Change) -> None:
    GENESIS.save(path)
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_block_0() -> None:
    block = GENESIS.block()
    header = block.header
    assert isinstance(header, MacroHeader)
    assert (header.number, header.network, header.round) == (0, 1, 0)
    assert header.parent_hash == header.parent_election == bytes(32)
    assert header.seed == GENESIS.seed
    assert header.timestamp == GENESIS.timestamp
    assert header.body_root == MacroBody().root
    assert header.history_root == EMPTY_ROOT
    assert header.punished.bits == 0
    assert header.next_validators is not None
    assert header.next_validators.slots == SMALL_POLICY.slots
    assert [member.slots for member in header.next_validators.members] == [3, 3, 3, 3]
    assert block.justification == GENESIS_JUSTIFICATION
    assert block.body == MacroBody()
    assert GENESIS.hash == block.hash
    assert GENESIS.block() is block


def test_the_roots_are_those_of_the_stored_accounts() -> None:
    changes = {address(index): Account(1_000_000).encode() for index in range(3)}
    with MemoryStore().write() as writer:
        assert diff_between(writer, changes).root == HEADER.diff_root
        assert trie.update(writer, changes) == HEADER.state_root


def test_one_seed_gives_one_network() -> None:
    assert genesis(4).hash == GENESIS.hash


@pytest.mark.parametrize(
    "changes",
    [
        {"network": 2},
        {"name": "another"},
        {"timestamp": 1},
        {"seed": SEED_0},
        {"accounts": {}},
        {"stakes": GENESIS.stakes[:3]},
        {"stakes": (*GENESIS.stakes[1:], GENESIS.stakes[0])},
        *(
            {"policy": replace(SMALL_POLICY, **{name: getattr(SMALL_POLICY, name) + 1})}
            for name in SMALL_POLICY.__dataclass_fields__
        ),
    ],
    ids=repr,
)
def test_every_number_changes_the_hash(changes: dict[str, Any]) -> None:
    assert replace(GENESIS, **changes).hash != GENESIS.hash


def _testnet() -> dict[str, Any]:
    return {"validators": [keys(0)], "policy": SMALL_POLICY, "timestamp": 1}


def test_a_stake_changes_the_hash() -> None:
    first, *others = GENESIS.stakes
    richer = replace(first, candidate=replace(first.candidate, stake=1001))
    assert replace(GENESIS, stakes=(richer, *others)).hash != GENESIS.hash


def test_a_saved_genesis_comes_back(path: Path) -> None:
    GENESIS.save(path)
    loaded = Genesis.load(path)
    assert loaded == GENESIS
    assert loaded.hash == GENESIS.hash
    assert loaded.policy == SMALL_POLICY


def test_saving_gives_the_same_bytes_and_nothing_else(path: Path) -> None:
    GENESIS.save(path)
    first = path.read_bytes()
    Genesis.load(path).save(path)
    assert path.read_bytes() == first
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"genesis\.json: No such file or directory"):
        GENESIS.save(tmp_path / "missing" / "genesis.json")


def _set(name: str, value: Any) -> Change:
    return lambda content: content.update({name: value})


def _drop(name: str) -> Change:
    return lambda content: content.pop(name)


def _set_in(name: str, key: Any, value: Any) -> Change:
    return lambda content: content[name].__setitem__(key, value)


def _set_candidate(index: int, name: str, value: Any) -> Change:
    return lambda content: content["candidates"][index].update({name: value})


def _copy_candidate(name: str) -> Change:
    """Give the second candidate a key of the first one, with its proof."""

    def change(content: dict[str, Any]) -> None:
        first, second = content["candidates"][:2]
        second |= {name: first[name], "proof_of_possession": first["proof_of_possession"]}
        if name == "signing_key":
            second["proof_of_possession"] = GENESIS.stakes[1].proof_of_possession.hex()

    return change


INFINITY_KEY = "c0" + "00" * 47
WRONG: list[tuple[Change, str]] = [
    (_set("format", 2), "format: not an integer in 1..1"),
    (_set("name", ""), "name: not a string of 1..32 printable characters"),
    (_set("network", 256), "network: not an integer in 0..255"),
    (_set("timestamp", "now"), "timestamp: not an integer in 0..281474976710655"),
    (_set("seed", "00" * 79), "seed: not 160 lower-case hex digits"),
    (_set("seed", "02" + "00" * 79), "seed: not a VRF proof"),
    (_set("extra", 1), "extra: unknown key"),
    (_drop("accounts"), "accounts: missing"),
    (_drop("policy"), "policy: missing"),
    (_set("policy", []), "policy: not an object"),
    (_set_in("policy", "slots", 0), "policy: slots must be in 1..512: 0"),
    (_set_in("policy", "slots", 12.0), "policy.slots: not an integer in 0.."),
    (_set_in("policy", "speed", 1), "policy.speed: unknown key"),
    (lambda content: content["policy"].pop("slots"), "policy.slots: missing"),
    (_set("candidates", []), "candidates: not 1..10000 of them: 0"),
    (_set("candidates", {}), "candidates: not an array"),
    (_set_in("candidates", 1, "x"), "candidates[1]: not an object"),
    (_set_candidate(1, "stake", 0), "candidates[1].stake: not an integer in 1.."),
    (_set_candidate(1, "power", 1), "candidates[1].power: unknown key"),
    (
        _set_candidate(1, "signing_key", "00" * 32),
        "candidates[1].signing_key: not an Ed25519 public key",
    ),
    (
        _set_candidate(2, "voting_key", keys(0).voting.public_key.hex()),
        "candidates[2].proof_of_possession: not a proof for this voting_key",
    ),
    (
        _set_candidate(2, "voting_key", INFINITY_KEY),
        "candidates[2].proof_of_possession: not a proof for this voting_key",
    ),
    (
        _set_candidate(0, "proof_of_possession", "00" * 96),
        "candidates[0].proof_of_possession: not a proof for this voting_key",
    ),
    (_copy_candidate("signing_key"), "candidates[1].signing_key: stands twice"),
    (_copy_candidate("voting_key"), "candidates[1].voting_key: stands twice"),
    (_set_in("accounts", "00" * 20, 0), "accounts." + "00" * 20 + ": not an integer in 1.."),
    (_set_in("accounts", "00" * 19, 1), "accounts." + "00" * 19 + ": not an address of 40"),
    (_set_in("accounts", "AA" * 20, 1), "accounts." + "AA" * 20 + ": not an address of 40"),
    (_set_in("accounts", "00" * 20, MAX_COINS), f"accounts: more than {MAX_COINS} coins together"),
]


@pytest.mark.parametrize(("change", "reason"), WRONG, ids=[reason[:40] for _, reason in WRONG])
def test_one_wrong_value(path: Path, change: Change, reason: str) -> None:
    _save_changed(path, change)
    with pytest.raises(ConfigError) as caught:
        Genesis.load(path)
    assert str(caught.value).startswith(f"{path}: {reason}")
    assert "\n" not in str(caught.value)


def test_a_genesis_without_accounts() -> None:
    empty = replace(GENESIS, accounts={})
    assert empty.block().header.state_root == trie.EMPTY_ROOT
    assert empty.block().header.diff_root == Diff().root


def test_the_defaults_have_a_genesis() -> None:
    network = Genesis.for_testnet("seed", **_testnet() | {"policy": Policy()})
    header = network.block().header
    assert isinstance(header, MacroHeader)
    assert header.validators is not None
    assert [member.slots for member in header.validators] == [512]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"network": 256}, "network: not in 0..255: 256"),
        ({"name": ""}, "name: not a string of 1..32 printable characters"),
        ({"name": "a" * 33}, "name: not a string of 1..32 printable characters"),
        ({"name": "\n"}, "name: not a string of 1..32 printable characters"),
        ({"timestamp": -1}, "timestamp: not in 0..281474976710655: -1"),
        ({"seed": b""}, "seed: not a VRF proof"),
        ({"stakes": ()}, "candidates: not 1..10000 of them: 0"),
        ({"accounts": {Address(bytes(20)): 0}}, "accounts: one without coins"),
        (
            {"accounts": {address(0): MAX_COINS, address(1): 1}},
            f"accounts: more than {MAX_COINS} coins together",
        ),
    ],
)
def test_impossible_values_cannot_be_built(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        replace(GENESIS, **changes)
    assert str(caught.value) == reason
