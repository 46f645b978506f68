from typing import Any

import pytest

from node.blocks.justification import (
    GENESIS_JUSTIFICATION,
    Justification,
    ProducerSignature,
    QuorumSignature,
    SkipProof,
    decode_justification,
)
from node.blocks.validators import SignerSet
from protocols.errors import WireError
from protocols.limits import MAX_JUSTIFICATION_BYTES
from tests.node.blocks.fields import unpacked, with_field

EVERYBODY = SignerSet(2**512 - 1)
PRODUCER = ProducerSignature(bytes(range(64)))
SKIP = SkipProof(bytes(range(96)), SignerSet.of([0, 2, 8]))
QUORUM = QuorumSignature(3, bytes(range(96)), SignerSet.of([1]))
ALL: list[Justification] = [
    PRODUCER,
    SKIP,
    QUORUM,
    GENESIS_JUSTIFICATION,
    QuorumSignature(2**32 - 1, bytes(96), EVERYBODY),
]

WRONG: list[tuple[Justification, int, Any]] = [
    (PRODUCER, 0, 3),
    (PRODUCER, 0, False),
    (PRODUCER, 0, 1),
    (PRODUCER, 1, bytes(63)),
    (PRODUCER, 1, bytes(96)),
    (SKIP, 0, True),
    (SKIP, 0, 2),
    (SKIP, 1, bytes(95)),
    (SKIP, 2, b"\x01\x00"),
    (SKIP, 2, bytes(64) + b"\x01"),
    (SKIP, 2, None),
    (QUORUM, 0, 1),
    (QUORUM, 1, 2**32),
    (QUORUM, 1, -1),
    (QUORUM, 2, bytes(97)),
    (QUORUM, 3, b"\x00"),
]


@pytest.mark.parametrize("justification", ALL)
def test_a_justification_comes_back_as_it_was(justification: Justification) -> None:
    decoded = decode_justification(justification.encode())
    assert decoded == justification
    assert type(decoded) is type(justification)
    assert len(justification.encode()) <= MAX_JUSTIFICATION_BYTES


def test_the_layouts() -> None:
    assert unpacked(PRODUCER.encode()) == [0, bytes(range(64))]
    assert unpacked(SKIP.encode()) == [1, bytes(range(96)), b"\x05\x01"]
    assert unpacked(QUORUM.encode()) == [2, 3, bytes(range(96)), b"\x02"]
    assert unpacked(GENESIS_JUSTIFICATION.encode()) == [2, 0, bytes(96), b""]


@pytest.mark.parametrize(("good", "index", "value"), WRONG)
def test_one_wrong_field(good: Justification, index: int, value: Any) -> None:
    with pytest.raises(WireError):
        decode_justification(with_field(good.encode(), index, value))


@pytest.mark.parametrize("payload", [b"", b"\x90", b"\x01", b"\xc0", b"\x91\x90"])
def test_what_does_not_start_with_a_type(payload: bytes) -> None:
    with pytest.raises(WireError, match=r"^Justification: "):
        decode_justification(payload)


def test_too_many_bytes_are_not_looked_at() -> None:
    with pytest.raises(WireError, match="more than 256 bytes"):
        decode_justification(bytes(257))
