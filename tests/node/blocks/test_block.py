from typing import Any

import pytest

from node.blocks.block import Block
from node.blocks.body import EMPTY_MICRO_BODY, MacroBody, MicroBody
from node.blocks.justification import GENESIS_JUSTIFICATION, ProducerSignature, QuorumSignature
from protocols.errors import WireError
from protocols.limits import MAX_GOSSIP_BYTES
from tests.build.blocks import (
    election_header,
    justify,
    micro_header,
    signed_micro,
    skip_block,
    transaction,
)
from tests.build.keys import genesis, keys, validators
from tests.node.blocks.fields import unpacked, with_field

PARENT = genesis().block().header
MICRO = signed_micro(PARENT, keys(0), MicroBody((), (transaction(),)))
SKIP = skip_block(PARENT, validators(4))
ELECTION_HEADER = election_header()
ELECTION = Block(ELECTION_HEADER, justify(ELECTION_HEADER, validators(4), 1), MacroBody())
BLOCKS = {"micro": MICRO, "skip": SKIP, "election": ELECTION, "genesis": genesis().block()}


@pytest.mark.parametrize("block", BLOCKS.values(), ids=BLOCKS)
def test_a_block_comes_back_as_it_was(block: Block) -> None:
    for each in (block, block.without_body()):
        assert Block.decode(each.encode()) == each


def test_the_layout() -> None:
    assert unpacked(MICRO.encode()) == [
        MICRO.header.encoded,
        MICRO.justification.encode(),
        MICRO.body.encoded if MICRO.body else None,
    ]
    assert unpacked(MICRO.without_body().encode())[2] is None


def test_what_a_block_says_of_itself() -> None:
    told = [(block.number, block.is_macro, block.is_skip) for block in BLOCKS.values()]
    assert told == [(1, False, False), (1, False, True), (1, True, False), (0, True, False)]
    assert MICRO.hash == MICRO.header.hash
    assert MICRO.parent_hash == PARENT.hash


def test_a_block_without_its_body_is_the_same_block() -> None:
    bare = MICRO.without_body()
    assert bare.hash == MICRO.hash
    assert bare.body is None
    assert bare.without_body() is bare


@pytest.mark.parametrize(
    ("index", "value"),
    [
        (0, b""),
        (0, None),
        (0, MICRO.header.encoded + b"\x00"),
        (0, unpacked(MICRO.header.encoded)),
        (1, b""),
        (1, GENESIS_JUSTIFICATION.encode() + b"\x00"),
        (1, bytes(257)),
        (2, b""),
        (2, EMPTY_MICRO_BODY.encoded[:-1]),
        (2, [0, [], []]),
        (2, False),
    ],
)
def test_one_wrong_field(index: int, value: Any) -> None:
    with pytest.raises(WireError):
        Block.decode(with_field(MICRO.encode(), index, value))


def test_shape_is_all_that_is_checked() -> None:
    """A justification of the wrong kind decodes: verification names that error."""
    odd = Block(micro_header(), QuorumSignature(0, bytes(96), GENESIS_JUSTIFICATION.signers), None)
    assert Block.decode(odd.encode()) == odd
    odd = Block(ELECTION_HEADER, ProducerSignature(bytes(64)), EMPTY_MICRO_BODY)
    assert Block.decode(odd.encode()) == odd


def test_a_default_block_fits_into_gossip() -> None:
    transactions = tuple(transaction(nonce=nonce) for nonce in range(400))
    body = MicroBody((), transactions)
    assert len(body.encoded) < 100_000
    assert len(signed_micro(PARENT, keys(0), body).encode()) < MAX_GOSSIP_BYTES
