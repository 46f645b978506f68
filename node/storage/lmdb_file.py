"""Looking at an LMDB data file before LMDB maps it.

LMDB trusts its file. One that was cut short ends the process with SIGBUS as soon as a missing
page is touched, and one with foreign pages can end it with an assertion. So the pages are walked
first, with bounds:

    page 0, 1    meta: magic, version, page size, roots of the free list and of the main tree
    main tree    name of a table -> root of its tree
    tree         branch pages down to `depth`, then leaf pages; long values in overflow pages

Every page carries its own number and its kind, so a page that is missing, moved or overwritten is
seen without reading what it holds. What stands inside a page of the right number and kind is
LMDB's to check: it raises an error there and does not crash.

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
META_PAGE: Final = 0x08

BIG_VALUE: Final = 0x01
"""Node flag: the value is the number of the first of its overflow pages."""
SUBTREE: Final = 0x02
"""Node flag: the value describes another tree."""

NO_PAGE: Final = 2**64 - 1
"""Root of an empty tree."""

MAX_TREE_DEPTH: Final = 32
"""LMDB's own cursor stack."""

MAX_CHECKED_PAGES: Final = 250_000
"""A gigabyte of pages, about half a second. Branch pages come first, and a file that is shorter
than its meta page says is walked to the end, so what may stay unseen is a foreign leaf."""

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
    overflow_pages: int


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
        size = path.stat().st_size
        if size < _PAGE.size + _META.size + 2 * _TREE.size + _TAIL.size:
            raise BrokenFileError(f"{size} bytes are no database")
        with mmap(file.fileno(), 0, access=ACCESS_READ) as view:
            _Walk(view).check()


class _Walk:
    """One pass over a mapped file."""

    def __init__(self, view: mmap) -> None:
        self._view = view
        first = self._read_meta(0)
        second = self._read_meta(first.page_bytes)
        self._meta = max(first, second, key=lambda meta: meta.transaction)
        self._page_bytes = self._meta.page_bytes
        self._pages = len(view) // self._page_bytes
        self._left = MAX_CHECKED_PAGES if self._pages > self._meta.last_page else self._pages

    def check(self) -> None:
        """Visit every tree."""
        self._walk(self._meta.free)
        self._walk(self._meta.main)
        for tree in list(self._tables()):
            self._walk(tree)

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
        _, _, depth, _, _, overflow_pages, _, root = _TREE.unpack_from(self._view, position)
        return _Tree(root, depth, overflow_pages)

    def _walk(self, tree: _Tree) -> None:
        """Visit a tree level by level, so that branch pages come before leaves."""
        level = [] if tree.root == NO_PAGE else [tree.root]
        if level and not 0 < tree.depth <= MAX_TREE_DEPTH:
            raise BrokenFileError(f"impossible tree depth {tree.depth}")
        for _ in range(tree.depth - 1):
            level = [below for page in level for below in self._children(page)]
        for page in level[: max(self._left, 0)]:
            self._check_page(page, LEAF_PAGE)
            if tree.overflow_pages:
                self._check_big_values(page)
        self._left -= len(level)

    def _children(self, page: int) -> Iterator[int]:
        for node in self._nodes(page, BRANCH_PAGE):
            low, middle, high, _ = _NODE.unpack_from(self._view, node)
            yield low | middle << 16 | high << 32

    def _tables(self) -> Iterator[_Tree]:
        """Yield the trees that the main tree names."""
        level = [] if self._meta.main.root == NO_PAGE else [self._meta.main.root]
        for _ in range(self._meta.main.depth - 1):
            level = [below for page in level for below in self._children(page)]
        for page in level:
            for node in self._nodes(page, LEAF_PAGE):
                _, _, flags, key_bytes = _NODE.unpack_from(self._view, node)
                if flags & SUBTREE:
                    yield self._read_tree(self._value(page, node, key_bytes, _TREE.size))

    def _check_big_values(self, page: int) -> None:
        for node in self._nodes(page, LEAF_PAGE):
            low, high, flags, key_bytes = _NODE.unpack_from(self._view, node)
            if not flags & BIG_VALUE:
                continue
            position = self._value(page, node, key_bytes, _NUMBER.size)
            (first,) = _NUMBER.unpack_from(self._view, position)
            self._check_page(first, OVERFLOW_PAGE)
            end = first * self._page_bytes + _PAGE.size + (low | high << 16)
            if end > len(self._view):
                raise BrokenFileError(f"cut short: page {first} and its value")

    def _value(self, page: int, node: int, key_bytes: int, value_bytes: int) -> int:
        """Return where a node's value begins; all of it lies on its page."""
        position = node + _NODE.size + key_bytes
        if position + value_bytes > (page + 1) * self._page_bytes:
            raise BrokenFileError(f"page {page} is damaged")
        return position

    def _nodes(self, page: int, kind: int) -> Iterator[int]:
        """Yield the positions of a page's nodes."""
        lower = self._check_page(page, kind)
        start = page * self._page_bytes
        offsets = Struct(f"={(lower - _PAGE.size) // 2}H")
        for offset in offsets.unpack_from(self._view, start + _PAGE.size):
            if not lower <= offset <= self._page_bytes - _NODE.size:
                raise BrokenFileError(f"page {page} is damaged")
            yield start + offset

    def _check_page(self, page: int, kind: int) -> int:
        """Check that a page is there and is what it should be; return where its list ends."""
        if page >= self._pages:
            raise BrokenFileError(f"cut short: page {page} of {self._pages}")
        number, _, flags, lower, upper = _PAGE.unpack_from(self._view, page * self._page_bytes)
        if number != page or flags & 0x0F != kind:
            raise BrokenFileError(f"page {page} is damaged")
        if kind != OVERFLOW_PAGE and not _PAGE.size <= lower <= upper <= self._page_bytes:
            raise BrokenFileError(f"page {page} is damaged")
        return int(lower)
