"""A state sync through the one way to change the chain: in turn with pushes, and with events."""

from functools import partial

import pytest
import trio
import trio.testing

from node.chain.replay import Replayed
from node.chain.results import ChainEvent, Extended, Rebranched
from node.services.chain_writer import ChainWriter
from node.sync.state.finalizer import FinalizeError, finalize
from tests.build.state_sync import (
    GENESIS,
    adopt,
    bad_state,
    builder_of,
    fetch_accounts,
    fetch_window,
    full_chain,
    model_at,
    started,
    target_at,
    whole_block,
)

IN_THREAD = pytest.mark.parametrize("in_thread", [False, True])


@IN_THREAD
async def test_a_sync_from_beginning_to_end(in_thread: bool) -> None:
    builder = builder_of(9)
    bad = bad_state(builder)
    chain, store = started(builder, 4)
    writer = ChainWriter(chain, in_thread=in_thread)
    await writer.push([*builder.blocks[4:], bad])
    await writer.do(partial(chain.move_target, 8))
    model, peaks = model_at(builder, 8)
    step = partial(finalize, target=target_at(builder, 8), peaks=peaks)
    assert await writer.do(partial(chain.complete_state, step)) is FinalizeError.WRONG_STATE_ROOT
    fetch_accounts(store, model)
    fetch_window(chain, builder, 8)
    assert await writer.do(partial(chain.complete_state, step)) is None
    events = writer.subscribe()
    while await writer.do(chain.execute_accepted) != Replayed(0):
        pass
    outcome = await writer.seal()
    assert outcome.is_sealed
    later = builder.micro()
    await writer.push([later])
    received: list[ChainEvent] = [events.receive_nowait() for _ in range(2)]
    assert received == [Rebranched((bad.hash,), ()), Extended(later.hash)]
    with pytest.raises(trio.WouldBlock):
        events.receive_nowait()


@IN_THREAD
async def test_a_state_that_is_too_old_and_a_window(in_thread: bool) -> None:
    builder = builder_of(16)
    chain = full_chain(GENESIS)
    chain.push(builder.blocks[:6])
    writer = ChainWriter(chain, in_thread=in_thread)
    await writer.do(partial(adopt, chain, builder, 16))
    assert not chain.has_state
    await writer.do(partial(chain.move_target, 16))
    assert await writer.do(partial(chain.store_batch, [whole_block(builder, 16)])) is None
    assert await writer.do(partial(chain.store_batch, [whole_block(builder, 14)])) is not None
    lowest = chain.lowest_whole(16)
    assert lowest is not None
    assert lowest.number == 16


async def test_it_has_settled_when_what_was_asked_for_before_is_done() -> None:
    chain, _ = started(builder_of(9), 4)
    writer = ChainWriter(chain, in_thread=True)
    done: list[str] = []
    may_end = trio.Event()

    def change(name: str) -> None:
        trio.from_thread.run(may_end.wait)
        done.append(name)

    async def waiter() -> None:
        await writer.settled()
        done.append("settled")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(writer.do, partial(change, "first"))
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(waiter)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(writer.do, partial(change, "later"))
        await trio.testing.wait_all_tasks_blocked()
        may_end.set()
    assert done == ["first", "settled", "later"]
    await writer.settled()
