"""Who is thrown out of the buffer when it is full."""

from dataclasses import replace

import pytest

from node.blocks.block import Block
from node.blocks.justification import ProducerSignature
from node.net.network import MessageId
from node.sync.live.block_buffer import BlockBuffer, Overflow, SourcedBlock
from node.sync.live.config import QueueConfig
from protocols.types import PeerId
from tests.build.blocks import digest, micro_header
from tests.build.sync import ALICE, BOB, CAROL

CONFIG = QueueConfig(include_body=False, buffer_max=4, copies_per_block=2, messages_per_block=3)


def make(number: int, peer: PeerId, name: str = "", *, signature: int = 0) -> SourcedBlock:
    """Return an announced block; blocks of one name and number are the same."""
    header = micro_header(number=number, parent_hash=digest(f"{name}{number - 1}"))
    justification = ProducerSignature(signature.to_bytes(64, "big"))
    message = MessageId(f"{peer} {name} {number} {signature}".encode())
    return SourcedBlock(block=Block(header, justification, None), peer=peer, headers=(message,))


def requested(copy: SourcedBlock) -> SourcedBlock:
    return replace(copy, headers=())


def test_furthest_block_of_the_peer_with_the_most_goes() -> None:
    buffer = BlockBuffer(CONFIG)
    alices = [make(number, ALICE, "a") for number in (2, 9, 4)]
    for copy in [*alices, make(50, BOB, "b")]:
        assert buffer.add(copy, head=0) == Overflow(())

    overflow = buffer.add(make(60, CAROL, "c"), head=0)

    assert overflow == Overflow(alices[1].messages, (alices[1].block.hash,))
    assert len(buffer) == 4


def test_furthest_counts_below_the_head_too() -> None:
    buffer = BlockBuffer(CONFIG)
    copies = [make(number, ALICE, f"{number}") for number in (10, 101, 102, 103)]
    for copy in copies:
        buffer.add(copy, head=100)

    assert buffer.add(make(104, ALICE, "x"), head=100).blocks == (copies[0].block.hash,)


def test_bytes_are_bounded_too() -> None:
    size = make(2, ALICE).size_bytes
    buffer = BlockBuffer(replace(CONFIG, buffer_max_bytes=2 * size))
    for number in (2, 3, 4):
        buffer.add(make(number, ALICE, "a"), head=0)

    assert len(buffer) == 2
    assert buffer.size_bytes <= 2 * size


def test_eviction_takes_only_the_copy_of_its_peer() -> None:
    """A peer cannot have somebody else's block thrown out by adding a copy of it."""
    buffer = BlockBuffer(CONFIG)
    honest, forged = make(9, ALICE, "a"), make(9, BOB, "a", signature=1)
    for copy in (honest, forged, make(2, BOB, "b"), make(3, BOB, "c")):
        buffer.add(copy, head=0)

    overflow = buffer.add(make(4, CAROL, "d"), head=0)

    assert overflow == Overflow(forged.messages)
    assert buffer.first_copy(honest.block.hash) == honest.block


def test_equal_copies_share_an_entry_up_to_a_number_of_messages() -> None:
    buffer = BlockBuffer(CONFIG)
    for peer in (ALICE, BOB, CAROL):
        assert buffer.add(make(2, peer, "a"), head=0) == Overflow(())

    fourth = make(2, PeerId("erin"), "a")

    assert buffer.add(fourth, head=0) == Overflow(fourth.messages)
    assert len(buffer) == 1
    entry = buffer.pop(fourth.block.hash)
    assert entry is not None
    assert len(entry.messages) == 3
    assert buffer.size_bytes == 0


def test_different_copies_of_one_block_are_bounded() -> None:
    buffer = BlockBuffer(CONFIG)
    for signature, peer in ((1, ALICE), (2, BOB)):
        assert buffer.add(make(2, peer, "a", signature=signature), head=0) == Overflow(())

    third = make(2, CAROL, "a", signature=3)

    assert buffer.add(third, head=0) == Overflow(third.messages)


@pytest.mark.parametrize("is_requested", [False, True])
def test_one_peer_has_one_copy_of_a_block(is_requested: bool) -> None:
    """A liar's forgeries leave room for what others have, whoever comes first."""
    buffer = BlockBuffer(CONFIG)
    forged = make(2, ALICE, "a", signature=1)
    again = make(2, ALICE, "a", signature=2)
    honest = make(2, BOB, "a")
    buffer.add(requested(forged) if is_requested else forged, head=0)

    assert buffer.add(again, head=0) == Overflow(again.messages)
    assert buffer.add(honest, head=0) == Overflow(())

    entry = buffer.pop(honest.block.hash)
    assert entry is not None
    assert [copy.peer for copy in entry.copies] == [ALICE, BOB]
    assert entry.copies[1] == honest
    assert buffer.size_bytes == 0


def test_a_peer_may_agree_with_a_copy_and_have_one_of_its_own() -> None:
    """A body joins the copy that came first, which may be another peer's forgery."""
    buffer = BlockBuffer(CONFIG)
    forged, honest = make(2, ALICE, "a", signature=1), make(2, BOB, "a")
    body = replace(forged, peer=BOB, headers=(), bodies=(MessageId(b"body"),))

    for copy in (forged, body, honest):
        assert buffer.add(copy, head=0) == Overflow(())

    entry = buffer.pop(honest.block.hash)
    assert entry is not None
    assert [copy.peer for copy in entry.copies] == [ALICE, BOB]


def test_announcing_a_requested_block_counts_for_its_first_peer() -> None:
    buffer = BlockBuffer(replace(CONFIG, blocks_per_peer_and_height=1))
    copy = make(2, ALICE, "a")
    buffer.add(requested(copy), head=0)
    buffer.add(copy, head=0)

    second = make(2, ALICE, "b")

    assert buffer.add(second, head=0) == Overflow(second.messages)
    assert buffer.add(requested(second), head=0) == Overflow(())


def test_descendants_come_after_their_parents() -> None:
    parent = make(2, ALICE, "a")
    child = replace(parent, block=_child_of(parent.block, b"1"))
    other = replace(parent, block=_child_of(parent.block, b"2"))
    grandchild = replace(parent, block=_child_of(child.block, b"3"))
    buffer = BlockBuffer(CONFIG)
    for copy in (grandchild, child, other, parent):
        buffer.add(copy, head=0)

    hashes = buffer.descendants(parent.block.parent_hash)

    assert hashes == [each.block.hash for each in (parent, child, other, grandchild)]
    assert buffer.earliest_missing(grandchild.block) == parent.block.parent_hash


def _child_of(parent: Block, extra: bytes) -> Block:
    header = micro_header(number=parent.number + 1, parent_hash=parent.hash, extra_data=extra)
    return replace(parent, header=header)
