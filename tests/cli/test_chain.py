"""`headway chain`, and nodes of what it makes."""

import shutil
from pathlib import Path

import pytest

from node.chain.genesis import Genesis
from node.testnet.workload import workload_balances
from tests.cli.running import invoke

SMALL = ("--batch-length", "4", "--validators", "2", "--slots", "4")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a large genesis."""
    folder = tmp_path_factory.mktemp("chain") / "large"
    done = invoke("chain", "generate", folder, "--accounts", "3000", *SMALL)
    assert (done.exit_code, done.stdout) == (0, "")
    first, second, *_ = done.stderr.splitlines()
    assert first == f"3000 accounts, 0 blocks in {folder}"
    assert second == f"start    headway run --config {folder / 'config.toml'}"
    return folder


def test_a_large_genesis_is_a_small_file_and_a_file_of_accounts(made: Path) -> None:
    assert sorted(path.name for path in made.iterdir()) == [
        "accounts.bin",
        "config.toml",
        "data",
        "genesis.json",
        "keys.json",
        "validators",
    ]
    assert (made / "genesis.json").stat().st_size < 10_000
    assert (made / "accounts.bin").stat().st_size == 3000 * 31
    assert invoke("config", "check", "--config", made / "config.toml").stdout == "ok\n"


def test_blocks_stand_above_it(tmp_path: Path) -> None:
    folder = tmp_path / "chain"
    numbers = ("--accounts", "1500", "--blocks", "6", "--transactions", "2", "--senders", "9")
    done = invoke("chain", "generate", folder, *numbers, *SMALL)
    assert (done.exit_code, done.stdout) == (0, "")
    assert done.stderr.splitlines()[0] == f"1500 accounts, 8 blocks in {folder}"
    file = (folder / "accounts.bin").read_bytes()
    addresses = {file[start : start + 20] for start in range(0, len(file), 31)}
    assert addresses & set(workload_balances(1, 10)) == set(workload_balances(1, 9))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--accounts", "1"], "'--accounts': 1 is not in the range"),
        (["--accounts", "10000001"], "'--accounts': 10000001 is not in the range"),
        (["--accounts", "many"], "'--accounts': 'many' is not a valid integer"),
        (["--senders", "1"], "'--senders': 1 is not in the range"),
        (["--blocks", "-1"], "'--blocks': -1 is not in the range"),
        (["--validators", "9", "--slots", "4"], "there are 1..4 validators: 9"),
    ],
    ids=" ".join,
)
def test_a_mistyped_chain_is_a_usage_error(tmp_path: Path, options: list[str], reason: str) -> None:
    done = invoke("chain", "generate", tmp_path / "chain", *options)
    assert (done.exit_code, done.stdout) == (2, "")
    assert reason in done.stderr.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_there_is_3(made: Path) -> None:
    done = invoke("chain", "generate", made, "--accounts", "3000")
    assert done.exit_code == 3
    assert done.stderr == f"headway: {made}: exists, and nothing is replaced\n"


def test_who_joins_takes_the_accounts_along(made: Path, tmp_path: Path) -> None:
    folder = tmp_path / "node"
    joined = invoke("init", folder, "--genesis", made / "genesis.json", "--profile", "history")
    assert joined.exit_code == 0
    assert (folder / "accounts.bin").read_bytes() == (made / "accounts.bin").read_bytes()
    assert Genesis.load(folder / "genesis.json").hash == Genesis.load(made / "genesis.json").hash
    assert invoke("config", "check", "--config", folder / "config.toml").stdout == "ok\n"


@pytest.mark.parametrize("profile", ["history", "full", "light", "pico"])
def test_only_who_executes_from_the_start_needs_them(
    made: Path, tmp_path: Path, profile: str
) -> None:
    genesis, folder = tmp_path / "genesis.json", tmp_path / "node"
    shutil.copyfile(made / "genesis.json", genesis)
    assert invoke("init", folder, "--genesis", genesis, "--profile", profile).exit_code == 0
    assert not (folder / "accounts.bin").exists()

    checked = invoke("config", "check", "--config", folder / "config.toml")
    if profile != "history":
        assert (checked.exit_code, checked.stdout) == (0, "ok\n")
        return
    reason = "the accounts of the genesis: No such file or directory"
    run = invoke("run", "--config", folder / "config.toml")
    for done in (checked, run):
        assert done.exit_code == 3
        assert done.stderr.splitlines()[-1].endswith(f"{folder / 'accounts.bin'}: {reason}")


def test_other_accounts_are_3(made: Path, tmp_path: Path) -> None:
    folder = tmp_path / "node"
    invoke("init", folder, "--genesis", made / "genesis.json", "--profile", "history")
    with (folder / "accounts.bin").open("ab") as file:
        file.write(bytes(31))
    done = invoke("config", "check", "--config", folder / "config.toml")
    assert done.exit_code == 3
    path = folder / "accounts.bin"
    assert done.stderr == f"headway: {path}: not the accounts that the genesis file names\n"
