"""Writing a long chain to disk."""

from pathlib import Path

import pytest

from node.chain.chain import Chain
from node.chain.genesis import Genesis
from node.config import NodeConfig
from node.errors import ConfigError
from node.keys import NodeKeys
from node.policy import Policy
from node.profiles import Profile
from node.storage.disk import DiskStore
from node.testnet.generate import GeneratedSpec, address_of, generate_chain
from node.testnet.population import HOLDER_BALANCE, MAX_ACCOUNTS
from node.testnet.workload import holder_addresses
from protocols.types import Hash32, Height
from tests.build.chain import open_chain

NOW_MS = 1_700_000_000_000
POLICY = Policy(batch_length=5, batches_per_epoch=2, slots=8, validity_window_batches=2)


def spec_of(*, blocks: int = 12, seed: int = 3, accounts: int = 4) -> GeneratedSpec:
    return GeneratedSpec(
        name="made",
        seed=seed,
        blocks=blocks,
        transactions=2,
        validators=3,
        accounts=accounts,
        senders=8,
        policy=POLICY,
    )


def head_of(folder: Path) -> tuple[Height, Hash32, int]:
    store = DiskStore(folder / "data")
    try:
        chain: Chain = open_chain(Genesis.load(folder / "genesis.json"), store=store)
        return chain.head.number, chain.head.hash, chain.head.timestamp
    finally:
        store.close()


def test_the_folder_is_that_of_a_node(tmp_path: Path) -> None:
    seen: list[Height] = []
    folder = tmp_path / "chain"

    assert generate_chain(spec_of(), folder, now_ms=NOW_MS, progress=seen.append) == 15

    assert seen == [0, 5, 10, 15]
    config = NodeConfig.load(folder / "config.toml")
    assert (config.profile, config.min_peers, config.validator) == (Profile.HISTORY, 0, False)
    assert config.data_dir == folder / "data"
    assert address_of(folder) == f"{config.listen[0]}/p2p/{NodeKeys.load(config.keys).peer_id}"
    NodeKeys.load(config.keys)
    number, _, timestamp = head_of(folder)
    # It was to end now, and the last batch is a whole one.
    assert (number, timestamp) == (15, NOW_MS + 3 * POLICY.block_separation_ms)
    candidates = {each.signing_key for each in Genesis.load(config.genesis).candidates}
    keys = [NodeKeys.load(path) for path in sorted((folder / "validators").iterdir())]
    assert {each.signing.public_key for each in keys} == candidates


def test_a_seed_gives_the_chain(tmp_path: Path) -> None:
    for name, seed in (("one", 3), ("two", 3), ("three", 4)):
        generate_chain(spec_of(seed=seed), tmp_path / name, now_ms=NOW_MS, progress=lambda _: None)
    one, two, three = (head_of(tmp_path / name) for name in ("one", "two", "three"))
    assert one == two != three


def test_many_accounts_are_beside_the_genesis_and_receive(tmp_path: Path) -> None:
    folder, made = tmp_path / "chain", list[int]()
    spec = spec_of(blocks=5, accounts=2000)
    generate_chain(
        spec, folder, now_ms=NOW_MS, progress=lambda _: None, accounts_progress=made.append
    )

    assert made[-1] == 2000
    loaded = Genesis.load(folder / "genesis.json")
    assert loaded.accounts == {}
    store = DiskStore(folder / "data")
    try:
        chain = open_chain(loaded, store=store)
        holder = holder_addresses(spec.seed)
        # Four micro blocks of two transactions.
        balances = [chain.account(holder(index)).balance for index in range(10)]
    finally:
        store.close()
    received = [balance - HOLDER_BALANCE - index for index, balance in enumerate(balances)]
    assert received == [1, 2, 3, 4, 5, 6, 7, 8, 0, 0]


def test_a_genesis_alone(tmp_path: Path) -> None:
    folder, seen = tmp_path / "chain", list[Height]()
    spec = spec_of(blocks=0)
    assert generate_chain(spec, folder, now_ms=NOW_MS, progress=seen.append) == 0
    assert seen == [0]
    assert head_of(folder) == (0, Genesis.load(folder / "genesis.json").hash, NOW_MS)


def test_nothing_is_replaced_and_nothing_half_done_stays(tmp_path: Path) -> None:
    folder = tmp_path / "chain"

    def stop(height: Height) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate_chain(spec_of(), folder, now_ms=NOW_MS, progress=stop)
    assert list(tmp_path.iterdir()) == []

    folder.mkdir()
    with pytest.raises(ConfigError, match="exists, and nothing is replaced"):
        generate_chain(spec_of(), folder, now_ms=NOW_MS, progress=stop)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("blocks", -1),
        ("validators", 0),
        ("validators", 9),
        ("accounts", 1),
        ("accounts", MAX_ACCOUNTS + 1),
        ("senders", 1),
    ],
)
def test_what_cannot_be_made_is_refused(field: str, value: int) -> None:
    fields = {"blocks": 5, "validators": 3, "accounts": 4, field: value}
    with pytest.raises(ConfigError):
        GeneratedSpec(name="made", seed=1, transactions=0, policy=POLICY, **fields)
