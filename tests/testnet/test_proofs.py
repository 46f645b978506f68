"""Users of real light and pico daemons: what peers prove is what the chain has."""

import json
from typing import Any

import pytest

from node.testnet.workload import workload_balances
from tests.testnet.running import LocalNetwork

pytestmark = [pytest.mark.network, pytest.mark.slow]

FAST = ("--block-time", "300ms", "--batch-length", "4", "--batches-per-epoch", "2")
ASKING = ("light-1", "pico-1")


def shown(network: LocalNetwork, *arguments: str) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(network.headway(*arguments, "-o", "json").stdout)
    return record


def test_accounts_transactions_and_old_blocks(network: LocalNetwork) -> None:
    network.net("up", "--mix", "history=1,full=3,light=1,pico=1", *FAST, "--load", "10tps")
    network.until("finalized >= 20 and consensus == yes")
    blocks = (
        shown(network, "block", "get", str(height), "--body", "--node", "full-1")
        for height in range(1, 20)
    )
    old = next(block for block in blocks if block.get("transactions"))
    number, sent = old["number"], old["transactions"][0]
    owner = next(iter(workload_balances(network.description.spec.seed, 1))).hex()

    for node in ASKING:
        account = shown(network, "account", "get", owner, "--node", node)
        assert account["balance"] > 0
        assert account["blockNumber"] == account["proof"]["number"] >= 20
        found = shown(network, "tx", "get", sent["hash"], "--node", node)
        assert {**found, "proof": None} == {**sent, "blockNumber": None, "proof": None}
        assert found["proof"]["number"] >= number
        block = shown(network, "block", "get", str(number), "--body", "--node", node)
        assert (block["hash"], block["transactions"]) == (old["hash"], old["transactions"])
        assert block["proof"] is not None

    network.net("stop", "full-*", "history-1")
    network.until("peers == 1", *ASKING)
    for node in ASKING:
        refused = network.headway("account", "get", owner, "--node", node, code=8)
        assert refused.stderr == (
            f"headway: account {owner}: no peer is connected that proves accounts\n"
        )
    network.headway("account", "get", owner, "--node", "full-1", code=6)
    network.assert_logs_are_clean()
