"""Which part of the key space is fetched: sorted, disjoint ranges of addresses.

    FIRST_ADDRESS                                             LAST_ADDRESS
    [=== covered ===]............[== covered ==]..............
                        gap                         gap

Ranges are inclusive at both ends and never touch: two that would are one. In the store each is a
row of `Table.COVERAGE`, start -> end, so a range that grows is one row to write.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from typing import Final, TypeAlias

from node.accounts.pages import Place
from node.accounts.range_proof import FIRST_ADDRESS, LAST_ADDRESS
from node.storage.store import Reader, Table, Writer
from protocols.types import ADDRESS_BYTES, Address

KEY_SPACE: Final = 1 << (8 * ADDRESS_BYTES)
"""Number of all addresses."""

Span: TypeAlias = tuple[Address, Address]
"""First and last key of a range."""

EVERYTHING: Final[Span] = (FIRST_ADDRESS, LAST_ADDRESS)


class Coverage:
    """A set of addresses that is made of few ranges."""

    def __init__(self, spans: Iterable[Span] = ()) -> None:
        """Begin with some ranges, in any order, that may overlap."""
        self._starts: list[Address] = []
        self._ends: list[Address] = []
        for start, end in spans:
            self.add(start, end)

    def __iter__(self) -> Iterator[Span]:
        """Yield the ranges, ascending."""
        return zip(self._starts, self._ends, strict=True)

    def __len__(self) -> int:
        """Return the number of ranges."""
        return len(self._starts)

    def __contains__(self, key: bytes) -> bool:
        """Tell whether a key is covered."""
        index = bisect_right(self._starts, key) - 1
        return index >= 0 and key <= self._ends[index]

    @property
    def is_everything(self) -> bool:
        """Whether no key is missing."""
        return list(self) == [EVERYTHING]

    def add(self, start: Address, end: Address) -> None:
        """Cover a range, of which parts may be covered already."""
        # A range that ends just before the start, or starts just behind the end, touches.
        first = bisect_left(self._ends, before(start) or start)
        last = bisect_right(self._starts, after(end) or end)
        if first < last:
            start = min(start, self._starts[first])
            end = max(end, self._ends[last - 1])
        self._starts[first:last] = [start]
        self._ends[first:last] = [end]

    def subtract(self, start: Address, end: Address) -> None:
        """Cover a range no longer, of which parts may not be covered anyway."""
        first = bisect_left(self._ends, start)
        last = bisect_right(self._starts, end)
        left = [
            piece
            for low, high in zip(self._starts[first:last], self._ends[first:last], strict=True)
            for piece in _outside((low, high), (start, end))
        ]
        self._starts[first:last] = [low for low, _ in left]
        self._ends[first:last] = [high for _, high in left]

    def within(self, start: Address, end: Address) -> Iterator[Span]:
        """Yield the covered parts of a range, ascending."""
        first = bisect_left(self._ends, start)
        last = bisect_right(self._starts, end)
        for index in range(first, last):
            yield max(start, self._starts[index]), min(end, self._ends[index])

    def gaps(self, start: Address = FIRST_ADDRESS, end: Address = LAST_ADDRESS) -> list[Span]:
        """Return the parts of a range that are not covered, ascending."""
        found: list[Span] = []
        position: Address | None = start
        for low, high in self.within(start, end):
            assert position is not None, "ranges ascend"
            if position < low:
                found.append((position, before(low) or low))
            position = after(high)
        if position is not None and position <= end:
            found.append((position, end))
        return found

    def clip(
        self, changes: Iterable[tuple[Address, bytes | None]]
    ) -> list[tuple[Address, bytes | None]]:
        """Return the changes of accounts that are covered."""
        return [change for change in changes if change[0] in self]


def load(reader: Reader) -> Coverage:
    """Read what is stored."""
    rows = reader.scan(Table.COVERAGE)
    return Coverage((Address(start), Address(end)) for start, end in rows)


def save(writer: Writer, stored: Coverage, coverage: Coverage) -> None:
    """Replace what is stored by another coverage; only rows that differ are written."""
    old, new = dict(stored), dict(coverage)
    for start in old.keys() - new.keys():
        writer.delete(Table.COVERAGE, start)
    for start, end in new.items():
        if old.get(start) != end:
            writer.put(Table.COVERAGE, start, end)


def after(key: Address) -> Address | None:
    """Return the key behind a key; None behind the last."""
    number = int.from_bytes(key, "big") + 1
    return None if number == KEY_SPACE else key_of(number)


def before(key: Address) -> Address | None:
    """Return the key before a key; None before the first."""
    number = int.from_bytes(key, "big")
    return key_of(number - 1) if number else None


def key_of(number: int) -> Address:
    """Return the key with a place in the key space."""
    return Address(number.to_bytes(ADDRESS_BYTES, "big"))


def width(span: Span) -> int:
    """Return the number of keys of a range."""
    return int.from_bytes(span[1], "big") - int.from_bytes(span[0], "big") + 1


def span_of(place: Place) -> Span:
    """Return all keys of a place in the trie."""
    start = place.prefix.ljust(ADDRESS_BYTES, b"\0")
    last = int.from_bytes(start, "big") + (1 << (4 * (2 * ADDRESS_BYTES - place.depth))) - 1
    return Address(start), key_of(last)


def _outside(span: Span, hole: Span) -> Iterator[Span]:
    """Yield what is left of a range without another that overlaps it."""
    (low, high), (start, end) = span, hole
    if low < start:
        yield low, before(start) or low
    if high > end:
        yield after(end) or high, high
