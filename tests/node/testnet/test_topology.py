"""Who dials whom."""

from hypothesis import given
from hypothesis import strategies as st

from node.testnet.spec import PROFILES, STATE_PROFILES, NodeSpec, Topology, groups_of, nodes_of
from node.testnet.topology import DIALS, dials_of, dials_of_newcomer, neighbours_of

counts = st.integers(1, 60)


@given(st.sampled_from(Topology), counts, st.integers(0, 1000))
def test_every_network_is_connected_and_dials_earlier_nodes_once(
    topology: Topology, count: int, seed: int
) -> None:
    dials = dials_of(topology, count, seed)

    reached = {0}
    for node, targets in enumerate(dials):
        assert len(set(targets)) == len(targets)
        assert all(target < node for target in targets)
        assert node == 0 or reached & set(targets)
        reached.add(node)
    assert len(dials) == count


@given(counts, st.integers(0, 1000))
def test_a_random_network_is_the_same_for_a_seed(count: int, seed: int) -> None:
    assert dials_of(Topology.RANDOM, count, seed) == dials_of(Topology.RANDOM, count, seed)


def test_neighbours() -> None:
    assert dials_of(Topology.RING, 4, 0) == ((), (0,), (1,), (0, 2))
    assert neighbours_of(dials_of(Topology.RING, 4, 0)) == _sets({1, 3}, {0, 2}, {1, 3}, {0, 2})
    assert neighbours_of(dials_of(Topology.STAR, 4, 0)) == _sets({1, 2, 3}, {0}, {0}, {0})
    assert neighbours_of(dials_of(Topology.MESH, 1, 0)) == _sets(set())
    random = neighbours_of(dials_of(Topology.RANDOM, 20, 7))
    assert min(len(each) for each in random) >= DIALS


@given(st.data(), st.integers(0, 1000))
def test_whoever_joins_later_finds_what_it_needs(data: st.DataObject, seed: int) -> None:
    counts = {profile: data.draw(st.integers(0, 5)) for profile in PROFILES}
    nodes = nodes_of(groups_of({**counts, "full": counts["full"] + 1}), None)
    joining = data.draw(st.sampled_from(PROFILES))
    late = NodeSpec(name=f"{joining}-9", profile=joining, is_validator=False, start_at=100)

    dialled = dials_of_newcomer((*nodes, late), len(nodes), seed)

    assert len(set(dialled)) == len(dialled) == min(DIALS, len(nodes))
    profiles = [nodes[each].profile for each in dialled]
    able = sum(node.profile in STATE_PROFILES for node in nodes)
    assert sum(each in STATE_PROFILES for each in profiles) >= min(DIALS - 1, able)
    if joining == "history":
        # Nobody else can give it what it is for.
        assert profiles.count("history") >= min(DIALS - 1, counts["history"])


def test_whoever_has_all_history_knows_another() -> None:
    """After a long sleep it gets what it has missed from nobody else."""
    nodes = nodes_of(groups_of({"history": 4, "full": 9, "light": 3, "pico": 2}), None)
    for seed in range(20):
        neighbours = neighbours_of(dials_of(Topology.RANDOM, len(nodes), seed))
        for position, node in enumerate(nodes):
            if node.profile == "history":
                assert any(nodes[each].profile == "history" for each in neighbours[position])


def _sets(*neighbours: set[int]) -> tuple[frozenset[int], ...]:
    return tuple(frozenset(each) for each in neighbours)
