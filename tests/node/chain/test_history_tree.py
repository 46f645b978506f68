from hashlib import blake2b

import pytest

from node.chain.history_tree import (
    EMPTY_ROOT,
    NO_PEAKS,
    Peaks,
    append,
    extend,
    inner_hash,
    leaf_count_of,
    leaf_hash,
    leaf_position,
    load_peaks,
    node_count,
    node_key,
    peak_positions,
    plan,
    root,
    truncate,
)
from node.storage.memory import MemoryStore
from node.storage.store import Store, Table
from protocols.types import Hash32

EPOCH = 3


def digest(content: bytes) -> Hash32:
    return Hash32(blake2b(content, digest_size=32).digest())


def transactions(count: int, label: str = "") -> list[Hash32]:
    return [digest(f"{label}{number}".encode()) for number in range(count)]


def filled(count: int, epoch: int = EPOCH) -> Store:
    store = MemoryStore()
    with store.write() as writer:
        append(writer, epoch, transactions(count))
    return store


def nodes(store: Store) -> dict[bytes, bytes]:
    with store.read() as reader:
        return dict(reader.scan(Table.HISTORY))


def test_the_root_is_that_of_the_docstring() -> None:
    leaves = [digest(b"\x10" + transaction) for transaction in transactions(7)]
    pairs = [digest(b"\x11" + leaves[n] + leaves[n + 1]) for n in (0, 2, 4)]
    four = digest(b"\x11" + pairs[0] + pairs[1])
    expected = digest(b"\x12" + (7).to_bytes(8, "big") + four + pairs[2] + leaves[6])
    store = filled(7)
    with store.read() as reader:
        assert root(reader, EPOCH) == expected
        assert load_peaks(reader, EPOCH) == Peaks(7, (four, pairs[2], leaves[6]))
    ordered = [leaves[0], leaves[1], pairs[0], leaves[2], leaves[3], pairs[1], four]
    ordered += [leaves[4], leaves[5], pairs[2], leaves[6]]
    assert nodes(store) == {node_key(EPOCH, at): node for at, node in enumerate(ordered)}


def test_leaves_and_inner_nodes_cannot_be_mistaken_for_each_other() -> None:
    left, right = transactions(2)
    assert leaf_hash(left) == digest(b"\x10" + left)
    assert inner_hash(left, right) == digest(b"\x11" + left + right)


def test_an_epoch_without_transactions_has_the_empty_root() -> None:
    assert digest(b"\x12" + bytes(8)) == EMPTY_ROOT
    with MemoryStore().write() as writer:
        assert root(writer, EPOCH) == EMPTY_ROOT
        assert append(writer, EPOCH, []) == EMPTY_ROOT
        assert load_peaks(writer, EPOCH) == NO_PEAKS


def test_node_numbers() -> None:
    assert [node_count(n) for n in range(9)] == [0, 1, 3, 4, 7, 8, 10, 11, 15]
    assert [leaf_position(n) for n in range(7)] == [0, 1, 3, 4, 7, 8, 10]
    assert [peak_positions(n) for n in range(8)] == [
        (),
        (0,),
        (2,),
        (2, 3),
        (6,),
        (6, 7),
        (6, 9),
        (6, 9, 10),
    ]


def test_a_number_of_nodes_says_how_many_leaves() -> None:
    assert [leaf_count_of(node_count(n)) for n in range(2000)] == list(range(2000))
    with pytest.raises(AssertionError):
        leaf_count_of(2)


@pytest.mark.parametrize("count", [1, 2, 3, 8, 100])
def test_any_transaction_and_its_place_decide_the_root(count: int) -> None:
    some = transactions(count)
    roots = {extend(NO_PEAKS, some)[0].root, extend(NO_PEAKS, some[:-1])[0].root}
    for at in range(count):
        other = [*some[:at], digest(b"other"), *some[at + 1 :]]
        roots.add(extend(NO_PEAKS, other)[0].root)
    if count > 1:
        roots.add(extend(NO_PEAKS, some[::-1])[0].root)
    assert len(roots) == count + 2 + (count > 1)


def test_planning_writes_nothing() -> None:
    store = filled(5)
    before = nodes(store)
    with store.read() as reader:
        planned = plan(reader, EPOCH, transactions(3, "more"))
    assert nodes(store) == before
    with store.write() as writer:
        planned.write(writer)
        assert root(writer, EPOCH) == planned.root
        assert load_peaks(writer, EPOCH).leaf_count == 8


def test_appending_in_parts_is_appending_at_once() -> None:
    at_once, in_parts = filled(50), MemoryStore()
    some = transactions(50)
    with in_parts.write() as writer:
        for start, end in ((0, 1), (1, 1), (1, 18), (18, 49), (49, 50)):
            append(writer, EPOCH, some[start:end])
    assert nodes(at_once) == nodes(in_parts)


def test_epochs_have_trees_of_their_own() -> None:
    store = filled(5)
    with store.write() as writer:
        before = root(writer, EPOCH)
        assert root(writer, EPOCH + 1) == root(writer, EPOCH - 1) == EMPTY_ROOT
        append(writer, EPOCH + 1, transactions(2))
        append(writer, EPOCH - 1, transactions(9))
        assert root(writer, EPOCH) == before
        assert truncate(writer, EPOCH + 1, 0) == EMPTY_ROOT
        assert root(writer, EPOCH) == before
        assert load_peaks(writer, EPOCH - 1).leaf_count == 9
        append(writer, EPOCH + 1, transactions(2))
        assert truncate(writer, EPOCH, 0) == EMPTY_ROOT
        assert load_peaks(writer, EPOCH + 1).leaf_count == 2


@pytest.mark.parametrize("leaf_count", range(14))
def test_truncating_goes_back_to_fewer_leaves(leaf_count: int) -> None:
    store = filled(13)
    with store.write() as writer:
        after = truncate(writer, EPOCH, leaf_count)
        assert after == root(writer, EPOCH) == extend(NO_PEAKS, transactions(leaf_count))[0].root
    assert nodes(store) == nodes(filled(leaf_count))


def test_a_missing_node_is_noticed() -> None:
    store = filled(7)
    with store.write() as writer:
        writer.delete(Table.HISTORY, node_key(EPOCH, 6))
        with pytest.raises(AssertionError, match="lacks node 6"):
            root(writer, EPOCH)
