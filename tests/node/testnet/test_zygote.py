"""Forking daemons, in a process of its own: a test runner may have threads."""

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import json, os, signal, sys
from pathlib import Path
from node.testnet.zygote import Job, start_all, wait_until_ready

folder = Path(sys.argv[1])

def ready_then_wait(ready):
    print("up")
    ready()
    sys.stdin.read()
    return 0

def fails(ready):
    return 5

def raises(ready):
    raise RuntimeError("broken on purpose")

def silent(ready):
    sys.stdout.flush()
    signal.pause()
    return 0

mains = {"good": ready_then_wait, "failing": fails, "raising": raises, "silent": silent}
children = start_all([Job(name, folder / f"{name}.log", main) for name, main in mains.items()])
outcomes = wait_until_ready(children, 0.5)
os.kill(next(child.pid for child in children if child.name == "silent"), 9)
print(json.dumps({outcome.name: outcome.exit_code for outcome in outcomes}))
"""


def test_each_child_is_ready_or_says_why_not(tmp_path: Path) -> None:
    finished = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    # The silent one is in nobody's way: it is left out when the time is up.
    assert json.loads(finished.stdout) == {"good": None, "failing": 5, "raising": 1}
    assert "broken on purpose" in (tmp_path / "raising.log").read_text()
    assert "Traceback" not in finished.stderr
