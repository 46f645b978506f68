"""What `headway sync` shows."""

from typing import Any

import pytest

from cli.sync import eta_text, sync_line
from tests.cli.running import invoke

STATUS: dict[str, Any] = {
    "phase": "macro_sync",
    "height": 250,
    "target": 1000,
    "behind": 750,
    "consensus": False,
    "peer_lists": {"macro": 0, "live": 2, "outdated": 1},
    "min_peers": 3,
    "rate": 125.5,
    "eta_s": [6, 130],
}


def test_on_the_way_there_is_a_bar() -> None:
    assert sync_line(STATUS) == (
        "macro_sync  [#######.......................]  25%  250/1000  125.5 blocks/s"
        "  6 s to 2 min left"
    )


def test_a_target_that_has_been_passed_is_full() -> None:
    line = sync_line({**STATUS, "height": 1003, "rate": None, "eta_s": None})
    assert line == "macro_sync  [##############################] 100%  1003/1000"


def test_live_there_is_none() -> None:
    live = {**STATUS, "phase": "live", "target": None, "rate": None, "eta_s": None}
    lack = "no consensus, peers: 2 live, 1 outdated (wants 3 live)"
    assert sync_line(live) == f"live  at 250  750 behind  {lack}"
    alone = {**live, "peer_lists": {"live": 0, "outdated": 0}}
    assert sync_line(alone).endswith("no consensus, peers: none (wants 3 live)")
    assert sync_line({**live, "min_peers": 2}).endswith("no consensus yet")
    assert sync_line({**alone, "min_peers": 0}).endswith("peers: none (wants 0 live)")
    assert sync_line({**live, "behind": 0, "consensus": True}).endswith("0 behind  in consensus")


def test_a_state_sync_tells_of_accounts_pivots_and_what_waits() -> None:
    state = {
        "state": "running",
        "target": 240,
        "coverage": 0.42,
        "accounts": 4200,
        "total": 10_000,
        "pivots": 2,
        "queued": 12,
        "blocks_behind": 3,
        "blocks_due": 0,
        "restarts": 0,
    }
    status = {**STATUS, "phase": "state_sync", "target": None, "state_sync": state}
    assert sync_line(status) == (
        "state_sync  [############..................]  42%  4200/10000 accounts at 240  2 pivots"
        "  12 queued  3 blocks behind  125.5 accounts/s  6 s to 2 min left"
    )
    executing = {**state, "state": "executing_batch", "coverage": 1.0}
    assert sync_line({**status, "state_sync": executing}).endswith(
        "  3 blocks behind  executing batch  125.5 operations/s  6 s to 2 min left"
    )
    static = {**state, "pivots": 0, "queued": 0, "blocks_due": 40}
    assert "  0 pivots  0 queued  43 blocks behind  " in sync_line({**status, "state_sync": static})
    unknown = {**state, "total": None, "accounts": 0, "coverage": 0.0}
    assert "  0/? accounts at 240  " in sync_line({**status, "state_sync": unknown})


def test_a_state_sync_that_has_failed_says_why_until_it_is_tried_again() -> None:
    waiting = {**STATUS, "phase": "state_sync", "target": None, "rate": None, "eta_s": None}
    failed = {**waiting, "state_sync": None, "state_failure": "blocks: nobody has them"}
    assert sync_line(failed) == (
        "state_sync  at 250  750 behind  no consensus, peers: 2 live, 1 outdated (wants 3 live)"
        "  failed: blocks: nobody has them"
    )


@pytest.mark.parametrize(
    ("eta_s", "text"),
    [
        (None, None),
        ([0, 0], "0 s left"),
        ([119, 120], "119 s to 2 min left"),
        ([7199, 7200], "120 min to 2 h left"),
        ([200_000, 604_800], "2 days to 7 days left"),
    ],
)
def test_times_are_in_the_unit_that_fits(eta_s: list[int] | None, text: str | None) -> None:
    assert eta_text(eta_s) == text


def test_what_has_no_end_is_no_json_array() -> None:
    done = invoke("sync", "--watch", "-o", "json", "--rpc", "127.0.0.1:1")
    assert done.exit_code == 2
    assert done.stderr.endswith("use -o ndjson\n")


def test_a_node_that_is_not_there() -> None:
    assert invoke("sync", "--rpc", "127.0.0.1:1").exit_code == 6
