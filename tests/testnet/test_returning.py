"""Nodes that were live, were killed, and come back epochs later."""

import pytest

from tests.testnet.running import LocalNetwork

pytestmark = [pytest.mark.network, pytest.mark.slow]

FAST = ("--block-time", "250ms", "--batch-length", "4", "--batches-per-epoch", "2")
EPOCH = 8
SIGNED = {"justification": None, "size": None}
"""What depends on who signed a block."""


def test_history_nodes_come_back_after_epochs_under_load(network: LocalNetwork) -> None:
    network.net("up", "--mix", "history=2,full=4", *FAST, "--load", "20tps")
    network.until("phase == live and consensus == yes and finalized >= 8")
    network.kill("history-2")
    left = int(network.reports("history-1")["history-1"].status["finalized"])
    away = left + 3 * EPOCH
    network.until(f"finalized >= {away}", "history-1")

    network.net("start", "history-2")
    network.until("phase == live and consensus == yes", "history-2")
    back = int(network.reports("history-2")["history-2"].status["height"])
    assert back >= away
    network.until(f"finalized >= {back} and phase == live and consensus == yes")

    network.assert_one_chain()
    # Every block of the time in between, with its transactions.
    paid = 0
    for height in range(left, back + 1):
        theirs = network.call("history-1", "getBlockByNumber", height, True)
        ours = network.call("history-2", "getBlockByNumber", height, True)
        # A block is final with any quorum of signatures, and these are not part of it.
        assert {**ours, **SIGNED} == {**theirs, **SIGNED}
        paid += len(theirs.get("transactions") or ())
    assert paid > 0
    network.assert_logs_are_clean()
