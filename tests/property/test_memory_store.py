"""The memory store beside a dictionary that is copied for every snapshot."""

from contextlib import AbstractContextManager
from dataclasses import dataclass

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from node.storage.memory import MemoryStore
from node.storage.store import Reader, Table, Writer

Model = dict[bytes, bytes]

keys = st.integers(0, 300).map(lambda number: number.to_bytes(2, "big"))
values = st.none() | st.binary(max_size=2)
changes = st.dictionaries(keys, values, max_size=150)
ends = st.none() | keys


@dataclass
class Open:
    """A transaction, what it must show, and how to end it."""

    reader: Reader
    model: Model
    context: AbstractContextManager[Reader]


class StoreMachine(RuleBasedStateMachine):
    """At most one write is open, beside any number of snapshots."""

    def __init__(self) -> None:
        super().__init__()
        self.store = MemoryStore()
        self.committed: Model = {}
        self.snapshots: list[Open] = []
        self.write: tuple[Writer, Model, AbstractContextManager[Writer]] | None = None

    @rule()
    def take_snapshot(self) -> None:
        context = self.store.read()
        self.snapshots.append(Open(context.__enter__(), dict(self.committed), context))

    @precondition(lambda self: self.snapshots)
    @rule(which=st.integers(0, 100))
    def release_snapshot(self, which: int) -> None:
        self.snapshots.pop(which % len(self.snapshots)).context.__exit__(None, None, None)

    @precondition(lambda self: self.write is None)
    @rule()
    def begin(self) -> None:
        context = self.store.write()
        self.write = (context.__enter__(), dict(self.committed), context)

    @precondition(lambda self: self.write is not None)
    @rule(some=changes)
    def change(self, some: dict[bytes, bytes | None]) -> None:
        assert self.write is not None
        writer, model, _ = self.write
        for key, value in some.items():
            if value is None:
                writer.delete(Table.UNDO, key)
                model.pop(key, None)
            else:
                writer.put(Table.UNDO, key, value)
                model[key] = value

    @precondition(lambda self: self.write is not None)
    @rule(fails=st.booleans())
    def end(self, *, fails: bool) -> None:
        assert self.write is not None
        _, model, context = self.write
        self.write = None
        if fails:
            error = KeyError("stop")
            try:
                assert not context.__exit__(KeyError, error, None)
            except KeyError as raised:
                assert raised is error  # noqa: PT017 - the context may raise it or let it pass.
        else:
            context.__exit__(None, None, None)
            self.committed = model

    @rule(start=keys, end=ends, reverse=st.booleans(), key=keys)
    def look(self, start: bytes, end: bytes | None, key: bytes, *, reverse: bool) -> None:
        views = [(each.reader, each.model) for each in self.snapshots]
        if self.write is not None:
            views.append(self.write[:2])
        with self.store.read() as newest:
            for reader, model in [*views, (newest, self.committed)]:
                expected = [
                    (name, model[name])
                    for name in sorted(model, reverse=reverse)
                    if start <= name and (end is None or name < end)
                ]
                assert list(reader.scan(Table.UNDO, start, end, reverse=reverse)) == expected
                assert reader.get(Table.UNDO, key) == model.get(key)


TestMemoryStore = StoreMachine.TestCase
