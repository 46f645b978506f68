"""Proofs of key ranges: what holds is accepted, and nothing else is, whatever one changes."""

from contextlib import suppress

from hypothesis import assume, given
from hypothesis import strategies as st

from node.accounts.pages import Record
from node.accounts.proof_nodes import read_nodes
from node.accounts.range_proof import RangeAnswer, Verified, prove_range, verify_range
from node.storage.runs import run_of
from protocols.errors import WireError
from protocols.types import Address, Hash32
from tests.build.states import keys, states, store_of

State = dict[Address, bytes]

ranges = st.tuples(keys, keys).map(lambda pair: (min(pair), max(pair)))
limits = st.integers(1, 300)


def expected(
    state: State, start: Address, end: Address, leaves: list[Record], verified: Verified
) -> None:
    """Check everything that a verified answer says against the state itself."""
    covered = verified.next or end + b"\0"
    assert leaves == sorted(item for item in state.items() if start <= item[0] < covered)
    rest = [address for address in state if covered <= address <= end]
    assert (verified.next is not None) == bool(rest)
    assert verified.next is None or start < verified.next <= min(rest)
    assert verified.before == sum(address < start for address in state)
    assert verified.total == len(state)


def check_anything(
    state: State, root: Hash32, key_range: tuple[Address, Address], leaves: bytes, proof: bytes
) -> bool:
    """Whatever an answer is made of: it is refused, or it is true and what it came as."""
    try:
        answer = RangeAnswer.decode(leaves, proof)
    except WireError:
        return False
    assert run_of(answer.leaves) == answer.leaves.payload == leaves
    verified = verify_range(root, *key_range, answer)
    if verified is None:
        return False
    assert b"".join(node.encode() for node in read_nodes(proof)) == proof
    expected(state, *key_range, list(answer.leaves), verified)
    return True


@given(states, ranges, limits, st.integers(1, 3000))
def test_every_range_of_every_state_can_be_proven(
    state: State, key_range: tuple[Address, Address], max_leaves: int, max_bytes: int
) -> None:
    store, root = store_of(state)
    with store.read() as reader:
        leaves, proof = prove_range(reader, *key_range, max_leaves=max_leaves, max_bytes=max_bytes)
    assert check_anything(state, root, key_range, leaves, proof)
    count = len(RangeAnswer.decode(leaves, proof).leaves)
    assert count <= max_leaves
    assert len(leaves) <= max_bytes or count == 1


@given(states, ranges, limits)
def test_a_state_can_be_read_range_by_range(
    state: State, key_range: tuple[Address, Address], max_leaves: int
) -> None:
    store, root = store_of(state)
    found: list[Record] = []
    next_key: Address | None = key_range[0]
    end = key_range[1]
    with store.read() as reader:
        while next_key is not None:
            leaves, proof = prove_range(
                reader, next_key, end, max_leaves=max_leaves, max_bytes=10_000
            )
            answer = RangeAnswer.decode(leaves, proof)
            verified = verify_range(root, next_key, end, answer)
            assert verified is not None
            found += answer.leaves
            next_key = verified.next
    assert found == sorted(item for item in state.items() if key_range[0] <= item[0] <= end)


def flipped(payload: bytes, at: int, bit: int) -> bytes:
    position = at % len(payload)
    changed = payload[position] ^ 1 << bit
    return payload[:position] + bytes((changed,)) + payload[position + 1 :]


@given(states, ranges, limits, st.integers(0), st.integers(0, 7))
def test_no_bit_of_an_answer_can_be_changed(
    state: State, key_range: tuple[Address, Address], max_leaves: int, at: int, bit: int
) -> None:
    store, root = store_of(state)
    with store.read() as reader:
        leaves, proof = prove_range(reader, *key_range, max_leaves=max_leaves, max_bytes=10_000)
    if leaves:
        assert not check_anything(state, root, key_range, flipped(leaves, at, bit), proof)
    if proof:
        assert not check_anything(state, root, key_range, leaves, flipped(proof, at, bit))
    assert not check_anything(state, Hash32(flipped(root, at, bit)), key_range, leaves, proof)


@given(states, ranges, limits, st.integers(0))
def test_no_account_can_be_left_out_or_repeated(
    state: State, key_range: tuple[Address, Address], max_leaves: int, at: int
) -> None:
    store, root = store_of(state)
    with store.read() as reader:
        leaves, proof = prove_range(reader, *key_range, max_leaves=max_leaves, max_bytes=10_000)
    records = list(RangeAnswer.decode(leaves, proof).leaves)
    assume(records)
    for index in {0, at % len(records), len(records) - 1}:
        dropped = run_of(records[:index] + records[index + 1 :])
        twice = run_of(records[: index + 1] + records[index:])
        changed = run_of([*records[:index], (records[index][0], b"else"), *records[index + 1 :]])
        for wrong in (dropped, twice, changed):
            assert not check_anything(state, root, key_range, wrong, proof)
    if len(records) > 1:
        assert not check_anything(state, root, key_range, run_of(records[::-1]), proof)


@given(states, ranges, limits, st.integers(0))
def test_no_node_of_a_proof_can_be_left_out_repeated_or_moved(
    state: State, key_range: tuple[Address, Address], max_leaves: int, at: int
) -> None:
    store, root = store_of(state)
    with store.read() as reader:
        leaves, proof = prove_range(reader, *key_range, max_leaves=max_leaves, max_bytes=10_000)
    nodes = [node.encode() for node in read_nodes(proof)]
    assume(nodes)
    index = at % len(nodes)
    dropped = nodes[:index] + nodes[index + 1 :]
    repeated = nodes[: index + 1] + nodes[index:]
    rotated = nodes[index:] + nodes[:index]
    for wrong in (dropped, repeated, rotated):
        if wrong != nodes:
            assert not check_anything(state, root, key_range, leaves, b"".join(wrong))
    for length in {0, at % len(proof), len(proof) - 1}:
        assert not check_anything(state, root, key_range, leaves, proof[:length])
    assert not check_anything(state, root, key_range, leaves, proof + b"\0")


@given(states, ranges, ranges, limits, limits)
def test_an_answer_says_nothing_about_another_range(
    state: State,
    key_range: tuple[Address, Address],
    other: tuple[Address, Address],
    max_leaves: int,
    other_leaves: int,
) -> None:
    """Unless it holds for that too: parts of two answers put together are refused, or true."""
    store, root = store_of(state)
    with store.read() as reader:
        leaves, proof = prove_range(reader, *key_range, max_leaves=max_leaves, max_bytes=10_000)
        second = prove_range(reader, *other, max_leaves=other_leaves, max_bytes=10_000)
    check_anything(state, root, other, leaves, proof)
    if key_range[0] <= other[1]:
        check_anything(state, root, (key_range[0], other[1]), leaves, proof)
    check_anything(state, root, key_range, leaves, second[1])
    check_anything(state, root, key_range, second[0], proof)


@given(states, st.data(), limits)
def test_the_first_accounts_cannot_be_hidden(
    state: State, data: st.DataObject, max_leaves: int
) -> None:
    """As the whole answer of a later start would do if others of a page were not looked at."""
    assume(state)
    some = st.sampled_from(sorted(state))
    start, later, end = sorted(data.draw(st.tuples(some, some, some)))
    store, root = store_of(state)
    with store.read() as reader:
        answer = prove_range(reader, later, end, max_leaves=max_leaves, max_bytes=10_000)
    assert check_anything(state, root, (start, end), *answer) == (start == later)


@given(states, states, ranges, limits)
def test_an_answer_of_another_state_is_refused(
    state: State, another: State, key_range: tuple[Address, Address], max_leaves: int
) -> None:
    assume(state != another)
    store, _ = store_of(another)
    _, root = store_of(state)
    with store.read() as reader:
        answer = prove_range(reader, *key_range, max_leaves=max_leaves, max_bytes=10_000)
    assert not check_anything(state, root, key_range, *answer)


@given(st.binary(max_size=100), st.binary(max_size=100))
def test_any_bytes_decode_to_themselves_or_are_refused(leaves: bytes, proof: bytes) -> None:
    with suppress(WireError):
        answer = RangeAnswer.decode(leaves, b"")
        assert run_of(answer.leaves) == leaves
    with suppress(WireError):
        assert b"".join(node.encode() for node in read_nodes(proof)) == proof
