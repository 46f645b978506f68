"""Accounts in one byte string, as pages hash them: a run of records can be hashed as it came.

records = record || record ...       ascending by address, no address twice
record  = address: 20 bytes || length: 2 bytes || value: 1..65535 bytes
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from operator import itemgetter, lt
from struct import Struct
from typing import Final, Self

from node.accounts.pages import PAGE_DOMAIN, Child, Record
from node.crypto.hashes import hash32
from protocols.errors import WireError
from protocols.types import ADDRESS_BYTES

LENGTH_BYTES: Final = 2

HEAD_BYTES: Final = ADDRESS_BYTES + LENGTH_BYTES
"""What stands before a value."""

_HEAD: Final = Struct(f">{ADDRESS_BYTES}sH")


@dataclass(frozen=True, slots=True)
class Records:
    """Accounts in address order."""

    payload: bytes
    addresses: list[bytes]
    offsets: Sequence[int]
    """Where each record starts, and behind them the length of the payload."""

    def __len__(self) -> int:
        """Return how many accounts there are."""
        return len(self.addresses)

    def __iter__(self) -> Iterator[Record]:
        """Yield addresses and values."""
        for index, address in enumerate(self.addresses):
            start = self.offsets[index] + HEAD_BYTES
            yield address, self.payload[start : self.offsets[index + 1]]

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """Read records.

        Raises:
            WireError: Not exactly a run of records: cut short, out of order, an empty value.
        """
        addresses, offsets = _scan_equal(payload) or _scan(payload)
        # In C, because this is most of what it costs to check a range.
        if not all(map(lt, addresses, addresses[1:])):
            raise WireError("Records", "addresses not ascending")
        return cls(payload, addresses, offsets)

    def items(self) -> Iterable[Record]:
        """Yield addresses and values, without a step of Python for each where that can be."""
        if not isinstance(self.offsets, range):
            return iter(self)
        value_bytes = self.offsets.step - HEAD_BYTES
        record = Struct(f"{ADDRESS_BYTES}s{LENGTH_BYTES}x{value_bytes}s")
        return record.iter_unpack(self.payload)

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
        return Child(end - first, hash32(PAGE_DOMAIN + self.slice(first, end)))


def encode_records(records: Iterable[Record]) -> bytes:
    """Return records, which are in address order, as one byte string."""
    parts: list[bytes] = []
    for address, value in records:
        parts += address, len(value).to_bytes(LENGTH_BYTES, "big"), value
    return b"".join(parts)


def records_of(items: Sequence[Record]) -> Records:
    """Put accounts together that are in address order, no address twice."""
    lengths = set(map(len, map(itemgetter(1), items)))
    offsets: Sequence[int]
    if len(lengths) == 1:
        (length,) = lengths
        head = length.to_bytes(LENGTH_BYTES, "big")
        # Address, head, value: an item joined by its head.
        payload = b"".join(map(head.join, items))
        width = HEAD_BYTES + length
        offsets = range(0, len(payload) + 1, width)
    else:
        heads = {length: length.to_bytes(LENGTH_BYTES, "big") for length in lengths}
        parts = [address + heads[len(value)] + value for address, value in items]
        payload = b"".join(parts)
        offsets = [0, *accumulate(map(len, parts))]
    return Records(payload, list(map(itemgetter(0), items)), offsets)


def _scan_equal(payload: bytes) -> tuple[list[bytes], Sequence[int]] | None:
    """Find records that all have the same length, as they have while there is one kind of account.

    Without a step of Python for each, which saves half of what it costs to check a range.
    """
    lengths = payload[ADDRESS_BYTES:HEAD_BYTES]
    width = HEAD_BYTES + int.from_bytes(lengths, "big")
    count, rest = divmod(len(payload), width)
    if rest or width == HEAD_BYTES:
        return None
    for index in range(LENGTH_BYTES):
        if payload[ADDRESS_BYTES + index :: width] != lengths[index : index + 1] * count:
            return None
    record = Struct(f"{ADDRESS_BYTES}s{width - ADDRESS_BYTES}x")
    addresses = [address for (address,) in record.iter_unpack(payload)]
    return addresses, range(0, len(payload) + 1, width)


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
