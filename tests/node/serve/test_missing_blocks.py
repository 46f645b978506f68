"""Missing-blocks requests, rule by rule."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.blocks.block import Block
from node.serve.missing_blocks import serve_missing_blocks
from node.storage.memory import MemoryStore
from node.storage.store import Reader, Table, Writer
from protocols.limits import MAX_BLOCK_BYTES, MAX_LOCATORS, MAX_RESPONSE_BYTES
from protocols.messages.missing_blocks import MissingBlocksRequest, MissingBlocksResponse
from protocols.status import Refusal, ResponseStatus
from protocols.types import Direction, Hash32
from tests.build.blocks import digest
from tests.build.chain import ChainBuilder, light_chain, open_chain
from tests.build.keys import genesis
from tests.node.serve.chains import LENGTH, POLICY, TamperedView, encode, forked

FORWARD, BACKWARD = Direction.FORWARD, Direction.BACKWARD


def ask(
    target: Hash32,
    *locators: Hash32,
    direction: Direction = FORWARD,
    with_body: bool = False,
) -> MissingBlocksRequest:
    return MissingBlocksRequest(
        target=target, with_body=with_body, locators=locators, direction=direction
    )


def refused(status: ResponseStatus) -> Refusal:
    return Refusal(status)


@pytest.mark.parametrize("with_body", [True, False])
@pytest.mark.parametrize(
    ("locator", "target", "first", "last"),
    [
        (0, 3, 1, 3),
        (2, 4, 3, 4),
        (0, 5, 1, 5),
        (3, 8, 4, 5),
        (5, 13, 6, 10),
        (4, 10, 5, 5),
        (10, 13, 11, 13),
        (12, 13, 13, 13),
    ],
)
def test_forward_goes_up_to_the_target_or_the_next_macro_block(
    *, locator: int, target: int, first: int, last: int, with_body: bool
) -> None:
    known = forked()
    request = ask(known.at(target), known.at(locator), with_body=with_body)

    assert serve_missing_blocks(request, known.chain) == MissingBlocksResponse(
        blocks=known.bytes_between(first, last, with_body=with_body)
    )


def test_forward_starts_at_the_first_locator_that_is_on_the_main_chain() -> None:
    known = forked()
    locators = (digest("theirs"), known.fork[0].hash, known.at(11), known.at(10))

    assert serve_missing_blocks(ask(known.at(13), *locators), known.chain) == MissingBlocksResponse(
        blocks=known.bytes_between(12, 13, with_body=False)
    )


@pytest.mark.parametrize("target", [3, 7])
def test_forward_target_at_or_below_the_locator_is_an_empty_success(target: int) -> None:
    known = forked()

    assert serve_missing_blocks(
        ask(known.at(target), known.at(7)), known.chain
    ) == MissingBlocksResponse(blocks=())


def test_forward_unknown_target() -> None:
    known = forked()

    assert serve_missing_blocks(ask(digest("?"), known.at(1)), known.chain) == refused(
        ResponseStatus.TARGET_NOT_FOUND
    )


def test_forward_target_on_a_fork() -> None:
    known = forked()

    assert serve_missing_blocks(ask(known.fork[1].hash, known.at(10)), known.chain) == refused(
        ResponseStatus.TARGET_NOT_ON_MAIN_CHAIN
    )


@pytest.mark.parametrize("has_locators", [True, False])
def test_forward_no_known_locator(*, has_locators: bool) -> None:
    known = forked()
    locators = (digest("theirs"), known.fork[0].hash) if has_locators else ()

    assert serve_missing_blocks(ask(known.at(13), *locators), known.chain) == refused(
        ResponseStatus.UNKNOWN_LOCATORS
    )


@pytest.mark.parametrize("direction", Direction)
def test_number_of_locators(direction: Direction) -> None:
    known = forked()
    most = (known.at(12),) * MAX_LOCATORS

    assert isinstance(
        serve_missing_blocks(ask(known.at(13), *most, direction=direction), known.chain),
        MissingBlocksResponse,
    )
    assert serve_missing_blocks(
        ask(digest("?"), *most, known.at(12), direction=direction), known.chain
    ) == refused(ResponseStatus.TOO_MANY_LOCATORS)


@pytest.mark.parametrize("with_body", [True, False])
@pytest.mark.parametrize(
    ("target", "locators", "first"),
    [(13, [11], 12), (13, [], 10), (9, [7, 5], 8), (9, [5], 6), (9, [], 5), (3, [], 0)],
)
def test_backward_goes_down_to_a_locator_or_a_macro_block(
    *, target: int, locators: list[int], first: int, with_body: bool
) -> None:
    known = forked()
    request = ask(
        known.at(target),
        *map(known.at, locators),
        direction=BACKWARD,
        with_body=with_body,
    )
    response = serve_missing_blocks(request, known.chain)

    assert isinstance(response, MissingBlocksResponse)
    expected = known.bytes_between(max(first, 1), target, with_body=with_body)[::-1]
    assert response.blocks[: len(expected)] == expected
    genesis_count = 1 if first == 0 else 0
    assert len(response.blocks) == len(expected) + genesis_count
    assert Block.decode(response.blocks[-1]).number == first


def test_backward_follows_forks() -> None:
    known = forked()
    request = ask(known.fork[1].hash, known.at(11), direction=BACKWARD, with_body=True)

    assert serve_missing_blocks(request, known.chain) == MissingBlocksResponse(
        blocks=tuple(encode(block, with_body=True) for block in reversed(known.fork))
    )


def test_backward_macro_target_is_included_and_the_end() -> None:
    known = forked()
    request = ask(known.at(10), known.at(7), direction=BACKWARD)

    assert serve_missing_blocks(request, known.chain) == MissingBlocksResponse(
        blocks=known.bytes_between(10, 10, with_body=False)
    )


def test_backward_target_that_is_a_locator_is_an_empty_success() -> None:
    known = forked()
    request = ask(known.at(8), known.at(8), direction=BACKWARD)

    assert serve_missing_blocks(request, known.chain) == MissingBlocksResponse(blocks=())


def test_backward_unknown_target() -> None:
    known = forked()
    request = ask(digest("?"), known.at(1), direction=BACKWARD)

    assert serve_missing_blocks(request, known.chain) == refused(ResponseStatus.TARGET_NOT_FOUND)


@pytest.mark.parametrize("direction", Direction)
def test_node_without_bodies_names_it(direction: Direction) -> None:
    known = forked()
    chain = light_chain(genesis(policy=POLICY))
    chain.push([block.without_body() for block in known.main])
    with_bodies = ask(known.at(13), known.at(11), direction=direction, with_body=True)
    headers = ask(known.at(13), known.at(11), direction=direction)

    assert serve_missing_blocks(with_bodies, chain) == refused(ResponseStatus.BODIES_NOT_STORED)
    assert isinstance(serve_missing_blocks(headers, chain), MissingBlocksResponse)


def test_blocks_that_are_no_longer_kept_are_named() -> None:
    """A light node at 13 with macro head 10 keeps blocks from 5 on, and election blocks."""
    known = forked()
    light = light_chain(genesis(policy=POLICY))
    light.push(known.main)
    refusal = refused(ResponseStatus.PRUNED)

    assert light.hash_at(4) is None
    assert serve_missing_blocks(ask(known.at(13), known.at(0)), light) == refusal
    at_start = serve_missing_blocks(ask(known.at(0), known.at(0)), light)
    assert at_start == MissingBlocksResponse(blocks=())
    whole = serve_missing_blocks(ask(known.at(13), known.at(5)), light)
    assert whole == MissingBlocksResponse(blocks=known.bytes_between(6, 10, with_body=False))


@pytest.mark.parametrize("direction", Direction)
@pytest.mark.parametrize("height", [6, 7])
def test_a_body_that_is_no_longer_kept_is_named(direction: Direction, height: int) -> None:
    known = forked()
    view = TamperedView(known.chain, without_body=frozenset({known.at(height)}))
    request = ask(known.at(8), known.at(5), direction=direction, with_body=True)

    assert serve_missing_blocks(request, view) == refused(ResponseStatus.PRUNED)


@pytest.mark.parametrize("with_body", [True, False])
@pytest.mark.parametrize("direction", Direction)
@pytest.mark.parametrize("height", [6, 7])
def test_a_block_in_between_that_is_not_stored_is_named(
    direction: Direction, height: int, *, with_body: bool
) -> None:
    known = forked()
    view = TamperedView(known.chain, missing=frozenset({known.at(height)}))
    request = ask(known.at(8), known.at(5), direction=direction, with_body=with_body)

    assert serve_missing_blocks(request, view) == refused(ResponseStatus.NOT_FOUND)


class InterruptedStore:
    """A store of a chain that has something pushed to it between two reads of somebody else."""

    def __init__(self) -> None:
        self._below = MemoryStore()
        self._interrupt: Callable[[], object] | None = None
        self._reads_before = 0

    @property
    def is_waiting(self) -> bool:
        """Whether the interruption is still to come."""
        return self._interrupt is not None

    def interrupt(self, action: Callable[[], object], *, after_reads: int) -> None:
        """Call something once, after that many reads and before the next."""
        self._interrupt, self._reads_before = action, after_reads

    @contextmanager
    def read(self) -> Iterator[Reader]:
        with self._below.read() as reader:
            yield _InterruptedReader(reader, self)

    def write(self, *, durable: bool = True) -> AbstractContextManager[Writer]:
        return self._below.write(durable=durable)

    def close(self) -> None:
        self._below.close()

    def before_read(self) -> None:
        """Count a read, and come in between if it is time."""
        action = self._interrupt
        if action is not None and self._reads_before == 0:
            self._interrupt = None
            action()
        self._reads_before -= 1


@dataclass(frozen=True)
class _InterruptedReader(Reader):
    below: Reader
    store: InterruptedStore

    def get(self, table: Table, key: bytes) -> bytes | None:
        self.store.before_read()
        return self.below.get(table, key)

    def scan(
        self, table: Table, start: bytes = b"", end: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        self.store.before_read()
        return self.below.scan(table, start, end, reverse=reverse)


@pytest.mark.parametrize("blocks", [3, 5])
@pytest.mark.parametrize("direction", Direction)
def test_a_rebranch_between_two_reads_changes_no_answer(direction: Direction, blocks: int) -> None:
    """Also one that ends in a macro block, with which our blocks are deleted."""
    ours = ChainBuilder(genesis(policy=POLICY))
    theirs = ours.fork_from(ours.head.hash)
    ours.extend(3)
    theirs.skip()
    theirs.extend(blocks - 1)
    request = ask(ours.head.hash, ours.genesis.hash, direction=direction, with_body=True)
    expected = tuple(encode(block, with_body=True) for block in ours.blocks)
    if direction is BACKWARD:
        expected = expected[::-1]

    for reads_before in count():
        store = InterruptedStore()
        chain = open_chain(ours.genesis, store=store)
        ours.push_all(chain)
        store.interrupt(partial(theirs.push_all, chain), after_reads=reads_before)
        response = serve_missing_blocks(request, chain)

        assert response == MissingBlocksResponse(blocks=expected)
        if store.is_waiting:
            assert reads_before > len(expected)
            return
        assert chain.head == theirs.head


@pytest.mark.parametrize("direction", Direction)
@given(st.data())
def test_answer_keeps_its_size_and_is_as_long_as_that_allows(
    direction: Direction, data: st.DataObject
) -> None:
    known = forked()
    request = ask(known.at(5), known.at(0), direction=direction, with_body=True)
    whole = serve_missing_blocks(request, known.chain)
    assert isinstance(whole, MissingBlocksResponse)
    max_bytes = data.draw(st.integers(20, len(whole.encode()) + 20))
    cut = serve_missing_blocks(request, known.chain, max_bytes=max_bytes)

    assert isinstance(cut, MissingBlocksResponse)
    assert cut.blocks == whole.blocks[: len(cut.blocks)]
    assert len(cut.encode()) <= max_bytes
    if len(cut.blocks) < len(whole.blocks):
        longer = MissingBlocksResponse(blocks=whole.blocks[: len(cut.blocks) + 1])
        assert len(longer.encode()) > max_bytes - 16


class FatView(TamperedView):
    """Shows blocks so large that their length takes four bytes."""

    def block_bytes(self, block: Hash32, *, with_body: bool) -> bytes | None:
        return bytes(70_000) if with_body and self.contains(block) else None


@pytest.mark.parametrize(("room", "count"), [(0, 5), (-1, 4)])
def test_length_prefixes_count(*, room: int, count: int) -> None:
    known = forked()
    request = ask(known.at(5), known.at(0), with_body=True)
    max_bytes = 5 * (70_000 + 5) + 8 + room
    response = serve_missing_blocks(request, FatView(known.chain), max_bytes=max_bytes)

    assert response == MissingBlocksResponse(blocks=(bytes(70_000),) * count)
    assert len(response.encode()) <= max_bytes


def test_one_block_of_the_largest_size_always_fits() -> None:
    largest = MissingBlocksResponse(blocks=(bytes(MAX_BLOCK_BYTES),))

    assert len(largest.encode()) <= MAX_RESPONSE_BYTES


@given(
    st.integers(0, LENGTH), st.lists(st.integers(0, LENGTH), max_size=4), st.sampled_from(Direction)
)
def test_answers_are_linked_and_bounded(
    target: int, locators: list[int], direction: Direction
) -> None:
    known = forked()
    up = direction is FORWARD
    request = ask(known.at(target), *map(known.at, locators), direction=direction)
    response = serve_missing_blocks(request, known.chain)
    if not isinstance(response, MissingBlocksResponse):
        assert response == refused(ResponseStatus.UNKNOWN_LOCATORS)
        assert not locators
        return
    blocks = [Block.decode(block) for block in response.blocks]
    ascending = blocks if up else blocks[::-1]

    assert len(blocks) <= POLICY.batch_length
    for lower, higher in pairwise(ascending):
        assert higher.parent_hash == lower.hash
        assert higher.number == lower.number + 1
    inside = ascending[:-1] if up else ascending[1:-1]
    assert not any(block.is_macro for block in inside)
