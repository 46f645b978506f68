"""Who dials whom."""

from hypothesis import given
from hypothesis import strategies as st

from node.testnet.spec import Topology
from node.testnet.topology import DIALS, dials_of, neighbours_of

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


def _sets(*neighbours: set[int]) -> tuple[frozenset[int], ...]:
    return tuple(frozenset(each) for each in neighbours)
