"""The change that a block makes to the state.

Two byte forms, both in ascending order of addresses and without repetition:

    changes   (address: 20, new length: 2, new) ...
    diff      (address: 20, old length: 2, old, new length: 2, new) ...

`diff_root` commits to the changes; the diff is what a node stores, because it can be undone.

Lengths are big-endian. Length 0 stands for "no account", because a value is never empty.
`diff_root` is the Blake2b-256 of the byte 0x02 and the changes.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple, Self

from node.accounts.pages import MAX_VALUE_BYTES
from node.crypto.hashes import hash32
from protocols.errors import WireError
from protocols.types import ADDRESS_BYTES, Address, Hash32

DIFF_DOMAIN: Final = b"\x02"
"""Keeps a diff from hashing like a page (0x00) or a branch (0x01) of the trie."""

LENGTH_BYTES: Final = 2


class Change(NamedTuple):
    """One account before and after a block."""

    address: Address
    old: bytes | None
    new: bytes | None


@dataclass(frozen=True)
class Diff:
    """All accounts that a block changes, ascending by address, none of them unchanged."""

    entries: tuple[Change, ...] = ()

    @property
    def changes(self) -> dict[Address, bytes | None]:
        """New value by address, None where the account ceases to exist."""
        return {entry.address: entry.new for entry in self.entries}

    @property
    def root(self) -> Hash32:
        """What the header's `diff_root` commits to."""
        return hash32(DIFF_DOMAIN + self.encode_changes())

    def inverse(self) -> Self:
        """Return the diff that undoes this one."""
        return type(self)(tuple(Change(address, new, old) for address, old, new in self.entries))

    def encode_changes(self) -> bytes:
        """Return addresses and new values only: all that another node needs."""
        parts = self._parts.copy()
        del parts[1::3]
        return b"".join(parts)

    def encode(self) -> bytes:
        """Return the stored form."""
        return self._encoded

    @cached_property
    def _encoded(self) -> bytes:
        # Stored twice, to be undone and to be handed on.
        return b"".join(self._parts)

    @cached_property
    def _parts(self) -> list[bytes]:
        """Address, old value and new value of each account, one after the other."""
        parts: list[bytes] = []
        for address, old, new in self.entries:
            parts += address, _measured(old), _measured(new)
        return parts

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """Read the stored form.

        Raises:
            WireError: Not exactly one diff: cut short, out of order, or with an unchanged account.
        """
        entries: list[Change] = []
        position = 0
        while position < len(payload):
            address, position = _take(payload, position, ADDRESS_BYTES)
            old, position = _take_value(payload, position)
            new, position = _take_value(payload, position)
            if entries and entries[-1].address >= address:
                raise WireError("Diff", "addresses not ascending")
            if old == new:
                raise WireError("Diff", "unchanged account")
            entries.append(Change(Address(address), old, new))
        return cls(tuple(entries))


EMPTY_DIFF: Final = Diff()


def changes_of(stored: bytes) -> bytes:
    """Return `encode_changes` of a diff from its stored form, which is ours and sound."""
    parts: list[bytes] = []
    position = 0
    while position < len(stored):
        old = position + ADDRESS_BYTES
        new = _behind_value(stored, old)
        end = _behind_value(stored, new)
        parts += stored[position:old], stored[new:end]
        position = end
    return b"".join(parts)


def decode_changes(payload: bytes) -> dict[Address, bytes | None]:
    """Read what `Diff.encode_changes` wrote; hash it first to compare with a `diff_root`.

    Raises:
        WireError: Not exactly one list of changes.
    """
    changes: dict[Address, bytes | None] = {}
    position, last = 0, b""
    while position < len(payload):
        address, position = _take(payload, position, ADDRESS_BYTES)
        if address <= last:
            raise WireError("Changes", "addresses not ascending")
        changes[Address(address)], position = _take_value(payload, position)
        last = address
    return changes


def _measured(value: bytes | None) -> bytes:
    if value is None:
        return bytes(LENGTH_BYTES)
    assert 0 < len(value) <= MAX_VALUE_BYTES
    return len(value).to_bytes(LENGTH_BYTES, "big") + value


def _take(payload: bytes, position: int, length: int) -> tuple[bytes, int]:
    end = position + length
    if end > len(payload):
        raise WireError("Diff", "cut short")
    return payload[position:end], end


def _behind_value(payload: bytes, position: int) -> int:
    start = position + LENGTH_BYTES
    return start + int.from_bytes(payload[position:start], "big")


def _take_value(payload: bytes, position: int) -> tuple[bytes | None, int]:
    length, position = _take(payload, position, LENGTH_BYTES)
    value, position = _take(payload, position, int.from_bytes(length, "big"))
    return value or None, position
