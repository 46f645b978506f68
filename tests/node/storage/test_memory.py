from node.storage.memory import MemoryStore
from node.storage.store import Table


def test_a_snapshot_that_was_closed_costs_writers_nothing() -> None:
    store = MemoryStore()
    with store.read() as snapshot:
        assert store._snapshots == [snapshot]
    assert store._snapshots == []


def test_a_commit_forgets_what_it_could_have_undone() -> None:
    store = MemoryStore()
    with store.write() as writer:
        writer.put(Table.META, b"key", b"value")
        assert store._undo[Table.META] == {b"key": None}
    assert not any(store._undo.values())
