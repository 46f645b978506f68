from typing import Any

import pytest

from node.blocks.header import MacroHeader, MicroHeader, decode_header
from node.blocks.validators import SignerSet
from node.crypto.hashes import hash32
from protocols.errors import WireError
from protocols.limits import MAX_HEADER_BYTES
from tests.build.blocks import election_header, macro_header, micro_header
from tests.build.keys import validators
from tests.node.blocks.fields import unpacked, with_field

MICRO = micro_header(number=5, extra_data=b"extra")
MACRO = macro_header(number=4, round=2, punished=SignerSet.of([0, 9]))
ELECTION = election_header(number=12)

WRONG_FIELDS: list[tuple[int, Any]] = [
    (0, 2),
    (0, False),
    (0, b"\x00"),
    (1, 256),
    (1, -1),
    (2, 65_536),
    (3, 2**32),
    (4, 2**48),
    (5, bytes(31)),
    (6, bytes(79)),
    (6, bytes(81)),
    (7, bytes(33)),
    (7, None),
    (8, bytes(33)),
    (9, b""),
    (10, None),
    (11, "a" * 32),
]
WRONG_MACRO_FIELDS: list[tuple[int, Any]] = [
    (12, 2**32),
    (12, None),
    (13, bytes(20)),
    (14, []),
    (14, False),
    (14, [[bytes(20), bytes(32), bytes(48), 0]]),
    (14, [[bytes(20), bytes(32), bytes(48), 513]]),
    (14, [[bytes(20), bytes(32), bytes(47), 1]]),
    (14, [[bytes(20), bytes(32), bytes(48)]]),
    (14, [None]),
    (14, [[bytes(20), bytes(32), bytes(48), 1]] * 513),
    (15, b"\x01\x00"),
    (15, b"\x00"),
    (15, bytes(64) + b"\x01"),
    (15, 1),
]


@pytest.mark.parametrize("header", [MICRO, MACRO, ELECTION], ids=["micro", "macro", "election"])
def test_a_header_comes_back_as_it_was(header: MicroHeader | MacroHeader) -> None:
    assert decode_header(header.encoded) == header
    assert header.hash == hash32(header.encoded)


def test_the_layout_of_a_micro_header() -> None:
    assert unpacked(MICRO.encoded) == [
        0,
        MICRO.network,
        MICRO.version,
        5,
        MICRO.timestamp,
        MICRO.parent_hash,
        MICRO.seed,
        b"extra",
        MICRO.state_root,
        MICRO.body_root,
        MICRO.diff_root,
        MICRO.history_root,
    ]


def test_the_layout_of_a_macro_header() -> None:
    fields = unpacked(MACRO.encoded)
    assert (fields[0], fields[3]) == (1, 4)
    assert fields[12:] == [2, MACRO.parent_election, None, b"\x01\x02"]
    members = validators(4).members
    assert unpacked(ELECTION.encoded)[14] == [member.to_wire() for member in members]


@pytest.mark.parametrize(("index", "value"), WRONG_FIELDS)
@pytest.mark.parametrize("header", [MICRO, MACRO], ids=["micro", "macro"])
def test_one_wrong_field(header: MicroHeader | MacroHeader, index: int, value: Any) -> None:
    with pytest.raises(WireError):
        decode_header(with_field(header.encoded, index, value))


@pytest.mark.parametrize(("index", "value"), WRONG_MACRO_FIELDS)
def test_one_wrong_macro_field(index: int, value: Any) -> None:
    with pytest.raises(WireError):
        decode_header(with_field(ELECTION.encoded, index, value))


def test_a_micro_header_under_the_type_of_a_macro_header() -> None:
    with pytest.raises(WireError, match="MacroHeader: not an array of 16 fields"):
        decode_header(with_field(MICRO.encoded, 0, 1))
    with pytest.raises(WireError, match="MicroHeader: not an array of 12 fields"):
        decode_header(with_field(MACRO.encoded, 0, 0))


def test_too_many_bytes_are_not_looked_at() -> None:
    with pytest.raises(WireError, match=f"more than {MAX_HEADER_BYTES} bytes"):
        decode_header(bytes(MAX_HEADER_BYTES + 1))


def test_the_largest_header_fits() -> None:
    largest = election_header(512, punished=SignerSet(2**512 - 1), extra_data=bytes(32))
    assert len(largest.encoded) <= MAX_HEADER_BYTES
    assert decode_header(largest.encoded) == largest


def test_any_field_changes_the_hash() -> None:
    changed = [
        micro_header(number=5, extra_data=b"extra", **{name: value})
        for name, value in {
            "network": 2,
            "version": 2,
            "timestamp": 0,
            "parent_hash": bytes(32),
            "seed": bytes(80),
            "state_root": bytes(32),
            "body_root": bytes(32),
            "diff_root": bytes(32),
            "history_root": bytes(32),
        }.items()
    ]
    assert len({MICRO.hash, *(header.hash for header in changed)}) == len(changed) + 1


def test_only_election_headers_elect() -> None:
    assert ELECTION.next_validators == validators(4)
    assert MACRO.next_validators is None
