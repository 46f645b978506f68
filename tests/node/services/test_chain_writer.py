"""Pushes one at a time, with events in order, on the trio thread or beside it."""

from threading import get_ident

import pytest
import trio
import trio.testing

from node.chain.results import (
    BlockError,
    ChainEvent,
    EpochFinalized,
    Extended,
    Finalized,
    HistoryAdopted,
    InvalidBlock,
    Orphan,
    Pushed,
    PushOutcome,
    PushResult,
)
from node.services.chain_writer import EVENTS_BUFFERED, ChainWriter
from tests.build.blocks import digest
from tests.build.chain import ChainBuilder, light_chain, open_chain
from tests.build.fetched import fetched_batches

IN_THREAD = pytest.mark.parametrize("in_thread", [False, True])


@IN_THREAD
async def test_results_and_events(in_thread: bool) -> None:
    builder = ChainBuilder()
    chain = open_chain(builder.genesis)
    writer = ChainWriter(chain, in_thread=in_thread)
    events = writer.subscribe()
    blocks = builder.extend(4)

    results = await writer.push(blocks)

    hashes = tuple(block.hash for block in blocks)
    received: list[ChainEvent] = [events.receive_nowait() for _ in range(5)]
    assert received == [
        *(Extended(each) for each in hashes),
        Finalized(hashes[-1], 4, hashes, ()),
    ]
    assert [
        event for result in results if isinstance(result, Pushed) for event in result.events
    ] == received
    with pytest.raises(trio.WouldBlock):
        events.receive_nowait()


@IN_THREAD
async def test_adopted_macro_blocks(in_thread: bool) -> None:
    builder = ChainBuilder()
    builder.extend(16)
    chain = light_chain(builder.genesis)
    writer = ChainWriter(chain, in_thread=in_thread)
    events = writer.subscribe()
    election, checkpoint = builder.block_at(12), builder.block_at(16)

    results = await writer.adopt_macro_blocks([election], is_trusted=True)
    results += await writer.adopt_macro_blocks([checkpoint])

    assert [type(result) for result in results] == [Pushed, Pushed]
    assert [events.receive_nowait() for _ in range(3)] == [
        Finalized(election.hash, 12, (election.hash,), ()),
        EpochFinalized(election.hash, 12),
        Finalized(checkpoint.hash, 16, (checkpoint.hash,), ()),
    ]
    assert chain.head == checkpoint.header


@IN_THREAD
async def test_adopted_batches(in_thread: bool) -> None:
    builder = ChainBuilder()
    blocks = builder.extend(4)
    writer = ChainWriter(open_chain(builder.genesis), in_thread=in_thread)
    events = writer.subscribe()

    (result,) = await writer.adopt_batches(fetched_batches(blocks))

    assert isinstance(result, Pushed)
    assert (events.receive_nowait(), events.receive_nowait()) == result.events
    assert result.events[0] == HistoryAdopted(1, 4, blocks[-1].hash)


@IN_THREAD
async def test_before_commit_runs_on_the_trio_thread(in_thread: bool) -> None:
    builder = ChainBuilder()
    chain = open_chain(builder.genesis)
    writer = ChainWriter(chain, in_thread=in_thread)
    blocks = builder.extend(2)
    seen: list[tuple[int, PushResult, bool, int]] = []

    def note(index: int, result: PushResult) -> None:
        seen.append((index, result, get_ident() == home, chain.head.number))

    home = get_ident()
    results = await writer.push(blocks, before_commit=note)
    assert seen == [(0, results[0], True, 0), (1, results[1], True, 0)]
    assert chain.head.number == 2


@IN_THREAD
async def test_an_error_of_before_commit_undoes_the_push(in_thread: bool) -> None:
    builder = ChainBuilder()
    chain = open_chain(builder.genesis)
    writer = ChainWriter(chain, in_thread=in_thread)
    events = writer.subscribe()
    blocks = builder.extend(1)

    def refuse(_: int, __: PushResult) -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await writer.push(blocks, before_commit=refuse)
    assert chain.head.number == 0
    # The turn has been given back.
    await writer.push(blocks)
    assert events.receive_nowait() == Extended(blocks[0].hash)


@IN_THREAD
async def test_pushes_are_serialised_in_order(in_thread: bool) -> None:
    builder = ChainBuilder()
    chain = open_chain(builder.genesis)
    writer = ChainWriter(chain, in_thread=in_thread)
    outcomes: list[PushResult] = []
    blocks = builder.extend(3)

    async def push(index: int) -> None:
        outcomes.extend(await writer.push(blocks[index : index + 1]))

    async with trio.open_nursery() as nursery:
        for index in range(3):
            nursery.start_soon(push, index)
            await trio.testing.wait_all_tasks_blocked()
    assert outcomes == [Pushed(PushOutcome.EXTENDED, (Extended(block.hash),)) for block in blocks]


async def test_failures_have_no_events() -> None:
    builder = ChainBuilder()
    writer = ChainWriter(open_chain(builder.genesis), in_thread=False)
    events = writer.subscribe()
    bad = builder.changed(builder.make_micro(), state_root=digest("x"))
    builder.micro()
    orphan = builder.micro()

    assert await writer.push([bad]) == (InvalidBlock(BlockError.WRONG_STATE_ROOT, bad.hash),)
    assert await writer.push([orphan]) == (Orphan(orphan.parent_hash),)
    with pytest.raises(trio.WouldBlock):
        events.receive_nowait()


async def test_a_full_subscriber_holds_pushes_back_and_loses_nothing(
    autojump_clock: trio.testing.MockClock,
) -> None:
    del autojump_clock
    builder = ChainBuilder()
    writer = ChainWriter(open_chain(builder.genesis), in_thread=False)
    slow, quick = writer.subscribe(), writer.subscribe()
    blocks = builder.extend(EVENTS_BUFFERED)
    received: list[ChainEvent] = []
    done = trio.Event()

    async def push() -> None:
        await writer.push(blocks)
        done.set()

    async def drain() -> None:
        async for event in quick:
            received.append(event)  # noqa: PERF401

    async with trio.open_nursery() as nursery:
        nursery.start_soon(push)
        nursery.start_soon(drain)
        await trio.sleep(1)
        assert not done.is_set()
        while not done.is_set():
            with trio.move_on_after(1):
                await slow.receive()
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    # Each block, and each fourth one once more for its batch, and each twelfth for its epoch.
    assert len(received) == EVENTS_BUFFERED + EVENTS_BUFFERED // 4 + EVENTS_BUFFERED // 12


async def test_a_push_waits_until_the_events_before_it_are_out() -> None:
    builder = ChainBuilder()
    chain = open_chain(builder.genesis)
    writer = ChainWriter(chain, in_thread=False)
    events = writer.subscribe()
    blocks = builder.extend(EVENTS_BUFFERED + 1)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(writer.push, blocks[:-1])
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(writer.push, blocks[-1:])
        await trio.testing.wait_all_tasks_blocked()
        assert chain.head.hash == blocks[-2].hash
        while chain.head.hash != blocks[-1].hash:
            await events.receive()


async def test_a_subscriber_that_is_gone_is_forgotten() -> None:
    builder = ChainBuilder()
    writer = ChainWriter(open_chain(builder.genesis), in_thread=False)
    gone, stays = writer.subscribe(), writer.subscribe()
    gone.close()
    (block,) = builder.extend(1)

    await writer.push([block])
    assert stays.receive_nowait() == Extended(block.hash)


async def test_a_cancelled_push_in_a_thread_ends_first() -> None:
    """The blocks are there afterwards, so verdicts are still given and events still sent."""
    builder = ChainBuilder()
    chain = open_chain(builder.genesis)
    writer = ChainWriter(chain, in_thread=True)
    events = writer.subscribe()
    blocks = builder.extend(3)
    seen: list[int] = []

    def cancel(index: int, _: PushResult) -> None:
        seen.append(index)
        scope.cancel()

    with trio.CancelScope() as scope:
        await writer.push(blocks, before_commit=cancel)
    assert seen == [0, 1, 2]
    assert chain.head.number == 3
    assert [events.receive_nowait() for _ in range(3)] == [Extended(block.hash) for block in blocks]
