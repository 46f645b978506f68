"""Macro sync of whole nodes over real libp2p: to the newest macro block, then live.

Chains are those of the machines' own tests: batches of four blocks, epochs of three batches.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Any, Final

import pytest
import trio
from structlog.testing import capture_logs

from node.blocks.block import Block
from node.errors import Fault
from node.net.libp2p import router
from node.profiles import MacroSyncKind, Profile
from node.sync.live.events import AcceptedAnnouncedBlock
from node.sync.macro import kinds
from node.sync.macro.history import HistorySync
from node.sync.macro.history_limits import DEFAULT_LIMITS
from node.sync.macro.target import Target
from node.sync.peers import PeerList
from node.sync.syncer import Phase
from protocols.ids import RequestProtocol
from protocols.messages.macro_chain import MAX_EPOCHS, Checkpoint, MacroChainResponse
from protocols.status import Refusal, ResponseStatus
from tests.build.blocks import digest
from tests.build.chain import ChainBuilder
from tests.build.election_forgery import FORGERS, ForgedChain, forged_chain
from tests.build.history_peers import history
from tests.build.macro_sync import BATCH, DISTANCES, EPOCH, LONGEST, chain_of
from tests.integration.live_nodes import (
    LONG_WAIT_S,
    Follower,
    LiveNetwork,
    Peer,
    gated,
    never,
)
from tests.integration.macro_peers import (
    changes_leaves,
    forges_quorums,
    leaves_when_asked,
    served,
    serves_forged,
    tells,
    with_a_window,
    with_one_election,
)

pytestmark = pytest.mark.network

PROFILES = [*Profile]
WITH_HISTORY = [each for each in PROFILES if each.traits.macro_sync is MacroSyncKind.HISTORY]
"""Those that end with every block and every transaction from genesis."""
CLAIMANTS = [each for each in PROFILES if each is not Profile.PICO]
"""Those that ask what leads to a peer's newest macro block."""
FETCHED_FIRST = {
    Profile.HISTORY: RequestProtocol.BATCH_SET,
    Profile.FULL: RequestProtocol.BLOCK,
    Profile.LIGHT: RequestProtocol.BLOCK,
    Profile.PICO: RequestProtocol.BLOCK,
}
"""What a node of each profile asks for when it knows what a peer leads to."""

FORGERIES: Final[dict[str, Callable[[ChainBuilder], ForgedChain]]] = {
    "elections": lambda builder: forged_chain(builder, 3),
    "elections and a checkpoint": lambda builder: forged_chain(builder, 3, has_checkpoint=True),
    "own validators": lambda builder: forged_chain(builder, 3, candidates=FORGERS),
}

IMPOSSIBLE_CLAIMS: Final = {
    "too many epochs": MacroChainResponse(
        epochs=tuple(digest(f"epoch {number}") for number in range(MAX_EPOCHS + 1)),
        checkpoint=None,
    ),
    "an election block as checkpoint": MacroChainResponse(
        epochs=(digest("a"),), checkpoint=Checkpoint(2 * EPOCH, digest("b"))
    ),
    "a micro block as checkpoint": MacroChainResponse(
        epochs=(digest("a"),), checkpoint=Checkpoint(EPOCH + 1, digest("b"))
    ),
    "a checkpoint epochs above": MacroChainResponse(
        epochs=(digest("a"),), checkpoint=Checkpoint(3 * EPOCH + BATCH, digest("b"))
    ),
    "a block twice": MacroChainResponse(epochs=(digest("a"), digest("a")), checkpoint=None),
}

PRUNED: Final = "peer_has_pruned"
"""What a node says in its log when a peer does not keep what it asks for."""

SILENCE_S: Final = 2.0
"""Time to answer where a peer is silent."""

each_profile = pytest.mark.parametrize("profile", PROFILES)
each_kind = pytest.mark.parametrize("profile", FETCHED_FIRST)


@pytest.fixture(autouse=True)
def _quick_heartbeats(monkeypatch: pytest.MonkeyPatch) -> None:
    """Peers find into each other's mesh at a heartbeat: at once, not a second later."""
    monkeypatch.setattr(router, "HEARTBEAT_S", 0.05)


async def joining(
    live: LiveNetwork,
    profile: Profile,
    *,
    known: Sequence[Block] = (),
    timeout_s: float = LONG_WAIT_S,
    parts: Mapping[str, Any] = MappingProxyType({}),
) -> Follower:
    """Start a node with a window of two batches ahead and one behind, linked to nobody."""
    return await live.follower(
        profile,
        known=known,
        parts=parts,
        window_ahead_max=2 * BATCH,
        tolerate_past_max=BATCH,
        request_timeout_s=timeout_s,
    )


def with_transactions() -> ChainBuilder:
    """Return three epochs, two batches and two blocks, with transactions."""
    builder = history().fork_from(history().head.hash)
    builder.extend(2)
    return builder


async def has_caught_up(follower: Follower, peer: Peer) -> None:
    """Wait until a node is live behind a peer, and check that it has the peer's chain."""
    chain = peer.builder.chain
    await follower.until(lambda: follower.follows(peer) and follower.height == chain.head.number)
    assert follower.node.chain.head.hash == chain.head.hash
    assert follower.node.chain.macro_head.hash == chain.macro_head.hash
    assert follower.node.chain.election_head.hash == chain.election_head.hash
    await follower.until(lambda: follower.status.phase is Phase.LIVE)


def has_banned(follower: Follower, peer: Peer) -> bool:
    return not follower.network.admits_peer(peer.id) and peer.id not in follower.network.peers


@each_profile
async def test_joins_a_chain_of_epochs_and_is_live(profile: Profile, nursery: trio.Nursery) -> None:
    builder = with_transactions()
    live = LiveNetwork(nursery, builder)
    follower, peer = await joining(live, profile), await live.server(builder)
    await follower.links(peer)
    await has_caught_up(follower, peer)
    assert follower.network.reports == []
    if profile in WITH_HISTORY:
        assert [
            follower.node.chain.block(each.hash, with_body=True) for each in builder.blocks
        ] == (builder.blocks)
    await follower.until(lambda: follower.node._sync.is_established)

    await peer.knows(follower)
    (block,) = builder.extend(1)
    await peer.announce(block)
    await follower.until(lambda: AcceptedAnnouncedBlock(block.hash) in follower.events)
    assert follower.node.chain.head.hash == block.hash
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("distance", DISTANCES.values(), ids=DISTANCES)
@each_kind
async def test_any_distance_ends_at_the_same_macro_head(
    profile: Profile, distance: int, nursery: trio.Nursery
) -> None:
    known = 2 * EPOCH + BATCH
    builder = chain_of(known + distance)
    live = LiveNetwork(nursery, builder)
    follower = await joining(live, profile, known=builder.blocks[:known])
    peer = await live.server(builder)
    assert follower.height == known
    await follower.links(peer)
    await has_caught_up(follower, peer)
    assert follower.network.reports == []
    if distance == 0:
        assert not follower.events
        assert peer.block_requests == 0
        assert peer.requests_of(RequestProtocol.BATCH_SET) == []
    nursery.cancel_scope.cancel()


# Liars.


@pytest.mark.parametrize("forgery", FORGERIES)
async def test_pico_with_a_forged_chain_first_ends_on_the_true_one(
    forgery: str, nursery: trio.Nursery
) -> None:
    builder = chain_of(LONGEST)
    live = LiveNetwork(nursery, builder)
    follower = await joining(live, Profile.PICO)
    liar, honest = await live.server(builder), await live.server(builder)
    forged = FORGERIES[forgery](builder)
    serves_forged(liar, forged)
    await follower.links(liar)
    if forgery == "elections":
        # Nothing but another chain can show that it is a lie.
        await follower.until(lambda: follower.follows(liar))
        assert follower.node.chain.head.hash == forged.blocks[-1].hash
        assert follower.network.reports == []
    else:
        await follower.until(lambda: follower.network.reports)

    await follower.links(honest)
    await has_caught_up(follower, honest)
    await follower.until(lambda: has_banned(follower, liar))
    assert set(follower.network.reports) == {(liar.id, Fault.FALSE_CLAIM)}
    assert follower.node.chain.hash_at(forged.blocks[0].number) != forged.blocks[0].hash
    assert follower.score_of(honest) == 0
    nursery.cancel_scope.cancel()


async def test_pico_with_a_pinned_election_block_trusts_nobody(nursery: trio.Nursery) -> None:
    """Liars come first and have the very chain that a pico without it would take on trust."""
    builder = chain_of(LONGEST)
    live = LiveNetwork(nursery, builder)
    pinned = Target(2 * EPOCH, builder.block_at(2 * EPOCH).hash)
    follower = await joining(live, Profile.PICO, parts={"pinned": pinned})
    liar, honest = await live.server(builder), await live.server(builder)
    serves_forged(liar, FORGERIES["elections"](builder))
    await follower.links(liar)
    await follower.until(lambda: liar.block_requests)
    await follower.links(honest)
    await has_caught_up(follower, honest)
    assert not follower.follows(liar)
    assert follower.node.chain.hash_at(pinned.height) == pinned.hash
    # It is the anchor: nothing from before it was fetched.
    assert follower.node.chain.hash_at(EPOCH) is None
    assert follower.score_of(honest) == 0
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("profile", WITH_HISTORY)
async def test_a_changed_leaf_is_a_ban(profile: Profile, nursery: trio.Nursery) -> None:
    builder = with_transactions()
    live = LiveNetwork(nursery, builder)
    follower = await joining(live, profile)
    liar, honest = await live.server(builder), await live.server(builder)
    changes_leaves(liar)
    await follower.links(liar)
    await follower.until(lambda: has_banned(follower, liar))

    await follower.links(honest)
    await has_caught_up(follower, honest)
    assert set(follower.network.reports) == {(liar.id, Fault.FALSE_CLAIM)}
    assert follower.score_of(honest) == 0
    nursery.cancel_scope.cancel()


async def test_a_changed_leaf_is_not_the_fault_of_others(nursery: trio.Nursery) -> None:
    """All but the leaves comes from an honest peer."""
    builder = with_transactions()
    live = LiveNetwork(nursery, builder)
    follower = await joining(live, Profile.HISTORY)
    liar, honest = await live.server(builder), await live.server(builder)
    changes_leaves(liar)
    busy = Refusal(ResponseStatus.BUSY)
    honest.scripts[RequestProtocol.HISTORY_CHUNK] = tells(busy.encode())
    await follower.links(honest)
    epochs = builder.head.number // EPOCH + 1
    await follower.until(lambda: len(honest.requests_of(RequestProtocol.BATCH_SET)) == epochs)
    await follower.links(liar)
    await follower.until(lambda: has_banned(follower, liar))
    assert liar.requests_of(RequestProtocol.BATCH_SET) == []

    honest.scripts.clear()
    await has_caught_up(follower, honest)
    assert set(follower.network.reports) == {(liar.id, Fault.FALSE_CLAIM)}
    assert follower.score_of(honest) == 0
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("profile", [Profile.LIGHT, Profile.FULL])
async def test_a_forged_quorum_is_a_ban(profile: Profile, nursery: trio.Nursery) -> None:
    builder = chain_of(LONGEST)
    live = LiveNetwork(nursery, builder)
    follower = await joining(live, profile)
    liar, honest = await live.server(builder), await live.server(builder)
    forges_quorums(liar)
    await follower.links(liar)
    await follower.until(lambda: has_banned(follower, liar))
    assert follower.height == 0

    await follower.links(honest)
    await has_caught_up(follower, honest)
    assert follower.network.reports == [(liar.id, Fault.FALSE_CLAIM)]
    assert follower.score_of(honest) == 0
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("claim", IMPOSSIBLE_CLAIMS)
@pytest.mark.parametrize("profile", CLAIMANTS)
async def test_an_impossible_claim(profile: Profile, claim: str, nursery: trio.Nursery) -> None:
    builder = chain_of(LONGEST)
    live = LiveNetwork(nursery, builder)
    follower = await joining(live, profile)
    liar, honest = await live.server(builder), await live.server(builder)
    liar.scripts[RequestProtocol.MACRO_CHAIN] = tells(IMPOSSIBLE_CLAIMS[claim].encode())
    await follower.links(liar)
    await follower.until(lambda: follower.network.reports)
    assert follower.network.reports == [(liar.id, Fault.FALSE_CLAIM)]
    await follower.until(lambda: has_banned(follower, liar))

    await follower.links(honest)
    await has_caught_up(follower, honest)
    assert follower.score_of(honest) == 0
    nursery.cancel_scope.cancel()


# Peers that are of no use.


@each_kind
async def test_silent_peer_is_replaced(
    profile: Profile, monkeypatch: pytest.MonkeyPatch, nursery: trio.Nursery
) -> None:
    builder = chain_of(LONGEST)
    live = LiveNetwork(nursery, builder)
    history_timeout(monkeypatch, SILENCE_S)
    follower = await joining(live, profile, timeout_s=SILENCE_S)
    silent, honest = await live.server(builder), await live.server(builder)
    silent.scripts[FETCHED_FIRST[profile]] = never
    await follower.links(silent)
    await follower.until(lambda: silent.requests_of(FETCHED_FIRST[profile]))
    await follower.links(honest)
    await has_caught_up(follower, honest)
    # One lost answer may be the line's fault.
    assert set(follower.network.reports) <= {(silent.id, Fault.TOO_SLOW)}
    assert not has_banned(follower, silent)
    nursery.cancel_scope.cancel()


@each_kind
async def test_peer_that_leaves_in_the_middle_is_replaced(
    profile: Profile, monkeypatch: pytest.MonkeyPatch, nursery: trio.Nursery
) -> None:
    """At once, and not because a timeout has passed."""
    builder = chain_of(LONGEST)
    live = LiveNetwork(nursery, builder)
    history_timeout(monkeypatch, LONG_WAIT_S)
    follower = await joining(live, profile)
    leaving, honest = await live.server(builder), await live.server(builder)
    gate = trio.Event()
    for protocol in (RequestProtocol.MACRO_CHAIN, RequestProtocol.HEAD):
        honest.scripts[protocol] = gated(served(honest, protocol), gate)
    leaves_when_asked(leaving, FETCHED_FIRST[profile])
    await follower.links(honest, leaving)
    await follower.until(lambda: leaving.requests_of(FETCHED_FIRST[profile]))
    assert follower.height == 0
    gate.set()
    await has_caught_up(follower, honest)
    assert leaving.id not in follower.network.peers
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    "status", [ResponseStatus.PRUNED, ResponseStatus.NOT_FOUND, ResponseStatus.HISTORY_NOT_STORED]
)
@each_kind
async def test_refusing_peer_is_replaced(
    profile: Profile, status: ResponseStatus, nursery: trio.Nursery
) -> None:
    builder = chain_of(LONGEST)
    live = LiveNetwork(nursery, builder)
    follower = await joining(live, profile)
    refusing, honest = await live.server(builder), await live.server(builder)
    refusing.scripts[FETCHED_FIRST[profile]] = tells(Refusal(status).encode())
    await follower.links(refusing)
    await follower.until(lambda: refusing.requests_of(FETCHED_FIRST[profile]))
    await follower.links(honest)
    await has_caught_up(follower, honest)
    assert not has_banned(follower, refusing)
    assert follower.network.reports == []
    nursery.cancel_scope.cancel()


async def test_history_comes_from_whoever_has_not_pruned_it(nursery: trio.Nursery) -> None:
    """A full node says by name what it does not keep; once that is there it is followed at once."""
    builder = with_transactions()
    live = LiveNetwork(nursery, builder)
    follower = await joining(live, Profile.HISTORY)
    full, whole = await live.server(with_a_window(builder)), await live.server(builder)
    with capture_logs() as lines:
        await follower.links(full)
        await follower.until(lambda: full.requests_of(RequestProtocol.BATCH_SET))
        assert follower.height == 0
        await follower.links(whole)
        await has_caught_up(follower, whole)
    refused = [(each["peer"], each["request"]) for each in lines if each["event"] == PRUNED]
    assert set(refused) == {(full.id, "BatchSetRequest")}
    await follower.until(lambda: follower.follows(full))
    assert full.requests_of(RequestProtocol.HISTORY_CHUNK) == []
    assert follower.network.reports == []
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("profile", [Profile.LIGHT, Profile.FULL])
async def test_elections_come_from_whoever_has_them_all(
    profile: Profile, nursery: trio.Nursery
) -> None:
    """A pico that took an election block on trust has none from before."""
    builder = chain_of(LONGEST)
    live = LiveNetwork(nursery, builder)
    follower = await joining(live, profile)
    pico, honest = await live.server(with_one_election(builder)), await live.server(builder)
    await follower.links(pico)
    await follower.until(lambda: pico.id in follower.status.peers[PeerList.OUTDATED])
    await follower.links(honest)
    await has_caught_up(follower, honest)
    await follower.until(lambda: follower.follows(pico))
    assert follower.network.reports == []
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("profile", CLAIMANTS)
async def test_peer_that_knows_no_block_of_ours_is_outdated(
    profile: Profile, nursery: trio.Nursery
) -> None:
    builder = chain_of(LONGEST)
    live = LiveNetwork(nursery, builder)
    follower = await joining(live, profile)
    stranger, honest = await live.server(builder), await live.server(builder)
    refusal = Refusal(ResponseStatus.UNKNOWN_LOCATORS)
    stranger.scripts[RequestProtocol.MACRO_CHAIN] = tells(refusal.encode())
    await follower.links(stranger)
    await follower.until(lambda: stranger.id in follower.status.peers[PeerList.OUTDATED])
    await follower.links(honest)
    await has_caught_up(follower, honest)
    assert stranger.id in follower.status.peers[PeerList.OUTDATED]
    nursery.cancel_scope.cancel()


def history_timeout(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Let history syncs wait so long for an answer."""
    limits = replace(DEFAULT_LIMITS, timeout_s=seconds)
    monkeypatch.setattr(kinds, "HistorySync", partial(HistorySync, limits=limits))
