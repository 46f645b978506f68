"""The validators of an epoch and the slots that they own.

Slots are numbered 0..slots-1 and lie in bands: the first validator of the list owns the first
band, and so on. Signer sets are bitmaps over validators, little-endian, bit i for validator i.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

from protocols.codec import FieldReader
from protocols.errors import WireError
from protocols.limits import MAX_SLOTS
from protocols.types import BLS_KEY_BYTES, ED25519_KEY_BYTES, Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Validator:
    """One validator's share of an epoch.

    Wire: [address: bin 20, signing key: bin 32, voting key: bin 48, slots: uint 1..512].
    """

    address: Address
    """Account that rewards go to."""
    signing_key: bytes
    """Ed25519 public key, 32 bytes: signs micro blocks and seeds."""
    voting_key: bytes
    """Compressed BLS12-381 G1 public key, 48 bytes: signs macro blocks and skips."""
    slots: int
    """How many slots it owns, at least 1."""

    def to_wire(self) -> list[Any]:
        """Return the fields of the wire form, for nesting."""
        return [self.address, self.signing_key, self.voting_key, self.slots]

    @classmethod
    def from_wire(cls, value: Any) -> Self:
        """Read a validator nested in a header.

        Raises:
            WireError: The value is not a validator.
        """
        fields = FieldReader.of("Validator", value, arity=4)
        return cls(
            address=fields.address(),
            signing_key=fields.exactly(ED25519_KEY_BYTES),
            voting_key=fields.exactly(BLS_KEY_BYTES),
            slots=fields.uint(minimum=1, maximum=MAX_SLOTS),
        )


@dataclass(frozen=True)
class Validators:
    """All validators of an epoch, in the order of their bands."""

    members: tuple[Validator, ...]

    @cached_property
    def slots(self) -> int:
        """Slots of all validators together."""
        return len(self._owners)

    def owner_index(self, slot: int) -> int:
        """Return the position in `members` of the validator that owns a slot."""
        return self._owners[slot]

    def owner(self, slot: int) -> Validator:
        """Return the validator that owns a slot."""
        return self.members[self._owners[slot]]

    def index_of(self, signing_key: bytes) -> int | None:
        """Return the position of the validator with this signing key, if it is one."""
        return self._positions.get(signing_key)

    def band(self, index: int) -> range:
        """Return the slots of the validator at a position."""
        start = self._starts[index]
        return range(start, start + self.members[index].slots)

    def slots_of(self, signers: "SignerSet") -> int:
        """Count the slots that a set of signers owns."""
        return sum(self.members[index].slots for index in signers.indices())

    @cached_property
    def _owners(self) -> tuple[int, ...]:
        return tuple(i for i, member in enumerate(self.members) for _ in range(member.slots))

    @cached_property
    def _starts(self) -> tuple[int, ...]:
        starts, total = [], 0
        for member in self.members:
            starts.append(total)
            total += member.slots
        return tuple(starts)

    @cached_property
    def _positions(self) -> dict[bytes, int]:
        return {member.signing_key: index for index, member in enumerate(self.members)}


@dataclass(frozen=True, slots=True)
class SignerSet:
    """Which validators signed, as an integer with bit i set for validator i.

    Wire: bin 0..64, little-endian, without trailing zero bytes.
    """

    bits: int

    @classmethod
    def of(cls, indices: Iterable[int]) -> Self:
        """Build from validator positions."""
        bits = 0
        for index in indices:
            bits |= 1 << index
        return cls(bits)

    def indices(self) -> tuple[int, ...]:
        """Return the validator positions, ascending."""
        bits, found = self.bits, []
        while bits:
            low = bits & -bits
            found.append(low.bit_length() - 1)
            bits ^= low
        return tuple(found)

    def __contains__(self, index: int) -> bool:
        """Tell whether the validator at a position signed."""
        return bool(self.bits >> index & 1)

    def to_wire(self) -> bytes:
        """Return the wire form, for nesting."""
        return self.bits.to_bytes((self.bits.bit_length() + 7) // 8, "little")

    @classmethod
    def from_wire(cls, value: bytes) -> Self:
        """Read a signer set.

        Raises:
            WireError: Trailing zero bytes: a second spelling of the same set.
        """
        if value.endswith(b"\0"):
            raise WireError("SignerSet", "trailing zero bytes")
        return cls(int.from_bytes(value, "little"))


MAX_SIGNER_BYTES = MAX_SLOTS // 8
"""Longest signer set: one slot for each validator."""
