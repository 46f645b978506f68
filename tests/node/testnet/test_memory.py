"""The memory of processes."""

import os
import subprocess
import sys

from node.testnet.memory import proportional_bytes


def test_a_process_takes_its_own_and_its_share() -> None:
    own = proportional_bytes(os.getpid())
    assert own is not None
    # An interpreter with pytest, in bytes and not in kilobytes.
    assert 10_000_000 < own < 10_000_000_000


def test_a_process_that_is_gone_takes_none() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    assert proportional_bytes(process.pid) is None
