"""Starting many daemons fast: import once, then fork one process for each.

Importing libp2p costs about a second; a fork costs milliseconds and shares the memory of what was
imported. Forking is only safe while this process has no second thread, no event loop, no
database and no socket of a daemon, so the parent imports, freezes, forks, and does nothing else
before.

    parent                          child
      fork ------------------------> own session, log file as output
      wait on the pipe               run the daemon
      "ready" or the end of it <---- every listener is bound (or it died)
"""

import gc
import os
import select
import signal
import threading
import traceback
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

READY: Final = b"r"

DaemonMain = Callable[[Callable[[], None]], int]
"""Runs a daemon until it stops and returns its exit code; calls its argument when ready."""


@dataclass(frozen=True, slots=True)
class Job:
    """One process to start."""

    name: str
    log: Path
    """Its standard output and error, appended."""
    main: DaemonMain


@dataclass(slots=True)
class Child:
    """A started process, until it is ready or gone."""

    name: str
    pid: int
    pipe: int
    """Read end: one byte when ready, end of file when the process ended."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a start ended."""

    name: str
    pid: int
    exit_code: int | None
    """None for a daemon that is ready; minus the signal if one ended it."""


def start_all(jobs: Iterable[Job]) -> list[Child]:
    """Fork one process for each job. The caller has imported what the daemons need.

    The children outlive this process: each leads a session of its own.
    """
    assert threading.active_count() == 1, "forking beside another thread is not safe"
    gc.collect()
    # What is frozen is never touched by the collector again, so its pages stay shared.
    gc.freeze()
    return [_start(job) for job in jobs]


def wait_until_ready(children: Iterable[Child], timeout_s: float) -> list[Outcome]:
    """Wait until each is ready or gone; those that are neither in time are left out.

    Args:
        children: What `start_all` returned. Their pipes are closed.
        timeout_s: For each further sign of life, not for all together.
    """
    waiting = {child.pipe: child for child in children}
    outcomes: list[Outcome] = []
    while waiting:
        readable, _, _ = select.select(list(waiting), [], [], timeout_s)
        if not readable:
            break
        outcomes += [_outcome(waiting.pop(pipe)) for pipe in readable]
    for pipe in waiting:
        os.close(pipe)
    return outcomes


def _outcome(child: Child) -> Outcome:
    is_ready = os.read(child.pipe, 1) == READY
    os.close(child.pipe)
    if is_ready:
        return Outcome(child.name, child.pid, None)
    _, status = os.waitpid(child.pid, 0)
    return Outcome(child.name, child.pid, os.waitstatus_to_exitcode(status))


def _start(job: Job) -> Child:
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        _run_child(job, writing)
    os.close(writing)
    return Child(job.name, pid, reading)


def _run_child(job: Job, pipe: int) -> None:
    """Become the daemon; never returns into the parent's code."""
    exit_code = 1
    try:
        os.setsid()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        _redirect(job.log)
        _take_name(job.name)
        exit_code = job.main(lambda: _report_ready(pipe))
    except BaseException:
        # The last frame of this process: whatever happened must be in its log.
        traceback.print_exc()
        raise
    finally:
        # Not sys.exit: the parent's exit handlers and buffers are not ours to run.
        os._exit(exit_code)


def _report_ready(pipe: int) -> None:
    # A parent that has stopped waiting is no reason for a daemon to stop.
    with suppress(BrokenPipeError):
        os.write(pipe, READY)
    os.close(pipe)


def _take_name(name: str) -> None:
    """Let `ps` and `top` tell the daemons apart; the kernel keeps 15 bytes."""
    with suppress(OSError):
        Path("/proc/self/comm").write_text(name, encoding="utf-8")


def _redirect(log: Path) -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(null, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(null)
    os.close(output)
