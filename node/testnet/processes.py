"""Waiting for processes that may not be our children, and ending them."""

import os
import select
import signal
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path


def end_processes(pids: Mapping[str, int], *, timeout_s: float) -> list[str]:
    """Ask processes to stop, wait, and kill those that do not within the time.

    Args:
        pids: Name to process id. The caller has made sure that each is still the process meant.
        timeout_s: For all together, before the rest is killed.

    Returns:
        Names of those that had to be killed, in order.
    """
    with ExitStack() as stack:
        handles = _open(pids, stack)
        _signal(handles, signal.SIGTERM)
        left = _wait(handles, timeout_s)
        _signal(left, signal.SIGKILL)
        _wait(left, timeout_s)
        return list(left)


def kill_processes(pids: Mapping[str, int], *, timeout_s: float) -> None:
    """End processes with SIGKILL, as a power cut would, and wait until they are gone."""
    with ExitStack() as stack:
        handles = _open(pids, stack)
        _signal(handles, signal.SIGKILL)
        _wait(handles, timeout_s)


def children_of(pid: int) -> list[int]:
    """Return the processes that a process has started and that still run."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal():
            continue
        try:
            stat = (folder / "stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            # Gone meanwhile.
            continue
        # The command name is in parentheses and may hold anything, so count from its end.
        state, parent = stat.rpartition(")")[2].split()[:2]
        if int(parent) == pid and state not in {"Z", "X"}:
            found.append(int(folder.name))
    return found


def _open(pids: Mapping[str, int], stack: ExitStack) -> dict[str, int]:
    """Return a handle for each process that is there; it cannot come to mean another one."""
    handles: dict[str, int] = {}
    for name, pid in pids.items():
        with suppress(ProcessLookupError):
            handles[name] = os.pidfd_open(pid)
            stack.callback(os.close, handles[name])
    return handles


def _signal(handles: Mapping[str, int], number: signal.Signals) -> None:
    for handle in handles.values():
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, number)


def _wait(handles: Mapping[str, int], timeout_s: float) -> dict[str, int]:
    """Return those that are still there when the time is up."""
    left = dict(handles)
    deadline = time.monotonic() + timeout_s
    while left:
        ended, _, _ = select.select(
            list(left.values()), [], [], max(deadline - time.monotonic(), 0)
        )
        if not ended:
            break
        left = {name: handle for name, handle in left.items() if handle not in ended}
    return left
