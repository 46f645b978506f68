"""What a network of real daemons survives: kills of all nodes at any moment, and of a third."""

from random import Random

import pytest

from node.testnet.workload import BALANCE, workload_balances
from tests.testnet.running import LocalNetwork

pytestmark = [pytest.mark.network, pytest.mark.slow]

FAST = ("--block-time", "250ms", "--batch-length", "4")


def test_kill_9_of_all_nodes_loses_nothing(network: LocalNetwork) -> None:
    """Several times, at moments that no block decides."""
    network.net("up", "--mix", "history=1,full=3,light=1,pico=1", *FAST, "--wait", "height>=2")
    names = [spec.name for spec in network.specs]
    luck = Random(7)
    for _ in range(4):
        # Some blocks on, and then anywhere within the next one.
        height = max(int(each.status["height"]) for each in network.reports().values())
        network.until(f"any(height >= {height + luck.randint(2, 6)})")
        network.comes_true("any(height < 0)", within_s=luck.uniform(0, 0.25))
        before = {name: report.status for name, report in network.reports().items()}
        network.kill(*names)
        assert {report.state for report in network.reports().values()} == {"crashed"}

        network.net("start")
        after = {name: report.status for name, report in network.reports().items()}
        for name in names:
            assert after[name]["height"] >= before[name]["height"]
            assert after[name]["finalized"] >= before[name]["finalized"]
            final = before[name]["finalized"]
            assert network.hash_at(name, final) == before[name]["finalized_hash"]
    final = max(int(each.status["finalized"]) for each in network.reports().values())
    network.until(f"finalized >= {final + 8} and consensus == yes")
    network.assert_one_chain()
    network.assert_logs_are_clean()


def test_a_third_may_die_and_not_one_more(network: LocalNetwork) -> None:
    network.net("up", "--mix", "full=7,light=1", *FAST, "--wait", "finalized>=4")
    alive = ["full-4", "full-5", "full-6", "full-7", "light-1"]

    network.net("stop", "full-1", "full-2", "--kill")
    height = network.reports("light-1")["light-1"].status["finalized"]
    network.until(f"finalized >= {height + 12}", "full-3", *alive)

    network.net("stop", "full-3", "--kill")
    height = max(int(each.status["finalized"]) for each in network.reports(*alive).values())
    # A macro block that was decided may still be on its way, and none after it.
    assert not network.comes_true(f"any(finalized >= {height + 8})", *alive, within_s=8)
    assert {each.state for each in network.reports(*alive).values()} == {"running"}

    network.net("start", "full-1", "full-3")
    network.until(f"finalized >= {height + 8}", "full-1", "full-3", *alive)
    network.assert_one_chain()
    network.assert_logs_are_clean()


def test_a_workload_moves_balances(network: LocalNetwork) -> None:
    options = ("--mix", "full=4,light=1", "--block-time", "500ms", "--batch-length", "5")
    network.net("up", *options, "--load", "50tps", "--wait", "finalized >= 10")

    start = network.reports("full-1")["full-1"].status["height"]
    network.until(f"height >= {start + 4}")
    sent = 0
    for height in range(start, start + 5):
        block = network.call("full-2", "getBlockByNumber", height, True)
        sent += len(block.get("transactions", []))
    # 50 a second and two blocks a second: some of these are macro blocks, which carry none.
    assert sent > 20

    accounts = workload_balances(network.description.spec.seed, 64)
    balances = [
        network.call("full-3", "getAccountByAddress", each.hex())["balance"] for each in accounts
    ]
    assert all(balance != BALANCE for balance in balances)
    # What is missing are fees.
    assert 0 < 64 * BALANCE - sum(balances) < BALANCE
    network.assert_one_chain()

    pid = network.headway("net", "stop").stderr
    assert pid.startswith("stopped: full-1")
    assert not (network.folder.load / "process.json").exists()
    network.net("start", "--wait", f"finalized >= {start + 10}")
    assert (network.folder.load / "process.json").exists()
    # Started again it is left alone, and goes on.
    record = (network.folder.load / "process.json").read_text()
    network.net("start")
    assert (network.folder.load / "process.json").read_text() == record
    network.net("down", "--purge")
    assert not network.folder.path.exists()
