"""Joining and leaving with one or two connections."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.net.libp2p.peers import Join, PeerTable
from protocols.messages.handshake import Hello
from protocols.types import Hash32, PeerId, Service

LOW, HIGH = PeerId("a"), PeerId("b")


@dataclass(frozen=True, eq=False)
class Link:
    peer: PeerId
    is_inbound: bool


def hello(number: int = 0) -> Hello:
    return Hello(
        network=1,
        genesis=Hash32(bytes(32)),
        version=1,
        services=Service.HEADERS,
        head_number=number,
        head_hash=Hash32(bytes(32)),
        agent="",
    )


def test_one_connection() -> None:
    table, link = PeerTable[Link](LOW), Link(HIGH, is_inbound=True)
    assert table.join(link, hello()) == Join(is_new=True, superfluous=None)
    joined = table.get(HIGH)
    assert joined is not None
    assert (joined.active, joined.links, len(table), table.inbound()) == (link, (link,), 1, 1)
    assert table.leave(link)
    assert not table.leave(link)
    assert table.get(HIGH) is None


@pytest.mark.parametrize(("own", "peer"), [(LOW, HIGH), (HIGH, LOW)])
@pytest.mark.parametrize("inbound_first", [False, True])
def test_the_dial_of_the_lower_id_is_kept(own: PeerId, peer: PeerId, inbound_first: bool) -> None:
    table = PeerTable[Link](own)
    links = [Link(peer, is_inbound=inbound_first), Link(peer, is_inbound=not inbound_first)]
    table.join(links[0], hello())
    change = table.join(links[1], hello())
    kept = next(link for link in links if link.is_inbound == (peer < own))
    other = next(link for link in links if link is not kept)
    assert change == Join(is_new=False, superfluous=other)
    joined = table.get(peer)
    assert joined is not None
    assert joined.active is kept
    assert not table.leave(other)
    assert table.leave(kept)


@pytest.mark.parametrize("is_inbound", [False, True])
def test_of_two_in_one_direction_the_newer_is_kept(is_inbound: bool) -> None:
    table = PeerTable[Link](LOW)
    older, newer = Link(HIGH, is_inbound), Link(HIGH, is_inbound)
    table.join(older, hello(1))
    assert table.join(newer, hello(2)) == Join(is_new=False, superfluous=older)
    joined = table.get(HIGH)
    assert joined is not None
    assert (joined.active, joined.hello) == (newer, hello(2))


def test_spare_takes_over_when_the_active_one_ends() -> None:
    table = PeerTable[Link](LOW)
    older, newer = Link(HIGH, is_inbound=True), Link(HIGH, is_inbound=True)
    table.join(older, hello())
    table.join(newer, hello())
    assert not table.leave(newer)
    joined = table.get(HIGH)
    assert joined is not None
    assert joined.links == (older,)
    assert table.leave(older)


def test_remove_returns_all_connections() -> None:
    table = PeerTable[Link](LOW)
    older, newer = Link(HIGH, is_inbound=True), Link(HIGH, is_inbound=True)
    table.join(older, hello())
    table.join(newer, hello())
    assert set(table.remove(HIGH)) == {older, newer}
    assert table.remove(HIGH) == ()
    assert not table.leave(newer)
    assert not list(table)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=30))
def test_joins_and_leaves_alternate(steps: list[tuple[bool, bool]]) -> None:
    """Whatever happens, a peer joins once before it leaves once."""
    table, links, is_there = PeerTable[Link](LOW), list[Link](), False
    for joins, flag in steps:
        if joins:
            links.append(Link(HIGH, is_inbound=flag))
            assert table.join(links[-1], hello()).is_new == (not is_there)
            is_there = True
        elif links:
            has_left = table.leave(links.pop(0 if flag else -1))
            assert has_left == (not links)
            is_there = bool(links)
        assert (table.get(HIGH) is not None) == is_there
