"""An overlay reads like the store that it will be flushed into."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.chain.overlay import Overlay
from node.storage.memory import MemoryStore
from node.storage.store import Reader, Table
from tests.build.chain import contents

KEYS = st.binary(min_size=1, max_size=2)
WRITES = st.lists(st.tuples(KEYS, st.none() | st.binary(max_size=2)), max_size=20)


@given(below=WRITES, above=WRITES, start=KEYS, end=st.none() | KEYS, reverse=st.booleans())
def test_same_as_writing_at_once(
    below: list[tuple[bytes, bytes | None]],
    above: list[tuple[bytes, bytes | None]],
    start: bytes,
    end: bytes | None,
    reverse: bool,
) -> None:
    held_back, direct = MemoryStore(), MemoryStore()
    with held_back.write() as writer, direct.write() as expected:
        for key, value in below:
            for target in (writer, expected):
                if value is not None:
                    target.put(Table.META, key, value)
        before = list(writer.scan(Table.META))
        overlay = Overlay(writer)
        for key, value in above:
            for target in (overlay, expected):
                if value is None:
                    target.delete(Table.META, key)
                else:
                    target.put(Table.META, key, value)

        seen = list(overlay.scan(Table.META, start, end, reverse=reverse))
        assert seen == list(expected.scan(Table.META, start, end, reverse=reverse))
        assert all(
            overlay.get(Table.META, key) == expected.get(Table.META, key) for key, _ in above
        )
        assert list(writer.scan(Table.META)) == before, "nothing is written before the flush"
        overlay.flush(writer)

    assert contents(held_back) == contents(direct)


@dataclass
class Counted(Reader):
    """Counts the items that are read through it."""

    reader: Reader
    items: int = 0

    def get(self, table: Table, key: bytes) -> bytes | None:
        return self.reader.get(table, key)

    def scan(
        self, table: Table, start: bytes = b"", end: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        for item in self.reader.scan(table, start, end, reverse=reverse):
            self.items += 1
            yield item


@pytest.mark.parametrize("reverse", [True, False])
def test_a_scan_reads_no_more_than_is_taken(*, reverse: bool) -> None:
    """A rebranch looks for the newest node of a history that may hold millions."""
    with MemoryStore().write() as writer:
        for number in range(1000):
            writer.put(Table.HISTORY, number.to_bytes(2, "big"), b"node")
        counted = Counted(writer)
        overlay = Overlay(counted)
        for number in (0, 500, 999):
            overlay.delete(Table.HISTORY, number.to_bytes(2, "big"))

        key, _ = next(overlay.scan(Table.HISTORY, reverse=reverse))

    assert key == (998 if reverse else 1).to_bytes(2, "big")
    assert counted.items <= 3
