"""Nodes that are killed in the middle of a macro sync go on where they were."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Final

import pytest
import trio

from node.chain.chain import Chain
from node.chain.genesis import Genesis
from node.policy import Policy
from node.profiles import Profile
from node.services.clock import SystemClock
from node.storage.disk import DiskStore
from node.sync.macro.history_limits import DEFAULT_LIMITS
from node.sync.macro.ordered_queue import IN_FLIGHT
from node.testnet.generate import GeneratedSpec, generate_chain
from protocols.ids import RequestProtocol
from protocols.types import Height
from tests.build.chain import open_chain
from tests.build.clock import FixedClock
from tests.testnet.running import BOUND_S
from tests.testnet.serving import Daemon, Server, Session

pytestmark = [pytest.mark.network, pytest.mark.slow]

BLOCKS: Final = 2000
POLICY: Final = Policy(
    batch_length=8,
    batches_per_epoch=4,
    slots=16,
    block_separation_ms=1000,
    producer_timeout_ms=4000,
    validity_window_batches=2,
)
KILL_AT: Final = (300, 900, 1500)
"""Heights at which the node is killed."""

CONTENT: Final = (
    RequestProtocol.BATCH_SET,
    RequestProtocol.MISSING_BLOCKS,
    RequestProtocol.HISTORY_CHUNK,
)
"""What a history sync asks for."""


def generate(folder: Path, policy: Policy, blocks: int) -> Path:
    """Write a chain, and return its folder."""
    spec = GeneratedSpec(
        name="long",
        seed=1,
        blocks=blocks,
        transactions=4,
        validators=4,
        accounts=16,
        policy=policy,
    )
    generate_chain(spec, folder, now_ms=SystemClock().now_ms(), progress=lambda _: None)
    return folder


@contextmanager
def opened(folder: Path) -> Iterator[Chain]:
    """Lend a generated chain, open."""
    store = DiskStore(folder / "data")
    try:
        yield open_chain(
            Genesis.load(folder / "genesis.json"), store=store, clock=FixedClock(2**62)
        )
    finally:
        store.close()


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a long chain."""
    return generate(tmp_path_factory.mktemp("generated") / "chain", POLICY, BLOCKS)


@pytest.fixture
def chain(generated: Path) -> Iterator[Chain]:
    """Lend that chain, open."""
    with opened(generated) as chain:
        yield chain


async def finish(daemon: Daemon) -> None:
    """Let a node sync to the end and stop."""
    async with daemon.running("--exit-when-synced") as process:
        with trio.fail_after(BOUND_S):
            assert await process.wait() == 0


async def test_history_is_not_fetched_twice(
    generated: Path, chain: Chain, tmp_path: Path, nursery: trio.Nursery
) -> None:
    server = await Server.start(nursery, chain)
    genesis = generated / "genesis.json"
    daemon = Daemon.make(
        tmp_path / "node", Profile.HISTORY, genesis, *server.network.listen_addresses
    )
    sessions: list[Session] = []
    for height in KILL_AT:
        async with daemon.running() as process:
            await daemon.until_height(height)
            process.kill()
        sessions.append(server.take_session())
    await finish(daemon)
    sessions.append(server.take_session())

    starts = [session.locator_heights[0] for session in sessions]
    assert starts[0] == 0
    assert all(start >= height for start, height in zip(starts[1:], KILL_AT, strict=True))
    for start, session in zip(starts, sessions, strict=True):
        for protocol in CONTENT:
            assert min(session.heights(protocol), default=BLOCKS) > start, protocol
        assert not set(session.leaves) & final_leaves(chain, start)
    # Whatever was asked for again had not been adopted, and that is bounded.
    batches = [session.heights(RequestProtocol.MISSING_BLOCKS) for session in sessions]
    assert all(max(Counter(asked).values()) == 1 for asked in batches)
    for before, after in pairwise(batches):
        assert len(set(before) & set(after)) <= DEFAULT_LIMITS.window_batches
    assert {height for asked in batches for height in asked} == set(
        range(POLICY.batch_length, chain.macro_head.number + 1, POLICY.batch_length)
    )
    nursery.cancel_scope.cancel()


def final_leaves(chain: Chain, height: int) -> set[tuple[int, int]]:
    """Return the transactions up to a macro block that is not the last of its epoch."""
    end = POLICY.election_after(height)
    if height == POLICY.election_at_or_before(height):
        return set()
    with chain.snapshot() as snapshot:
        length = snapshot.history_length(height)
    assert length is not None
    return {(end, leaf) for leaf in range(length)}


@pytest.mark.parametrize("profile", [Profile.LIGHT, Profile.FULL])
async def test_election_blocks_are_not_fetched_twice(
    profile: Profile, generated: Path, chain: Chain, tmp_path: Path, nursery: trio.Nursery
) -> None:
    server = await Server.start(nursery, chain)
    genesis = generated / "genesis.json"
    daemon = Daemon.make(tmp_path / "node", profile, genesis, *server.network.listen_addresses)
    sessions: list[Session] = []
    for height in KILL_AT:
        # The last election block that it gets before it is killed.
        election = POLICY.election_at_or_before(height)
        server.hold_above(RequestProtocol.BLOCK, election)
        async with daemon.running() as process:
            assert await daemon.until_height(election) == election
            process.kill()
        sessions.append(server.take_session())
    server.scripts.clear()
    await finish(daemon)
    sessions.append(server.take_session())

    starts = [session.locator_heights[0] for session in sessions]
    assert starts == [0, *(POLICY.election_at_or_before(height) for height in KILL_AT)]
    asked = [session.heights(RequestProtocol.BLOCK) for session in sessions]
    for start, heights in zip(starts, asked, strict=True):
        assert min(heights) > start
        assert len(set(heights)) == len(heights)
    for before, after in pairwise(asked):
        assert len(set(before) & set(after)) <= IN_FLIGHT
    elections = range(POLICY.epoch_length, BLOCKS + 1, POLICY.epoch_length)
    assert {height for heights in asked for height in heights} == {
        *elections,
        chain.macro_head.number,
    }
    nursery.cancel_scope.cancel()


async def test_a_trusted_election_block_is_not_fetched_twice(
    generated: Path, chain: Chain, tmp_path: Path, nursery: trio.Nursery
) -> None:
    server = await Server.start(nursery, chain)
    genesis = generated / "genesis.json"
    daemon = Daemon.make(tmp_path / "node", Profile.PICO, genesis, *server.network.listen_addresses)
    election, macro = chain.election_head.number, chain.macro_head.number
    assert election < macro
    server.hold_above(RequestProtocol.BLOCK, election)
    async with daemon.running() as process:
        assert await daemon.until_height(election) == election
        await server.bell.until(
            lambda: server.session.heights(RequestProtocol.BLOCK) == [election, macro]
        )
        process.kill()
    server.take_session()
    server.scripts.clear()
    await finish(daemon)
    assert server.take_session().heights(RequestProtocol.BLOCK) == [macro]
    nursery.cancel_scope.cancel()


async def test_a_validity_window_is_not_fetched_twice(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    """The second half of a full node's way: the blocks below the newest macro block."""
    policy = replace(POLICY, validity_window_batches=20)
    generated = generate(tmp_path / "chain", policy, 400)
    with opened(generated) as chain:
        server = await Server.start(nursery, chain)
        daemon = Daemon.make(
            tmp_path / "node",
            Profile.FULL,
            generated / "genesis.json",
            *server.network.listen_addresses,
        )
        newest = chain.macro_head.number
        asked: list[list[Height]] = []
        for height in (newest - 5 * policy.batch_length, newest - 13 * policy.batch_length):
            server.hold_below(RequestProtocol.MISSING_BLOCKS, height)
            async with daemon.running() as process:
                await server.bell.until(partial(has_asked_below, server, height))
                process.kill()
            asked.append(window_of(server))
            server.take_session()
        server.scripts.clear()
        await finish(daemon)
        asked.append(window_of(server))

        # Only what was on its way when the node was killed is asked for again.
        assert [before[-1] for before in asked[:-1]] == [after[0] for after in asked[1:]]
        line = newest - policy.validity_window_blocks
        assert [height for heights in asked for height in heights[:-1]] + asked[-1][-1:] == [
            newest,
            *range(newest - 1, line, -policy.batch_length),
        ]
        # Nor is any macro block: they were there before the window was begun.
        assert server.session.heights(RequestProtocol.BLOCK) == []
        nursery.cancel_scope.cancel()


def window_of(server: Server) -> list[Height]:
    """Return the blocks from which on downwards a node has asked for its window."""
    return server.session.heights(RequestProtocol.MISSING_BLOCKS)


def has_asked_below(server: Server, height: Height) -> bool:
    return any(asked < height for asked in window_of(server))
