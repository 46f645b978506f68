"""Whole nodes of a network whose genesis has its accounts in a file: who has to make them."""

from dataclasses import replace
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from node.chain.genesis_accounts import AccountsFile, encode_accounts
from tests.sim.nodes import Nodes
from tests.sim.test_state_joining import check_equal, is_live

MIX = {"history": 1, "full": 4}


def large(nursery: trio.Nursery, folder: Path, mix: dict[str, int], validators: int) -> Nodes:
    """Return a network that does not run yet."""
    nodes = Nodes(nursery, mix=mix, validators=validators, accounts=500)
    records = encode_accounts(nodes.genesis.accounts)
    file = AccountsFile.write(folder / "accounts.bin", records)
    nodes.genesis = replace(nodes.genesis, accounts={}, accounts_file=file)
    return nodes


async def started(nursery: trio.Nursery, folder: Path, until_s: float) -> Nodes:
    """Start all nodes of a network but the last, and let it run."""
    nodes = large(nursery, folder, MIX, validators=3)
    await nodes.start([node.spec.name for node in nodes.nodes[:-1]])
    assert all(node.node.chain.has_state for node in nodes.nodes[:-1])
    await trio.sleep_until(until_s)
    return nodes


@pytest.mark.parametrize(
    ("joins_at_s", "has_file", "makes_state"),
    [(2.5, True, True), (2.5, False, False), (60.5, True, False), (60.5, False, False)],
)
async def test_a_full_node_that_joins(
    autojump_clock: MockClock,
    nursery: trio.Nursery,
    tmp_path: Path,
    joins_at_s: float,
    has_file: bool,
    makes_state: bool,
) -> None:
    nodes = await started(nursery, tmp_path, joins_at_s)
    late = nodes.nodes[-1]
    if not has_file:
        (tmp_path / "accounts.bin").unlink()
    await nodes.start([late.spec.name])
    assert late.node.chain.has_state is makes_state

    await nodes.until(lambda: is_live(late), within_s=30)
    await check_equal(nodes)
    # From here on it needs no file.
    (tmp_path / "accounts.bin").unlink(missing_ok=True)
    late.kill()
    await nodes.start([late.spec.name])
    assert late.node.chain.has_state
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("mix", "validators", "make_state"),
    [
        ({"history": 2, "full": 2}, 1, {"history-1", "history-2"}),
        ({"full": 3}, 2, {"full-1", "full-2"}),
    ],
)
async def test_validators_and_history_nodes_make_it_however_late_they_start(
    autojump_clock: MockClock,
    nursery: trio.Nursery,
    tmp_path: Path,
    mix: dict[str, int],
    validators: int,
    make_state: set[str],
) -> None:
    nodes = large(nursery, tmp_path, mix, validators)
    await trio.sleep(60)
    await nodes.start()

    have_state = {node.spec.name for node in nodes.nodes if node.node.chain.has_state}
    assert have_state == make_state
    await nodes.until(lambda: all(map(is_live, nodes.nodes)), within_s=60)
    await check_equal(nodes)
    nursery.cancel_scope.cancel()
