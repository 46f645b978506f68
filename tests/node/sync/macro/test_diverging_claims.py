"""Peers that agree, know less, joined later or tell of other chains: all end on the true one."""

from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from node.chain.retention import Retention
from node.errors import Fault
from node.profiles import MacroSyncKind
from node.sync.peers import PeerList
from protocols.types import Height, PeerId
from tests.build.chain import ChainBuilder
from tests.build.macro_sync import (
    BATCH,
    EPOCH,
    FULL,
    LIGHT,
    Forger,
    chain_of,
    changed,
    serve_round,
    serve_until_quiet,
)
from tests.build.sync import ALICE, BOB, CAROL, DAVE, SyncHarness, short_batches

KINDS = (MacroSyncKind.HISTORY, MacroSyncKind.STATE, MacroSyncKind.LIGHT)
TOP = 4 * EPOCH + BATCH
SECONDS = 40.0
"""Four timeouts."""


@dataclass(frozen=True)
class Case:
    """Who is there."""

    heights: Mapping[PeerId, Height]
    """Honest peers, and how high they are."""
    lies: Mapping[PeerId, int]
    """Liars, and the first epoch of which they have another election block."""
    later: frozenset[PeerId] = frozenset()
    """Those that join when a part has been fetched."""


CASES = {
    "identical": Case({ALICE: TOP, BOB: TOP, CAROL: TOP}, {}),
    "prefix": Case({ALICE: 2 * EPOCH, BOB: 3 * EPOCH + BATCH, CAROL: TOP}, {}),
    "offset": Case({ALICE: 2 * EPOCH, BOB: TOP}, {}, later=frozenset({BOB})),
    "offset by a checkpoint": Case({ALICE: BATCH, BOB: TOP}, {}, later=frozenset({BOB})),
    "disjoint": Case({BOB: TOP}, {ALICE: 1}),
    "disjoint, and more of them": Case({CAROL: TOP}, {ALICE: 1, BOB: 1, DAVE: 1}),
    "forked": Case({CAROL: TOP, DAVE: TOP}, {ALICE: 3}),
    "forked, and more of them": Case({DAVE: TOP}, {ALICE: 3, BOB: 3, CAROL: 3}),
    "forked at the newest checkpoint": Case({BOB: TOP}, {ALICE: 5, CAROL: 5}),
    "forked more than once": Case({DAVE: TOP}, {ALICE: 2, BOB: 3, CAROL: 4}),
}


def joining(kind: MacroSyncKind) -> SyncHarness:
    """Return a node with nothing but genesis."""
    return SyncHarness(
        short_batches(TOP),
        config=LIGHT if kind is MacroSyncKind.LIGHT else FULL,
        kind=kind,
        retention=Retention.WINDOW if kind is MacroSyncKind.STATE else Retention.ALL,
    )


def liar(peer: PeerId, first: int) -> Forger:
    """Return a peer whose macro blocks are others from an epoch on."""
    blocks = []
    parent = None
    for height in (*range(EPOCH, TOP, EPOCH), TOP):
        block = chain_of(TOP).block_at(height)
        if height > (first - 1) * EPOCH:
            fields: dict[str, object] = {} if parent is None else {"parent_election": parent}
            block = changed(block, extra_data=peer.encode(), **fields)
            parent = block.hash
        blocks.append(block)
    return Forger(peer, blocks)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", CASES)
def test_all_end_on_the_true_chain(name: str, kind: MacroSyncKind) -> None:
    case = CASES[name]
    harness = joining(kind)
    servers: dict[PeerId, ChainBuilder | Forger] = {
        **{peer: liar(peer, first) for peer, first in case.lies.items()},
        **{peer: chain_of(height) for peer, height in case.heights.items()},
    }
    early = {peer: server for peer, server in servers.items() if peer not in case.later}
    harness.join(*sorted(early))
    if case.later:
        while harness.chain.macro_head.number == 0:
            assert serve_round(harness, early)
        harness.join(*case.later)

    serve_until_quiet(harness, servers, seconds=SECONDS)

    assert harness.chain.macro_head == chain_of(TOP).chain.macro_head
    assert {peer for peer, _ in harness.reports} == case.lies.keys()
    assert {fault for _, fault in harness.reports} <= {Fault.FALSE_CLAIM, Fault.TOO_SLOW}
    for peer, height in case.heights.items():
        near = height >= TOP - harness.config.tolerate_past_max
        assert harness.list_of(peer) is (PeerList.LIVE if near else PeerList.OUTDATED), peer
    assert not [peer for peer in case.lies if harness.list_of(peer) is PeerList.LIVE]
