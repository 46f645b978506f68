"""process.json."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from node.process import FILE_NAME, ProcessRecord, own_start_time, start_time_of

RECORD = ProcessRecord(
    pid=os.getpid(),
    start_time=own_start_time(),
    peer_id="12D3KooW",
    addresses=("/ip4/127.0.0.1/tcp/1/p2p/12D3KooW",),
    rpc="127.0.0.1:2",
    network="testnet",
    genesis="00" * 32,
    profile="full",
    version="0.1.0",
)


def test_a_record_is_read_back_and_removed(tmp_path: Path) -> None:
    RECORD.save(tmp_path)
    assert ProcessRecord.load(tmp_path) == RECORD
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]

    ProcessRecord.remove(tmp_path)
    ProcessRecord.remove(tmp_path)
    assert ProcessRecord.load(tmp_path) is None


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"pid": 1}', '"text"', "\xff"])
def test_what_is_no_record_is_none(tmp_path: Path, content: str) -> None:
    (tmp_path / FILE_NAME).write_text(content, encoding="latin-1")
    assert ProcessRecord.load(tmp_path) is None


def test_another_process_of_the_same_id_is_not_ours() -> None:
    assert RECORD.is_alive()
    assert not replace(RECORD, start_time=RECORD.start_time - 1).is_alive()


def test_a_process_that_ended_is_not_alive_even_before_it_is_reaped() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert start_time_of(process.pid) is None
    process.wait()
    assert start_time_of(process.pid) is None
