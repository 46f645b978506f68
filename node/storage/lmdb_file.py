"""Looking at an LMDB data file before LMDB maps it.

LMDB trusts its file. One that was cut short ends the process with SIGBUS as soon as a missing
page is touched, and one with foreign bytes can end it with a wild read. So the pages are walked
first:

    page 0, 1    meta: magic, version, page size, roots of the free list and of the main tree
    main tree    name of a table -> root of its tree
    tree         branch pages down to `depth`, then leaf pages; long values in overflow pages

Every page carries its own number and its kind, so one that is missing, moved or overwritten is
seen without reading what it holds. Branch pages and the free list are looked at in full, leaves
up to a bound. A file that is shorter than its meta page says is walked without bounds; it may be
sound all the same, because free pages at the end need not have been written.

Source: layout of LMDB 0.9, lmdb/libraries/liblmdb/mdb.c (MDB_page, MDB_meta, MDB_db, MDB_node).
"""

from collections.abc import Iterator
from mmap import ACCESS_READ, mmap
from pathlib import Path
from struct import Struct
from typing import Final, NamedTuple

MAGIC: Final = 0xBEEFC0DE
DATA_VERSION: Final = 1

BRANCH_PAGE: Final = 0x01
LEAF_PAGE: Final = 0x02
OVERFLOW_PAGE: Final = 0x04
KINDS: Final = 0x6F
"""All kinds and oddities of pages: the ones above, meta, and those of sorted duplicates."""
META_PAGES: Final = 2

BIG_VALUE: Final = 0x01
"""Node flag: the value is the number of the first of its overflow pages."""
SUBTREE: Final = 0x02
"""Node flag: the value describes another tree."""

NO_PAGE: Final = 2**64 - 1
"""Root of an empty tree."""

MAX_TREE_DEPTH: Final = 32
"""LMDB's own cursor stack."""

MAX_CHECKED_PAGES: Final = 250_000
"""A gigabyte of leaves, about half a second; what lies behind is trusted."""
MAX_PARSED_LEAVES: Final = 400
"""Leaves of each table whose nodes are looked at, 20 us each. Damage that is larger than a page
always hits the header of one and is seen without; smaller damage in a large table may not be."""

_PAGE: Final = Struct("=QHHHH")
"""Number, padding, flags, lower, upper."""
_META: Final = Struct("=II16x")
"""Magic, version, then address and size of the map."""
_TREE: Final = Struct("=IHHQQQQQ")
"""Padding, flags, depth, branch pages, leaf pages, overflow pages, entries, root."""
_TAIL: Final = Struct("=QQ")
"""Last page in use, transaction id."""
_NODE: Final = Struct("=HHHH")
"""Two size or page number halves, flags, key length."""
_NUMBER: Final = Struct("=Q")


class BrokenFileError(Exception):
    """The file is not a whole LMDB data file. The message says why."""


class _Tree(NamedTuple):
    root: int
    depth: int


class _Meta(NamedTuple):
    transaction: int
    page_bytes: int
    last_page: int
    free: _Tree
    main: _Tree


def check_data_file(path: Path) -> None:
    """Walk the pages of a data file.

    Raises:
        BrokenFileError: It is cut short, overwritten, or not an LMDB file.
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        if path.stat().st_size == 0:
            raise BrokenFileError("empty")
        with mmap(file.fileno(), 0, access=ACCESS_READ) as view:
            _Walk(view).check()


class _Value(NamedTuple):
    """Where the value of a leaf's node lies."""

    flags: int
    position: int
    size: int


class _Walk:
    """One pass over a mapped file."""

    def __init__(self, view: mmap) -> None:
        self._view = view
        first = self._read_meta(0)
        second = self._read_meta(first.page_bytes)
        self._meta = max(first, second, key=lambda meta: meta.transaction)
        self._page_bytes = self._meta.page_bytes
        self._words = Struct(f"={self._page_bytes // 2}H")
        self._pages = len(view) // self._page_bytes
        is_short = self._pages <= self._meta.last_page
        self._left = self._pages if is_short else MAX_CHECKED_PAGES
        self._parsed_leaves = self._pages if is_short else MAX_PARSED_LEAVES

    def check(self) -> None:
        """Visit every tree."""
        for page in self._leaves(self._meta.free):
            for value in self._values(page):
                self._check_free_pages(value)
        for page in self._leaves(self._meta.main):
            for value in self._values(page):
                if value.flags & SUBTREE and value.size == _TREE.size:
                    self._check_tree(self._read_tree(value.position))

    def _read_meta(self, start: int) -> _Meta:
        position = start + _PAGE.size
        end = position + _META.size + 2 * _TREE.size + _TAIL.size
        if end > len(self._view):
            raise BrokenFileError("cut short in its first pages")
        magic, version = _META.unpack_from(self._view, position)
        if magic != MAGIC or version != DATA_VERSION:
            raise BrokenFileError("not a database of this format")
        position += _META.size
        free, main = (self._read_tree(position + at * _TREE.size) for at in (0, 1))
        # The free list's tree uses its first field for the page size.
        page_bytes, *_ = _TREE.unpack_from(self._view, position)
        if page_bytes not in {1 << power for power in range(9, 17)}:
            raise BrokenFileError(f"impossible page size {page_bytes}")
        last_page, transaction = _TAIL.unpack_from(self._view, position + 2 * _TREE.size)
        return _Meta(transaction, page_bytes, last_page, free, main)

    def _read_tree(self, position: int) -> _Tree:
        _, _, depth, _, _, _, _, root = _TREE.unpack_from(self._view, position)
        return _Tree(root, depth)

    def _check_tree(self, tree: _Tree) -> None:
        leaves = self._leaves(tree)
        for index, page in enumerate(leaves[: max(self._left, 0)]):
            if index < self._parsed_leaves:
                for _ in self._values(page):
                    pass
            else:
                self._check_page(page, LEAF_PAGE)
        self._left -= len(leaves)

    def _leaves(self, tree: _Tree) -> list[int]:
        """Return the leaf pages of a tree, having checked all branch pages."""
        if tree.root == NO_PAGE:
            return []
        if not 0 < tree.depth <= MAX_TREE_DEPTH:
            raise BrokenFileError(f"impossible tree depth {tree.depth}")
        level = [tree.root]
        for _ in range(tree.depth - 1):
            level = [below for page in level for below in self._children(page)]
            if len(level) > self._pages:
                raise BrokenFileError("a tree with more pages than the file")
        return level

    def _children(self, page: int) -> Iterator[int]:
        for _, low, middle, high, _ in self._nodes(page, BRANCH_PAGE):
            yield low | middle << 16 | high << 32

    def _values(self, page: int) -> Iterator[_Value]:
        """Yield where the values of a leaf lie, all of them inside the file."""
        for offset, low, high, flags, key_bytes in self._nodes(page, LEAF_PAGE):
            size = low | high << 16
            position = offset + _NODE.size + key_bytes
            if position + (_NUMBER.size if flags & BIG_VALUE else size) > self._page_bytes:
                raise BrokenFileError(f"page {page} is damaged")
            position += page * self._page_bytes
            if flags & BIG_VALUE:
                position = self._big_value(position, size)
            yield _Value(flags, position, size)

    def _big_value(self, position: int, size: int) -> int:
        """Return where a value lies whose first overflow page is named at a position."""
        first: int = _NUMBER.unpack_from(self._view, position)[0]
        self._check_page(first, OVERFLOW_PAGE)
        start = first * self._page_bytes + _PAGE.size
        if start + size > len(self._view):
            raise BrokenFileError(f"cut short: page {first} and its value")
        return start

    def _check_free_pages(self, value: _Value) -> None:
        """Check one list of free pages: its length, then their numbers."""
        count = value.size // _NUMBER.size - 1
        if count < 0 or _NUMBER.unpack_from(self._view, value.position)[0] > count:
            raise BrokenFileError("the list of free pages is damaged")
        (count,) = _NUMBER.unpack_from(self._view, value.position)
        numbers = Struct(f"={count}Q").unpack_from(self._view, value.position + _NUMBER.size)
        if any(not META_PAGES <= number <= self._meta.last_page for number in numbers):
            raise BrokenFileError("the list of free pages is damaged")

    def _nodes(self, page: int, kind: int) -> Iterator[tuple[int, int, int, int, int]]:
        """Yield the place of each node on its page and the four fields that it begins with."""
        lower = self._check_page(page, kind)
        words = self._words.unpack_from(self._view, page * self._page_bytes)
        highest = self._page_bytes - _NODE.size
        for offset in words[_PAGE.size // 2 : lower // 2]:
            if offset % 2 or not lower <= offset <= highest:
                raise BrokenFileError(f"page {page} is damaged")
            at = offset // 2
            if offset + words[at + 3] > highest:
                raise BrokenFileError(f"page {page} is damaged")
            yield offset, words[at], words[at + 1], words[at + 2], words[at + 3]

    def _check_page(self, page: int, kind: int) -> int:
        """Check that a page is there and is what it should be; return where its list ends."""
        if page >= self._pages:
            raise BrokenFileError(f"cut short: page {page} of {self._pages}")
        number, _, flags, lower, upper = _PAGE.unpack_from(self._view, page * self._page_bytes)
        if number != page or flags & KINDS != kind:
            raise BrokenFileError(f"page {page} is damaged")
        if kind != OVERFLOW_PAGE and not _PAGE.size <= lower <= upper <= self._page_bytes:
            raise BrokenFileError(f"page {page} is damaged")
        return int(lower)
