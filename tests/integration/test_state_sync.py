"""Full nodes that fetch their state over real libp2p: from liars, leavers, and while it moves.

Batches have four blocks, epochs three batches; states of four batches can be proven.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, Final

import pytest
import trio

from node.accounts import trie
from node.errors import Fault
from node.net.libp2p import router
from node.profiles import Profile
from node.services import state_session, status
from node.storage.disk import DiskStore
from node.storage.memory import MemoryStore
from node.storage.store import Store, Table
from node.sync.state import coverage as stored_coverage
from node.sync.state.coverage import Coverage, Span
from node.sync.state.state_limits import DEFAULT_LIMITS, StateLimits
from node.sync.state.strategy import SyncStrategy
from node.sync.syncer import Phase
from protocols.ids import RequestProtocol
from protocols.status import Refusal, ResponseStatus
from protocols.types import Address
from tests.build.blocks import transaction
from tests.build.chain import ChainBuilder
from tests.build.keys import SMALL_POLICY, genesis
from tests.build.state_sync import syncing_chain
from tests.integration.live_nodes import LONG_WAIT_S, Follower, LiveNetwork, Peer, never
from tests.integration.macro_peers import tells
from tests.integration.state_peers import (
    LIES,
    OF_STATE,
    Counter,
    Lie,
    Turnstile,
    answers_slowly,
    holds_back,
    is_busy_until,
    tells_lies,
)

pytestmark = pytest.mark.network

BATCH: Final = SMALL_POLICY.batch_length
ACCOUNTS: Final = 1200
HEIGHT: Final = 6 * BATCH + 2
"""Of the chain when a node joins: further than peers keep blocks, two above a macro block."""

LIMITS: Final = replace(
    DEFAULT_LIMITS, range_leaves=24, ranges_per_peer=2, held_ranges=8, timeout_s=LONG_WAIT_S
)
"""Fifty answers make a state, and nothing depends on how quick the machine is."""

PRUNED: Final = Refusal(ResponseStatus.PRUNED).encode()

SILENCE_S: Final = 1.0
"""Time to answer where a peer is silent."""


@pytest.fixture(autouse=True)
def _quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look for peers, news and work at once, not half a second later."""
    monkeypatch.setattr(router, "HEARTBEAT_S", 0.05)
    monkeypatch.setattr(state_session, "PEER_LOOK_S", 0.02)
    monkeypatch.setattr(status, "LOOK_INTERVAL_S", 0.02)


@cache
def _grown(accounts: int) -> ChainBuilder:
    draw = Random(accounts)
    more = {Address(draw.randbytes(20)): 1000 for _ in range(accounts)}
    plain = genesis(policy=SMALL_POLICY)
    builder = ChainBuilder(replace(plain, accounts={**plain.accounts, **more}))
    grow(builder, HEIGHT)
    return builder


def busy_chain(accounts: int = ACCOUNTS) -> ChainBuilder:
    """Return a chain of many accounts, some of which each block changes."""
    grown = _grown(accounts)
    return grown.fork_from(grown.head.hash)


def grow(builder: ChainBuilder, blocks: int) -> list[Any]:
    """Add blocks that change accounts."""
    made = []
    for _ in range(blocks):
        height = builder.next_height
        if SMALL_POLICY.is_macro(height):
            made.append(builder.macro())
            continue
        spent = [
            transaction(nonce=height, sender=each, recipient=height % 7, validity_start=height)
            for each in range(2)
        ]
        made.append(builder.micro(spent))
    return made


async def joining(
    live: LiveNetwork,
    *,
    limits: StateLimits = LIMITS,
    store: Store | None = None,
    strategy: SyncStrategy = SyncStrategy.DYNAMIC,
) -> Follower:
    """Start a Full without any account, linked to nobody. Each macro block is a pivot."""
    store = store or MemoryStore()
    syncing_chain(live.builder.genesis, store)
    parts: Mapping[str, Any] = {
        "state_limits": limits,
        "pivot_interval": BATCH,
        "strategy": strategy,
        "store": store,
    }
    return await live.follower(
        Profile.FULL,
        parts=parts,
        window_ahead_max=2 * BATCH,
        tolerate_past_max=BATCH,
        request_timeout_s=LONG_WAIT_S,
    )


async def moves_on(follower: Follower, peer: Peer) -> None:
    """Add a batch while the state is fetched, and wait until it is the target."""
    before = pivots(follower)
    for block in grow(peer.builder, BATCH):
        await peer.announce(block)
    await follower.until(lambda: pivots(follower) > before)


async def has_the_state(follower: Follower, *peers: Peer) -> None:
    """Wait until a node is live with all accounts of its peers' chain, and none of them blamed."""
    chain = peers[0].builder.chain
    await follower.until(
        lambda: follower.node.chain.has_state and follower.height == chain.head.number
    )
    await follower.until(lambda: follower.status.phase is Phase.LIVE)
    assert follower.node.chain.head.hash == chain.head.hash
    ours, theirs = follower.node.chain._store, chain._store
    with ours.read() as mine, theirs.read() as expected:
        assert trie.root(mine) == chain.head.state_root
        for table in (Table.ACCOUNTS, Table.BRANCHES):
            assert dict(mine.scan(table)) == dict(expected.scan(table))
    for peer in peers:
        assert follower.score_of(peer) == 0


async def executes_blocks(follower: Follower, *peers: Peer) -> None:
    """Check that a node executes what comes next."""
    await peers[0].knows(follower)
    for block in grow(peers[0].builder, 2):
        await peers[0].announce(block)
    await has_the_state(follower, *peers)


async def comes_to_ask(
    follower: Follower,
    protocol: RequestProtocol,
    peers: Sequence[Peer],
    happened: Callable[[], object],
) -> None:
    """Link peers, and let it come to questions of one kind until something has happened.

    Changes are asked for when the target moves before all accounts are there, and nodes of the trie
    when nobody has the changes any more.
    """
    gate = trio.Event()
    is_after_a_pivot = protocol in {RequestProtocol.TRIE_DIFFS, RequestProtocol.SUBTREES}
    for peer in peers:
        if is_after_a_pivot:
            holds_back(peer, RequestProtocol.STATE_RANGE, gate)
        if protocol is RequestProtocol.SUBTREES:
            peer.scripts[RequestProtocol.TRIE_DIFFS] = tells(PRUNED)
    await follower.links(*peers)
    if is_after_a_pivot:
        await peers[-1].knows(follower)
        await follower.until(lambda: state_of(follower).get("state") == "running")
        await moves_on(follower, peers[-1])
    await follower.until(happened)
    gate.set()


def state_of(follower: Follower) -> dict[str, Any]:
    """Return how far a state sync is; empty while none is under way."""
    return follower.node.status()["state_sync"] or {}


def pivots(follower: Follower) -> int:
    return int(state_of(follower).get("pivots", -1))


def coverage_of(follower: Follower) -> Coverage:
    with follower.node.chain._store.read() as reader:
        return stored_coverage.load(reader)


def blamed(follower: Follower) -> set[Any]:
    """Return who was reported, for what."""
    return set(follower.network.reports)


async def test_joins_a_busy_chain_and_executes(nursery: trio.Nursery) -> None:
    builder = busy_chain()
    live = LiveNetwork(nursery, builder)
    follower = await joining(live)
    peers = [await live.server(builder) for _ in range(3)]
    await follower.links(*peers)
    await has_the_state(follower, *peers)
    assert all(peer.requests_of(RequestProtocol.STATE_RANGE) for peer in peers)
    await executes_blocks(follower, *peers)
    assert follower.network.reports == []
    nursery.cancel_scope.cancel()


# Liars.


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
async def test_a_liar_among_the_serving_is_found_out(lie: Lie, nursery: trio.Nursery) -> None:
    """Until it has lied the others are busy, so that it comes to that."""
    builder = busy_chain()
    live = LiveNetwork(nursery, builder)
    follower = await joining(live)
    liar, *honest = peers = [await live.server(builder) for _ in range(3)]
    tells_lies(liar, lie)
    for peer in honest:
        is_busy_until(peer, lie.protocol, lambda: follower.network.reports)
    await comes_to_ask(follower, lie.protocol, peers, lambda: follower.network.reports)
    await has_the_state(follower, *honest)
    assert blamed(follower) == {(liar.id, lie.fault)}
    assert not follower.network.admits_peer(liar.id) or follower.score_of(liar) > 0
    nursery.cancel_scope.cancel()


async def test_who_lies_again_is_banned(nursery: trio.Nursery) -> None:
    builder = busy_chain()
    live = LiveNetwork(nursery, builder)
    follower = await joining(live)
    liar, honest = await live.server(builder), await live.server(builder)
    tells_lies(liar, LIES["a changed account"])
    await follower.links(liar)
    await follower.until(lambda: not follower.network.admits_peer(liar.id))
    await follower.until(lambda: liar.id not in follower.network.peers)

    await follower.links(honest)
    await has_the_state(follower, honest)
    assert {peer for peer, _ in blamed(follower)} == {liar.id}
    nursery.cancel_scope.cancel()


# Peers that are of little use.


@pytest.mark.parametrize("protocol", OF_STATE)
async def test_who_is_silent_is_passed_over(
    protocol: RequestProtocol, nursery: trio.Nursery
) -> None:
    builder = busy_chain()
    live = LiveNetwork(nursery, builder)
    follower = await joining(live, limits=replace(LIMITS, timeout_s=SILENCE_S))
    silent, *honest = peers = [await live.server(builder) for _ in range(3)]
    silent.scripts[protocol] = never
    for peer in honest:
        is_busy_until(peer, protocol, lambda: silent.requests_of(protocol))
    await comes_to_ask(follower, protocol, peers, lambda: silent.requests_of(protocol))
    await has_the_state(follower, *honest)
    # One lost answer may be the line's fault.
    assert blamed(follower) <= {(silent.id, Fault.TOO_SLOW)}
    assert follower.network.admits_peer(silent.id)
    nursery.cancel_scope.cancel()


async def test_who_is_slow_is_asked_less(nursery: trio.Nursery) -> None:
    builder = busy_chain()
    live = LiveNetwork(nursery, builder)
    follower = await joining(live)
    slow, quick = await live.server(builder), await live.server(builder)
    answers_slowly(slow, RequestProtocol.STATE_RANGE, quick)
    await follower.links(slow, quick)
    await has_the_state(follower, slow, quick)
    of_slow, of_quick = (
        len(each.requests_of(RequestProtocol.STATE_RANGE)) for each in (slow, quick)
    )
    assert 0 < of_slow < of_quick
    assert follower.network.reports == []
    nursery.cancel_scope.cancel()


async def test_who_leaves_in_the_middle_is_replaced_at_once(nursery: trio.Nursery) -> None:
    builder = busy_chain()
    live = LiveNetwork(nursery, builder)
    follower = await joining(live)
    leaver, *honest = peers = [await live.server(builder) for _ in range(3)]
    turnstile = Turnstile()
    for peer in peers:
        turnstile.put_before(peer, RequestProtocol.STATE_RANGE)
    await follower.links(*peers)
    turnstile.let_pass(9)
    await follower.until(lambda: 0.1 < state_of(follower).get("coverage", 0) < 1)
    await follower.until(lambda: leaver.requests_of(RequestProtocol.STATE_RANGE))
    leaver.node.scope.cancel()
    await follower.until(lambda: leaver.id not in follower.network.peers)
    turnstile.open()
    await has_the_state(follower, *honest)
    assert follower.network.reports == []
    nursery.cancel_scope.cancel()


# A target that moves.


async def test_the_target_moves_ten_times_while_one_lies_and_one_leaves(
    nursery: trio.Nursery,
) -> None:
    builder = busy_chain()
    live = LiveNetwork(nursery, builder)
    follower = await joining(live)
    liar, leaver, *honest = peers = [await live.server(builder) for _ in range(4)]
    tells_lies(liar, LIES["a changed account"])
    counter, turnstile = Counter(leaver, *honest), Turnstile()
    for peer in peers:
        turnstile.put_before(peer, RequestProtocol.STATE_RANGE)
    await follower.links(*peers)
    for peer in honest:
        await peer.knows(follower)
    await follower.until(lambda: state_of(follower).get("state") == "running")

    covered = Coverage()
    for pivot in range(10):
        turnstile.let_pass(3)
        await moves_on(follower, honest[0])
        before, covered = covered, coverage_of(follower)
        assert all(span in list(covered) or _holds(covered, span) for span in before)
        if pivot == 5:
            leaver.node.scope.cancel()
    assert pivots(follower) >= 10
    assert state_of(follower)["restarts"] == 0
    assert 0.2 < state_of(follower)["coverage"] < 1
    turnstile.open()
    await has_the_state(follower, *honest)
    assert blamed(follower) == {(liar.id, Fault.INVALID_PROOF)}
    # Next to nothing of what had come was fetched again: what the leaver was about to send.
    assert counter.accounts < 1.05 * len(builder.genesis.accounts)
    await executes_blocks(follower, *honest)
    nursery.cancel_scope.cancel()


def _holds(covered: Coverage, span: Span) -> bool:
    return any(start <= span[0] and span[1] <= end for start, end in covered)


async def test_a_static_sync_ends_where_it_began_and_follows_from_there(
    nursery: trio.Nursery,
) -> None:
    builder = busy_chain()
    live = LiveNetwork(nursery, builder)
    follower = await joining(live, strategy=SyncStrategy.STATIC)
    peers = [await live.server(builder) for _ in range(2)]
    turnstile = Turnstile()
    for peer in peers:
        turnstile.put_before(peer, RequestProtocol.STATE_RANGE)
    await follower.links(*peers)
    await follower.until(lambda: state_of(follower).get("state") == "running")
    target = follower.height
    for block in grow(builder, BATCH):
        await peers[0].announce(block)
    turnstile.let_pass(10)
    await follower.until(lambda: state_of(follower).get("coverage", 0) > 0)
    assert (follower.height, pivots(follower)) == (target, 0)
    turnstile.open()
    await has_the_state(follower, *peers)
    nursery.cancel_scope.cancel()


# Ending and beginning again.


async def test_a_node_that_ends_in_the_middle_fetches_almost_nothing_again(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    accounts = 4000
    builder = busy_chain(accounts)
    live = LiveNetwork(nursery, builder)
    peers = [await live.server(builder) for _ in range(2)]
    counter, turnstile = Counter(*peers), Turnstile()
    for peer in peers:
        turnstile.put_before(peer, RequestProtocol.STATE_RANGE)
    covered = Coverage()
    for answers in (80, 1000):
        turnstile.let_pass(answers)
        store = DiskStore(tmp_path)
        async with trio.open_nursery() as life:
            node = LiveNetwork(life, builder, live.bell, count=100)
            follower = await joining(node, store=store)
            before, covered = covered, coverage_of(follower)
            await follower.links(*peers)
            if answers < 1000:
                await follower.until(lambda: turnstile.is_used_up)
            else:
                await has_the_state(follower, *peers)
            life.cancel_scope.cancel()
        store.close()
        assert all(_holds(covered, span) for span in before)
    assert accounts <= counter.accounts < 1.05 * accounts
    nursery.cancel_scope.cancel()
