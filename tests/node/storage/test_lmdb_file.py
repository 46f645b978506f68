"""Damage of one kind each, so that each check is seen to be needed."""

from collections.abc import Callable
from mmap import mmap
from pathlib import Path
from struct import pack_into

import pytest

from node.storage.disk import DATA_FILE, DiskStore
from node.storage.lmdb_file import (
    BIG_VALUE,
    SUBTREE,
    BrokenFileError,
    _Tree,
    _Value,
    _Walk,
    check_data_file,
)
from node.storage.store import Table

PAGE = 4096


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with branch pages, leaves, one long value and a list of free pages."""
    store = DiskStore(tmp_path / "data")
    for start in range(0, 3000, 500):
        with store.write() as writer:
            for number in range(start, start + 500):
                writer.put(Table.ACCOUNTS, number.to_bytes(20, "big"), b"value")
            writer.put(Table.BODIES, b"body", bytes(50_000))
    store.close()
    return tmp_path / "data" / DATA_FILE


def damaged(path: Path, damage: Callable[[mmap, _Walk], None]) -> str:
    """Damage a sound file and return what is said about it."""
    check_data_file(path)
    with path.open("r+b") as file, mmap(file.fileno(), 0) as view:
        damage(view, _Walk(view))
    with pytest.raises(BrokenFileError) as raised:
        check_data_file(path)
    return str(raised.value)


def tree(walk: _Walk, table: Table) -> _Tree:
    names = [each.value for each in sorted(Table, key=lambda each: each.value)]
    return walk._read_tree(main_values(walk)[names.index(table.value)].position)


def main_values(walk: _Walk) -> list[_Value]:
    values = [value for page in walk._leaves(walk._meta.main) for value in walk._values(page)]
    assert all(value.flags == SUBTREE for value in values)
    return values


def free_list(walk: _Walk) -> int:
    """Return the position of a list of free pages: their count, then their numbers."""
    lists = [value for page in walk._leaves(walk._meta.free) for value in walk._values(page)]
    return lists[0].position


def body_node(walk: _Walk) -> int:
    """Return the position of the node of the long value."""
    (leaf,) = walk._leaves(tree(walk, Table.BODIES))
    ((offset, _, _, flags, _),) = walk._nodes(leaf, 2)
    assert flags == BIG_VALUE
    return leaf * PAGE + offset


def test_a_sound_file_passes(path: Path) -> None:
    check_data_file(path)


def test_a_leaf_in_the_place_of_another(path: Path) -> None:
    def damage(view: mmap, walk: _Walk) -> None:
        first, second, *_ = walk._leaves(tree(walk, Table.ACCOUNTS))
        view[second * PAGE : (second + 1) * PAGE] = view[first * PAGE : (first + 1) * PAGE]

    assert damaged(path, damage).endswith("is damaged")


def test_a_page_of_another_kind(path: Path) -> None:
    def damage(view: mmap, walk: _Walk) -> None:
        pack_into("=H", view, tree(walk, Table.ACCOUNTS).root * PAGE + 10, 2)

    assert damaged(path, damage).endswith("is damaged")


@pytest.mark.parametrize(("at", "value"), [(12, 8), (12, 5000), (14, 17), (14, 5000)])
def test_bounds_of_a_page_that_cannot_be(path: Path, at: int, value: int) -> None:
    def damage(view: mmap, walk: _Walk) -> None:
        leaf = walk._leaves(tree(walk, Table.ACCOUNTS))[-1]
        pack_into("=H", view, leaf * PAGE + at, value)

    assert damaged(path, damage).endswith("is damaged")


@pytest.mark.parametrize("offset", [0, 4096, 4001, 65_535])
def test_a_node_outside_its_page(path: Path, offset: int) -> None:
    def damage(view: mmap, walk: _Walk) -> None:
        leaf = walk._leaves(tree(walk, Table.ACCOUNTS))[-1]
        pack_into("=H", view, leaf * PAGE + 16, offset)

    assert damaged(path, damage).endswith("is damaged")


@pytest.mark.parametrize("field", [0, 1, 3], ids=["size, low", "size, high", "key"])
def test_a_node_that_reaches_beyond_its_page(path: Path, field: int) -> None:
    def damage(view: mmap, walk: _Walk) -> None:
        leaf = walk._leaves(tree(walk, Table.ACCOUNTS))[-1]
        offset, *_ = next(walk._nodes(leaf, 2))
        pack_into("=H", view, leaf * PAGE + offset + 2 * field, 4000)

    assert damaged(path, damage).endswith("is damaged")


def test_a_child_that_is_not_in_the_file(path: Path) -> None:
    def damage(view: mmap, walk: _Walk) -> None:
        root = tree(walk, Table.ACCOUNTS).root
        offset, *_ = next(walk._nodes(root, 1))
        pack_into("=H", view, root * PAGE + offset, walk._pages)

    assert damaged(path, damage).startswith("cut short: page ")


def test_a_long_value_that_reaches_beyond_the_file(path: Path) -> None:
    def damage(view: mmap, walk: _Walk) -> None:
        pack_into("=H", view, body_node(walk) + 2, 1000)

    assert damaged(path, damage).startswith("cut short: page ")


def test_a_long_value_on_pages_of_something_else(path: Path) -> None:
    def damage(view: mmap, walk: _Walk) -> None:
        pack_into("=Q", view, body_node(walk) + 8 + len(b"body"), tree(walk, Table.ACCOUNTS).root)

    assert damaged(path, damage).endswith("is damaged")


@pytest.mark.parametrize(
    ("at", "value"),
    [(0, 2**40), (8, 0), (8, 1), (8, 2**40)],
    ids=["count", "first meta page", "second meta page", "page beyond the end"],
)
def test_a_list_of_free_pages_that_cannot_be(path: Path, at: int, value: int) -> None:
    def damage(view: mmap, walk: _Walk) -> None:
        pack_into("=Q", view, free_list(walk) + at, value)

    assert damaged(path, damage) == "the list of free pages is damaged"


@pytest.mark.parametrize("depth", [0, 33, 60_000])
def test_a_tree_of_a_depth_that_cannot_be(path: Path, depth: int) -> None:
    def damage(view: mmap, walk: _Walk) -> None:
        pack_into("=H", view, main_values(walk)[0].position + 6, depth)

    assert damaged(path, damage) == f"impossible tree depth {depth}"


def test_a_page_size_that_cannot_be(path: Path) -> None:
    def damage(view: mmap, _: _Walk) -> None:
        pack_into("=I", view, 16 + 24, 4095)

    assert damaged(path, damage) == "impossible page size 4095"


@pytest.mark.parametrize("at", [16, 20, PAGE + 16, PAGE + 20])
def test_another_format(path: Path, at: int) -> None:
    def damage(view: mmap, _: _Walk) -> None:
        pack_into("=I", view, at, 99)

    assert damaged(path, damage) == "not a database of this format"


def test_leaves_behind_the_bound_are_trusted(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with path.open("r+b") as file, mmap(file.fileno(), 0) as view:
        walk = _Walk(view)
        leaf = walk._leaves(tree(walk, Table.ACCOUNTS))[-1]
        view[leaf * PAGE : leaf * PAGE + 8] = bytes(8)
    monkeypatch.setattr("node.storage.lmdb_file.MAX_CHECKED_PAGES", 5)
    check_data_file(path)
    monkeypatch.undo()
    with pytest.raises(BrokenFileError, match=f"page {leaf} is damaged"):
        check_data_file(path)
