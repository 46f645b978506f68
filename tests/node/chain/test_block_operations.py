"""The queue of deferred block operations."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from node.chain.block_operations import (
    BlockOperation,
    BlockOperationQueue,
    BlockOperationView,
    OperationKind,
)
from node.storage.memory import MemoryStore
from node.storage.store import Table
from protocols.types import Hash32

ACCEPT, REJECT, VERIFY = OperationKind.ACCEPT, OperationKind.REJECT, OperationKind.VERIFY


def operation(kind: OperationKind, height: int) -> BlockOperation:
    return BlockOperation(kind, height, Hash32(bytes([height % 256]) * 32))


@pytest.fixture
def queue() -> Iterator[BlockOperationQueue]:
    with MemoryStore().write() as writer:
        yield BlockOperationQueue(writer)


def operations(queue: BlockOperationQueue) -> list[BlockOperation]:
    return [each.operation for each in queue.snapshot(10_000)]


def test_they_come_out_in_the_order_they_went_in(queue: BlockOperationQueue) -> None:
    given_ = [
        operation(VERIFY, 9),
        operation(ACCEPT, 3),
        operation(REJECT, 3),
        operation(ACCEPT, 4),
    ]
    for each in given_:
        queue.enqueue(each)

    assert operations(queue) == given_
    assert len(queue) == 4


def test_what_comes_while_a_snapshot_is_executed_stays_for_the_next(
    queue: BlockOperationQueue,
) -> None:
    queue.enqueue(operation(ACCEPT, 1))
    queue.enqueue(operation(ACCEPT, 2))
    taken = queue.snapshot(10)
    queue.enqueue(operation(ACCEPT, 3))

    queue.remove(taken)

    assert operations(queue) == [operation(ACCEPT, 3)]


def test_a_snapshot_has_at_most_its_limit(queue: BlockOperationQueue) -> None:
    for height in range(5):
        queue.enqueue(operation(ACCEPT, height))

    assert [each.operation.height for each in queue.snapshot(2)] == [0, 1]
    assert len(queue) == 5


def test_operations_up_to_a_height_go_and_the_others_keep_their_order(
    queue: BlockOperationQueue,
) -> None:
    for kind, height in ((VERIFY, 5), (ACCEPT, 4), (REJECT, 6), (ACCEPT, 5), (VERIFY, 7)):
        queue.enqueue(operation(kind, height))

    assert queue.prune(5) == 3

    assert operations(queue) == [operation(REJECT, 6), operation(VERIFY, 7)]
    assert queue.prune(5) == 0


def test_a_final_block_that_waits_is_seen_behind_others(queue: BlockOperationQueue) -> None:
    for each in (operation(VERIFY, 1), operation(REJECT, 2**24), operation(VERIFY, 2**24)):
        queue.enqueue(each)
    assert not queue.holds_accepted

    queue.enqueue(operation(ACCEPT, 3))
    queue.enqueue(operation(VERIFY, 4))

    assert queue.holds_accepted


def test_an_empty_queue_leaves_nothing_behind() -> None:
    with MemoryStore().write() as writer:
        queue = BlockOperationQueue(writer)
        queue.enqueue(operation(ACCEPT, 1))
        queue.remove(queue.snapshot(1))

        assert len(queue) == 0
        assert not any(list(writer.scan(table)) for table in Table)


@given(
    st.sampled_from(OperationKind), st.integers(0, 2**32 - 1), st.binary(min_size=32, max_size=32)
)
def test_what_is_stored_is_what_was_given(kind: OperationKind, height: int, block: bytes) -> None:
    given_ = BlockOperation(kind, height, Hash32(block))
    with MemoryStore().write() as writer:
        queue = BlockOperationQueue(writer)
        queue.enqueue(given_)
        assert operations(queue) == [given_]


class QueueMachine(RuleBasedStateMachine):
    """The queue beside a list."""

    def __init__(self) -> None:
        super().__init__()
        self.store = MemoryStore()
        self.model: list[BlockOperation] = []

    @rule(kind=st.sampled_from(OperationKind), height=st.integers(0, 50))
    def put(self, kind: OperationKind, height: int) -> None:
        with self.store.write() as writer:
            BlockOperationQueue(writer).enqueue(operation(kind, height))
        self.model.append(operation(kind, height))

    @rule(count=st.integers(0, 5))
    def take(self, count: int) -> None:
        with self.store.write() as writer:
            queue = BlockOperationQueue(writer)
            queue.remove(queue.snapshot(count))
        del self.model[:count]

    @rule(height=st.integers(0, 50))
    def prune(self, height: int) -> None:
        with self.store.write() as writer:
            removed = BlockOperationQueue(writer).prune(height)
        left = [each for each in self.model if each.height > height]
        assert removed == len(self.model) - len(left)
        self.model = left

    @invariant()
    def they_agree(self) -> None:
        with self.store.read() as reader:
            view = BlockOperationView(reader)
            assert [each.operation for each in view.snapshot(1000)] == self.model
            assert len(view) == len(self.model)


TestQueueMachine = QueueMachine.TestCase
