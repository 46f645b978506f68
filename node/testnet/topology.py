"""Who dials whom. Each edge is dialled by one side only, so that it is one connection."""

from collections.abc import Sequence
from random import Random
from typing import Final

from node.profiles import Profile
from node.testnet.spec import STATE_PROFILES, NodeSpec, Topology

DIALS: Final = 4
"""Earlier nodes that one dials in a random network: a gossip mesh of 4 to 9 was measured well."""


def dials_of(topology: Topology, count: int, seed: int) -> tuple[tuple[int, ...], ...]:
    """Return for each node the positions of those that it dials, ascending.

    The graph is connected for every topology, and a node only dials earlier ones.
    """
    match topology:
        case Topology.MESH:
            return tuple(tuple(range(node)) for node in range(count))
        case Topology.RING:
            return tuple(_ring(node, count) for node in range(count))
        case Topology.STAR:
            return tuple((0,) if node else () for node in range(count))
        case Topology.RANDOM:
            return tuple(_random(node, seed) for node in range(count))


def neighbours_of(dials: Sequence[Sequence[int]]) -> tuple[frozenset[int], ...]:
    """Return for each node the positions of all that it is connected to, whoever dials."""
    neighbours = [set(targets) for targets in dials]
    for node, targets in enumerate(dials):
        for target in targets:
            neighbours[target].add(node)
    return tuple(frozenset(each) for each in neighbours)


def dials_of_newcomer(nodes: Sequence[NodeSpec], position: int, seed: int) -> tuple[int, ...]:
    """Return the earlier nodes that a node dials which joins later.

    Three of the four keep bodies, if there are so many, and history nodes come first for one that
    needs all of history: whatever it is, it finds what it needs.
    """
    draw = Random(f"{seed}/newcomer/{nodes[position].name}")
    earlier = range(position)
    able = [each for each in earlier if nodes[each].profile in STATE_PROFILES]
    chosen: set[int] = set()
    if nodes[position].profile == Profile.HISTORY:
        whole = [each for each in able if nodes[each].profile == Profile.HISTORY]
        chosen.update(draw.sample(whole, min(DIALS - 1, len(whole))))
    for group, count in ((able, DIALS - 1), (earlier, DIALS)):
        others = [each for each in group if each not in chosen]
        chosen.update(draw.sample(others, min(count - len(chosen), len(others))))
    return tuple(sorted(chosen))


def _ring(node: int, count: int) -> tuple[int, ...]:
    if node == 0:
        return ()
    # The last one closes the ring; with two nodes that edge is there already.
    return (0, node - 1) if node == count - 1 and count > 2 else (node - 1,)


def _random(node: int, seed: int) -> tuple[int, ...]:
    if node == 0:
        return ()
    # The one before it keeps the graph connected whatever the draw.
    others = Random(f"{seed}/topology/{node}").sample(range(node - 1), min(DIALS - 1, node - 1))
    return tuple(sorted({node - 1, *others}))
