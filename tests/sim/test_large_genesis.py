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


async def started(nursery: trio.Nursery, folder: Path, until_s: float) -> Nodes:
    """Start all nodes of a network but the last, and let it run."""
    nodes = Nodes(nursery, mix=MIX, validators=3, accounts=500)
    records = encode_accounts(nodes.genesis.accounts)
    file = AccountsFile.write(folder / "accounts.bin", records)
    nodes.genesis = replace(nodes.genesis, accounts={}, accounts_file=file)
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
