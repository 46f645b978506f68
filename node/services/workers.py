"""Work for the processor, off the trio thread."""

from collections.abc import Callable
from typing import TypeVar

import trio

ResultT = TypeVar("ResultT")


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
