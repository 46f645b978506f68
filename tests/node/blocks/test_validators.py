import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.blocks.validators import MAX_SIGNER_BYTES, SignerSet, Validators
from protocols.errors import WireError
from tests.build.keys import keys, validators

MIXED = Validators(
    (
        *validators(1, slots_each=3).members,
        *validators(2, slots_each=1).members[1:],
        *validators(3, slots_each=2).members[2:],
    )
)
"""Bands of 3, 1 and 2 slots: 000122."""


def test_slots_lie_in_bands() -> None:
    assert MIXED.slots == 6
    assert [MIXED.owner_index(slot) for slot in range(6)] == [0, 0, 0, 1, 2, 2]
    assert [MIXED.band(index) for index in range(3)] == [range(3), range(3, 4), range(4, 6)]
    assert MIXED.owner(3) == MIXED.members[1]


def test_a_validator_is_found_by_its_signing_key() -> None:
    assert [MIXED.index_of(member.signing_key) for member in MIXED.members] == [0, 1, 2]
    assert MIXED.index_of(keys(9).signing.public_key) is None


def test_a_set_of_signers_owns_slots() -> None:
    assert MIXED.slots_of(SignerSet.of([0, 2])) == 5
    assert MIXED.slots_of(SignerSet(0)) == 0


@given(st.sets(st.integers(0, 511)))
def test_a_signer_set_is_a_set(indices: set[int]) -> None:
    signers = SignerSet.of(indices)
    assert signers.indices() == tuple(sorted(indices))
    assert [index for index in range(512) if index in signers] == sorted(indices)
    payload = signers.to_wire()
    assert SignerSet.from_wire(payload) == signers
    assert len(payload) == (max(indices) // 8 + 1 if indices else 0) <= MAX_SIGNER_BYTES


@given(st.binary(max_size=MAX_SIGNER_BYTES))
def test_a_signer_set_has_one_encoding(payload: bytes) -> None:
    try:
        signers = SignerSet.from_wire(payload)
    except WireError:
        assert payload.endswith(b"\0")
        return
    assert signers.to_wire() == payload


def test_bits_are_little_endian() -> None:
    assert SignerSet.of([0, 9]).to_wire() == b"\x01\x02"


@pytest.mark.parametrize("payload", [b"\x00", b"\x01\x00"])
def test_trailing_zero_bytes_are_refused(payload: bytes) -> None:
    with pytest.raises(WireError, match="SignerSet: trailing zero bytes"):
        SignerSet.from_wire(payload)
