"""The queue of deferred block operations."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from node.chain.block_operations import (
    BlockOperation,
    OperationKind,
    enqueue,
    length,
    remove,
    remove_up_to,
    snapshot,
)
from node.storage.memory import MemoryStore
from node.storage.store import Table, Writer
from protocols.types import Hash32

ACCEPT, REJECT, VERIFY = OperationKind.ACCEPT, OperationKind.REJECT, OperationKind.VERIFY


def operation(kind: OperationKind, height: int) -> BlockOperation:
    return BlockOperation(kind, height, Hash32(bytes([height % 256]) * 32))


@pytest.fixture
def writer() -> Iterator[Writer]:
    with MemoryStore().write() as writer:
        yield writer


def operations(writer: Writer) -> list[BlockOperation]:
    return [each.operation for each in snapshot(writer, 10_000)]


def test_they_come_out_in_the_order_they_went_in(writer: Writer) -> None:
    given_ = [
        operation(VERIFY, 9),
        operation(ACCEPT, 3),
        operation(REJECT, 3),
        operation(ACCEPT, 4),
    ]
    for each in given_:
        enqueue(writer, each)

    assert operations(writer) == given_
    assert length(writer) == 4


def test_what_comes_while_a_snapshot_is_executed_stays_for_the_next(writer: Writer) -> None:
    enqueue(writer, operation(ACCEPT, 1))
    enqueue(writer, operation(ACCEPT, 2))
    taken = snapshot(writer, 10)
    enqueue(writer, operation(ACCEPT, 3))

    remove(writer, taken)

    assert operations(writer) == [operation(ACCEPT, 3)]


def test_a_snapshot_has_at_most_its_limit(writer: Writer) -> None:
    for height in range(5):
        enqueue(writer, operation(ACCEPT, height))

    assert [each.operation.height for each in snapshot(writer, 2)] == [0, 1]
    assert length(writer) == 5


def test_operations_up_to_a_height_go_and_the_others_keep_their_order(writer: Writer) -> None:
    for kind, height in ((VERIFY, 5), (ACCEPT, 4), (REJECT, 6), (ACCEPT, 5), (VERIFY, 7)):
        enqueue(writer, operation(kind, height))

    assert remove_up_to(writer, 5) == 3

    assert operations(writer) == [operation(REJECT, 6), operation(VERIFY, 7)]
    assert remove_up_to(writer, 5) == 0


def test_an_empty_queue_leaves_nothing_behind(writer: Writer) -> None:
    enqueue(writer, operation(ACCEPT, 1))
    remove(writer, snapshot(writer, 1))

    assert length(writer) == 0
    assert not any(list(writer.scan(table)) for table in Table)


@given(
    st.sampled_from(OperationKind), st.integers(0, 2**32 - 1), st.binary(min_size=32, max_size=32)
)
def test_what_is_stored_is_what_was_given(kind: OperationKind, height: int, block: bytes) -> None:
    given_ = BlockOperation(kind, height, Hash32(block))
    with MemoryStore().write() as writer:
        enqueue(writer, given_)
        assert operations(writer) == [given_]


class QueueMachine(RuleBasedStateMachine):
    """The queue beside a list."""

    def __init__(self) -> None:
        super().__init__()
        self.store = MemoryStore()
        self.model: list[BlockOperation] = []

    @rule(kind=st.sampled_from(OperationKind), height=st.integers(0, 50))
    def put(self, kind: OperationKind, height: int) -> None:
        with self.store.write() as writer:
            enqueue(writer, operation(kind, height))
        self.model.append(operation(kind, height))

    @rule(count=st.integers(0, 5))
    def take(self, count: int) -> None:
        with self.store.write() as writer:
            remove(writer, snapshot(writer, count))
        del self.model[:count]

    @rule(height=st.integers(0, 50))
    def prune(self, height: int) -> None:
        with self.store.write() as writer:
            removed = remove_up_to(writer, height)
        left = [each for each in self.model if each.height > height]
        assert removed == len(self.model) - len(left)
        self.model = left

    @invariant()
    def they_agree(self) -> None:
        with self.store.read() as reader:
            assert [each.operation for each in snapshot(reader, 1000)] == self.model
            assert length(reader) == len(self.model)


TestQueueMachine = QueueMachine.TestCase
