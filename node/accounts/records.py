"""Accounts in one byte string, as pages hash them: a run of records can be hashed as it came.

They are the runs of `node.storage.runs`, keys being addresses.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import lt
from struct import Struct
from typing import Final, Self

from node.accounts.pages import Child, Record, hash_run
from node.storage.runs import HEAD_BYTES, items_of, keys_of, width_of
from protocols.errors import WireError
from protocols.types import ADDRESS_BYTES

_HEAD: Final = Struct(f">{ADDRESS_BYTES}sH")


@dataclass(frozen=True, slots=True)
class Records:
    """Accounts in address order."""

    payload: bytes
    addresses: Sequence[bytes]
    offsets: Sequence[int]
    """Where each record starts, and behind them the length of the payload."""

    def __len__(self) -> int:
        """Return how many accounts there are."""
        return len(self.addresses)

    @classmethod
    def of(cls, run: bytes) -> Self:
        """Look into a run, as it is stored or made.

        Raises:
            WireError: Cut short, or an empty value.
        """
        return cls(run, *(_scan_equal(run) or _scan(run)))

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """Read records that somebody sends.

        Raises:
            WireError: Not exactly a run: cut short, out of order, an empty value.
        """
        records = cls.of(payload)
        # In C, because this is most of what it costs to check a range.
        if not all(map(lt, records.addresses, records.addresses[1:])):
            raise WireError("Records", "addresses not ascending")
        return records

    def __iter__(self) -> Iterator[Record]:
        """Yield addresses and values."""
        return items_of(self.payload)

    def column(self, index: int, first: int, end: int) -> bytes:
        """Return one byte of each address of the records `first <= index < end`."""
        if isinstance(self.offsets, range):
            return self.payload[self.offsets[first] + index : self.offsets[end] : self.offsets.step]
        return bytes([address[index] for address in self.addresses[first:end]])

    def slice(self, first: int, end: int) -> bytes:
        """Return the bytes of the records `first <= index < end`."""
        return self.payload[self.offsets[first] : self.offsets[end]]

    def page(self, first: int, end: int) -> Child:
        """Hash at least one of the records as a page."""
        return Child(end - first, hash_run(self.slice(first, end)))


def _scan_equal(payload: bytes) -> tuple[Sequence[bytes], Sequence[int]] | None:
    """Find records that all have the same length, as they have while there is one kind of account.

    Without a step of Python for each, which saves half of what it costs to check a range.
    """
    width = width_of(payload)
    # Records without values are as long as their heads.
    if width <= HEAD_BYTES:
        return None
    return keys_of(payload, width), range(0, len(payload) + 1, width)


def _scan(payload: bytes) -> tuple[list[bytes], Sequence[int]]:
    addresses: list[bytes] = []
    offsets = [0]
    position, end = 0, len(payload)
    read = _HEAD.unpack_from
    while position < end:
        if position + HEAD_BYTES > end:
            raise WireError("Records", "cut short")
        address, length = read(payload, position)
        if not length:
            raise WireError("Records", "an empty value")
        position += HEAD_BYTES + length
        addresses.append(address)
        offsets.append(position)
    if position > end:
        raise WireError("Records", "cut short")
    return addresses, offsets
