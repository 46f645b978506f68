"""Clusters of claims: identical, prefix, offset, disjoint, forked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.sync.macro.epoch_clusters import Cluster, EpochClusters
from node.sync.macro.fetcher import Claim
from node.sync.macro.target import Target
from protocols.messages.macro_chain import Checkpoint
from protocols.types import Hash32, Height, PeerId
from tests.build.blocks import digest
from tests.build.keys import SMALL_POLICY
from tests.build.sync import ALICE, BOB, CAROL, DAVE

EPOCH = SMALL_POLICY.epoch_length
MANY = 100


def claim(epochs: str, newest: tuple[Height, str] | None = None, start: Height = 0) -> Claim:
    """Return a claim: a letter for each election block, height and letter of a checkpoint."""
    return Claim(
        start=start,
        epochs=tuple(digest(letter) for letter in epochs),
        checkpoint=None if newest is None else Checkpoint(newest[0], digest(newest[1])),
    )


def clusters_of(claims: Mapping[PeerId, Claim]) -> EpochClusters:
    clusters = EpochClusters(SMALL_POLICY)
    for peer, claimed in claims.items():
        assert clusters.add(peer, claimed)
    return clusters


def path_of(clusters: EpochClusters, above: Height = 0) -> list[tuple[Height, Hash32, str]]:
    """Return heights, hashes and first letters of the peers."""
    return [
        (each.target.height, each.target.hash, "".join(peer[0] for peer in each.peers))
        for each in clusters.path(above, (), MANY)
    ]


@dataclass(frozen=True)
class Case:
    claims: Mapping[PeerId, Claim]
    path: Sequence[tuple[Height, str, str]]
    above: Height = 0


CASES = {
    "nobody": Case({}, []),
    "identical": Case({ALICE: claim("ab"), BOB: claim("ab")}, [(12, "a", "ab"), (24, "b", "ab")]),
    "prefix": Case({ALICE: claim("a"), BOB: claim("ab")}, [(12, "a", "ab"), (24, "b", "b")]),
    "prefix that ends in a checkpoint": Case(
        {ALICE: claim("a", (16, "x")), BOB: claim("ab"), CAROL: claim("ab")},
        [(12, "a", "abc"), (24, "b", "bc")],
    ),
    "offset": Case(
        {ALICE: claim("abc"), BOB: claim("bc", start=12)},
        [(24, "b", "ab"), (36, "c", "ab")],
        above=12,
    ),
    "offset within an epoch": Case(
        {ALICE: claim("ab"), BOB: claim("ab", start=8)}, [(12, "a", "ab"), (24, "b", "ab")], above=8
    ),
    "disjoint": Case(
        {ALICE: claim("ab"), BOB: claim("xy"), CAROL: claim("xy")},
        [(12, "x", "bc"), (24, "y", "bc")],
    ),
    "disjoint and even": Case(
        {ALICE: claim("ab"), BOB: claim("xy")}, [(12, "a", "a"), (24, "b", "a")]
    ),
    "forked": Case(
        {ALICE: claim("abc"), BOB: claim("axy"), CAROL: claim("axy")},
        [(12, "a", "abc"), (24, "x", "bc"), (36, "y", "bc")],
    ),
    "forked and together again": Case(
        {ALICE: claim("abc"), BOB: claim("axc"), CAROL: claim("ax")},
        [(12, "a", "abc"), (24, "x", "bc"), (36, "c", "b")],
    ),
    "checkpoint only": Case({ALICE: claim("", (4, "x"))}, [(4, "x", "a")]),
    "checkpoints of one epoch": Case(
        {ALICE: claim("", (4, "x")), BOB: claim("", (8, "y"))}, [(8, "y", "b")]
    ),
    "most peers have the older checkpoint": Case(
        {ALICE: claim("", (4, "x")), BOB: claim("", (8, "y")), CAROL: claim("", (4, "x"))},
        [(4, "x", "ac")],
    ),
    "the older checkpoint is passed": Case(
        {ALICE: claim("", (4, "x")), BOB: claim("", (8, "y")), CAROL: claim("", (4, "x"))},
        [(8, "y", "b")],
        above=4,
    ),
    "newest checkpoint above elections": Case(
        {ALICE: claim("a", (20, "x")), BOB: claim("a", (20, "x")), DAVE: claim("a", (20, "z"))},
        [(12, "a", "abd"), (20, "x", "ab")],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_path(name: str) -> None:
    case = CASES[name]
    wanted = [(height, digest(letter), peers) for height, letter, peers in case.path]
    assert path_of(clusters_of(case.claims), case.above) == wanted


def test_path_has_a_limit() -> None:
    clusters = clusters_of({ALICE: claim("abcdef")})
    assert len(clusters.path(0, (), 3)) == 3


def test_what_is_worked_on_goes_on_until_nobody_claims_it() -> None:
    clusters = clusters_of({ALICE: claim("a"), BOB: claim("x"), CAROL: claim("x")})
    current = (Target(12, digest("a")),)

    assert clusters.path(0, current, MANY) == (Cluster(current[0], (ALICE,)),)
    clusters.remove(ALICE)
    other = Target(12, digest("x"))
    assert clusters.path(0, current, MANY) == (Cluster(other, (BOB, CAROL)),)


def test_those_who_failed_do_not_keep_the_others_from_theirs() -> None:
    clusters = clusters_of({ALICE: claim("a"), BOB: claim("x"), CAROL: claim("x")})
    one, other = Target(12, digest("a")), Target(12, digest("x"))

    assert clusters.path(0, (other,), MANY, failed={BOB}) == (Cluster(other, (BOB, CAROL)),)
    assert clusters.path(0, (other,), MANY, failed={BOB, CAROL}) == (Cluster(one, (ALICE,)),)
    everybody = {ALICE, BOB, CAROL}
    assert clusters.path(0, (one,), MANY, failed=everybody) == (Cluster(one, (ALICE,)),)


@pytest.mark.parametrize(
    "impossible",
    [
        claim("", (12, "x")),
        claim("", (5, "x")),
        claim("", (16, "x")),
        claim("a", (8, "x")),
        claim("a", (28, "x")),
        claim("", (4, "x"), start=4),
        claim("", (0, "x")),
    ],
)
def test_impossible_checkpoint_is_refused(impossible: Claim) -> None:
    clusters = EpochClusters(SMALL_POLICY)
    assert not clusters.add(ALICE, impossible)
    assert ALICE not in clusters


def test_highest_is_the_best_claim() -> None:
    clusters = clusters_of({ALICE: claim("ab"), BOB: claim("a", (16, "x")), CAROL: claim("")})
    assert clusters.highest == 24
    clusters.remove(ALICE)
    assert clusters.highest == 16
    clusters.remove(BOB)
    assert clusters.highest is None


def test_claims_are_held_against_our_chain() -> None:
    ours = {12: digest("a"), 16: digest("x"), 20: digest("y")}
    clusters = clusters_of(
        {
            ALICE: claim("a", (20, "y")),
            BOB: claim("a", (20, "other")),
            CAROL: claim("ab"),
            DAVE: claim("z"),
        }
    )
    assert clusters.compare(8, ours.get) == {}
    assert clusters.compare(16, ours.get) == {DAVE: False}
    clusters.remove(DAVE)
    assert clusters.compare(20, ours.get) == {ALICE: True, BOB: False}


def test_a_claim_of_nothing_is_reached() -> None:
    assert clusters_of({ALICE: claim("")}).compare(0, dict[Height, Hash32]().get) == {ALICE: True}


LETTERS = st.text("ab", max_size=4)
CLAIMS = st.builds(
    lambda epochs, newest, start: claim(
        epochs[start // EPOCH :],
        None if newest is None else (EPOCH * len(epochs) + 4 * newest, "n"),
        min(start, EPOCH * len(epochs)),
    ),
    LETTERS,
    st.none() | st.integers(1, 2),
    st.sampled_from([0, 12]),
)


@given(st.dictionaries(st.sampled_from([ALICE, BOB, CAROL, DAVE]), CLAIMS), st.sampled_from([12]))
def test_path_is_what_its_peers_agree_on(claims: dict[PeerId, Claim], above: Height) -> None:
    """Whatever is claimed: ascending, each peer of a cluster claims all of the path up to it."""
    path = clusters_of(claims).path(above, (), MANY)
    heights = [each.target.height for each in path]
    assert heights == sorted(set(heights))
    assert all(height > above for height in heights)
    allowed = set(claims)
    for index, cluster in enumerate(path):
        assert cluster.peers
        assert set(cluster.peers) <= allowed
        allowed = set(cluster.peers)
        is_last = index == len(path) - 1
        assert is_last or SMALL_POLICY.is_election(cluster.target.height)
        for peer in cluster.peers:
            claimed = claims[peer]
            index_of = SMALL_POLICY.epoch_at(cluster.target.height) - SMALL_POLICY.epoch_at(
                claimed.start + 1
            )
            ids = claimed.epochs[index_of : index_of + 1]
            newest = claimed.checkpoint
            assert ids == (cluster.target.hash,) or (
                newest is not None and newest.hash == cluster.target.hash
            )
