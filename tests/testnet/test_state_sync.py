"""A full node that joins a busy network late, is killed half way, and has the state in the end."""

import pytest

from node.accounts import trie
from node.chain.block_store import load_block
from node.storage.disk import DiskStore
from node.storage.store import Table
from node.testnet.population import HOLDER_BALANCE
from node.testnet.workload import holder_addresses
from protocols.types import Hash32
from tests.testnet.running import LocalNetwork

pytestmark = [pytest.mark.network, pytest.mark.slow]

FAST = ("--block-time", "500ms", "--batch-length", "5", "--batches-per-epoch", "4")
ACCOUNTS = 100_000
"""Some seconds of work for who fetches them."""

LOOKS = 20_000
"""At a node that comes up: each takes a millisecond or more."""


def until_half_way(network: LocalNetwork, node: str) -> None:
    """Wait until a node has some accounts; it may have all of them by then."""
    for _ in range(LOOKS):
        status = network.call(node, "getStatus")
        state = status["state_sync"] or {"accounts": 0}
        if state["accounts"] > 0 or "state_synced" in network.log(node):
            return
    raise AssertionError(status)


def stored_root(network: LocalNetwork, node: str) -> tuple[Hash32, Hash32]:
    """Return the root of the accounts that a stopped node has, and that of its head."""
    store = DiskStore(network.files(node).data)
    try:
        with store.read() as reader:
            head = reader.get(Table.META, b"head")
            assert head is not None
            block = load_block(reader, Hash32(head))
            assert block is not None
            return trie.root(reader), block.header.state_root
    finally:
        store.close()


def test_a_late_full_node_is_killed_and_gets_the_state(network: LocalNetwork) -> None:
    large = ("--accounts", str(ACCOUNTS), "--load", "20tps")
    network.net("up", "--mix", "full=4", *FAST, *large)
    network.until("phase == live and consensus == yes and finalized >= 20")

    first = holder_addresses(network.description.spec.seed)(0)
    assert network.call("full-1", "getAccountByAddress", first.hex())["balance"] > HOLDER_BALANCE

    # Who joins has no use for the accounts of the genesis.
    (network.folder.path / "accounts.bin").unlink()
    network.net("add", "--profile", "full")
    until_half_way(network, "full-5")
    network.kill("full-5")
    network.net("start", "full-5")
    network.until("phase == live and consensus == yes", "full-5")

    assert "state_synced" in network.log("full-5")
    height = int(network.reports("full-5")["full-5"].status["height"])
    network.until(f"finalized >= {height}")
    network.assert_one_chain()
    network.assert_logs_are_clean()
    network.net("stop")
    for node in ("full-1", "full-5"):
        ours, expected = stored_root(network, node)
        assert ours == expected, node
