"""Work for the processor, off the trio thread."""

import sys
from collections.abc import Callable
from typing import Final, TypeVar

import trio

ResultT = TypeVar("ResultT")

SWITCH_INTERVAL_S: Final = 0.0005
"""For how long a thread keeps the interpreter while another one waits for it. The store gives the
interpreter away with each item that it writes: with Python's own 5 ms, a worker that writes has 200
turns a second beside one that computes, and the trio thread no more."""


def let_threads_alternate() -> None:
    """Prepare this process for workers. Once, when it starts."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)


async def carry_out(
    work: Callable[[], ResultT], *, in_thread: bool, limiter: trio.CapacityLimiter | None = None
) -> ResultT:
    """Do something slow. Cancelled, it still ends first.

    Args:
        work: What may take long.
        in_thread: In a worker thread. False in virtual time, whose clock does not wait for
            threads: there other tasks get their turn first, and then this one waits.
        limiter: How many threads may be at it; None is trio's own bound.
    """
    if in_thread:
        return await trio.to_thread.run_sync(work, limiter=limiter)
    await trio.lowlevel.checkpoint()
    return work()
