"""Each thing that a range answer must prove, one at a time, over 2000 accounts."""

import tracemalloc

import pytest

from node.accounts.pages import EMPTY_ROOT, Child
from node.accounts.proof_nodes import (
    MAX_COUNT,
    BranchNode,
    PageNode,
    branch_node,
    page_node,
    read_nodes,
)
from node.accounts.range_proof import (
    FIRST_ADDRESS,
    LAST_ADDRESS,
    RangeAnswer,
    Verified,
    prove_range,
    verify_range,
)
from node.accounts.records import Records
from node.crypto.hashes import hash32
from node.storage.runs import run_of
from protocols.errors import WireError
from protocols.messages.state_range import MAX_RANGE_PROOF_BYTES
from protocols.types import Address
from tests.build.states import store_of

COUNT = 2000
STEP = 2**160 // COUNT

STATE = {Address((n * STEP).to_bytes(20, "big")): b"value %d" % n for n in range(COUNT)}
ADDRESSES = list(STATE)
STORE, ROOT = store_of(STATE)


def plus(address: Address, offset: int) -> Address:
    return Address((int.from_bytes(address, "big") + offset).to_bytes(20, "big"))


def proven(start: Address, end: Address, max_leaves: int = COUNT) -> tuple[bytes, bytes]:
    with STORE.read() as reader:
        return prove_range(reader, start, end, max_leaves=max_leaves, max_bytes=1_000_000)


def checked(start: Address, end: Address, leaves: bytes, proof: bytes) -> Verified | None:
    return verify_range(ROOT, start, end, RangeAnswer.decode(leaves, proof))


def test_the_whole_state_needs_next_to_no_proof() -> None:
    leaves, proof = proven(FIRST_ADDRESS, LAST_ADDRESS)
    verified = checked(FIRST_ADDRESS, LAST_ADDRESS, leaves, proof)
    assert leaves == run_of(STATE.items())
    assert verified == Verified(next=None, before=0, total=COUNT)
    # One branch without given children for each of two levels, and the last page.
    assert proof == branch_node({}) * 2 + page_node([])


def test_a_state_whose_accounts_reach_over_all_keys_needs_none() -> None:
    state = {FIRST_ADDRESS: b"first", LAST_ADDRESS: b"last"}
    store, root = store_of(state)
    with store.read() as reader:
        leaves, proof = prove_range(
            reader, FIRST_ADDRESS, LAST_ADDRESS, max_leaves=2, max_bytes=1000
        )
    assert proof == b""
    answer = RangeAnswer.decode(leaves, proof)
    assert verify_range(root, FIRST_ADDRESS, LAST_ADDRESS, answer) == Verified(
        next=None, before=0, total=2
    )
    again = RangeAnswer.decode(leaves, page_node([]))
    assert verify_range(root, FIRST_ADDRESS, LAST_ADDRESS, again) is None


def test_an_empty_state_is_proven_by_an_empty_page() -> None:
    store, root = store_of({})
    with store.read() as reader:
        answer = prove_range(reader, FIRST_ADDRESS, LAST_ADDRESS, max_leaves=1, max_bytes=1)
    assert (root, answer) == (EMPTY_ROOT, (b"", page_node([])))
    verified = verify_range(root, FIRST_ADDRESS, LAST_ADDRESS, RangeAnswer.decode(*answer))
    assert verified == Verified(next=None, before=0, total=0)
    assert checked(FIRST_ADDRESS, LAST_ADDRESS, *answer) is None


def test_a_single_account() -> None:
    address = ADDRESSES[777]
    leaves, proof = proven(address, address)
    assert leaves == run_of([(address, b"value 777")])
    assert checked(address, address, leaves, proof) == Verified(next=None, before=777, total=COUNT)


def test_an_empty_range_between_accounts() -> None:
    start, end = plus(ADDRESSES[777], 1), plus(ADDRESSES[778], -1)
    leaves, proof = proven(start, end)
    assert leaves == b""
    assert checked(start, end, leaves, proof) == Verified(next=None, before=778, total=COUNT)
    assert checked(start, ADDRESSES[778], leaves, proof) is None
    assert checked(ADDRESSES[777], end, leaves, proof) is None


def test_an_answer_that_reaches_the_end_says_so_and_another_names_where_to_go_on() -> None:
    start, end = ADDRESSES[100], ADDRESSES[299]
    whole = checked(start, end, *proven(start, end, 200))
    assert whole == Verified(next=None, before=100, total=COUNT)
    cut = checked(start, end, *proven(start, end, 199))
    assert cut is not None
    assert cut.next == end
    half = checked(start, end, *proven(start, end, 100))
    assert half is not None
    assert half.next is not None
    assert ADDRESSES[199] < half.next <= ADDRESSES[200]


def test_at_least_one_account_is_sent_however_few_bytes_may_be() -> None:
    with STORE.read() as reader:
        leaves, _ = prove_range(reader, FIRST_ADDRESS, LAST_ADDRESS, max_leaves=9, max_bytes=1)
    assert leaves == run_of([(ADDRESSES[0], b"value 0")])


def test_an_empty_answer_with_accounts_to_the_right_is_refused() -> None:
    end = plus(ADDRESSES[100], -1)
    _, proof = proven(ADDRESSES[99], end, 1)
    start = plus(ADDRESSES[99], 1)
    leaves, nothing = proven(start, end)
    assert checked(start, end, leaves, nothing) is not None
    assert checked(start, ADDRESSES[100], leaves, nothing) is None
    assert checked(start, LAST_ADDRESS, b"", nothing) is None
    assert checked(start, LAST_ADDRESS, b"", proof) is None
    assert checked(FIRST_ADDRESS, LAST_ADDRESS, b"", branch_node({})) is None


@pytest.mark.parametrize("index", [0, 1, 50, 98, 99])
def test_no_account_can_be_left_out_changed_or_added(index: int) -> None:
    start, end = ADDRESSES[100], ADDRESSES[250]
    leaves, proof = proven(start, end, 100)
    records = list(RangeAnswer.decode(leaves, proof).leaves)
    address = records[index][0]
    wrong = {
        "left out": records[:index] + records[index + 1 :],
        "changed": [*records[:index], (address, b"else"), *records[index + 1 :]],
        "moved": [
            *records[:index],
            (plus(Address(address), 1), records[index][1]),
            *records[index + 1 :],
        ],
        "added": [*records[: index + 1], (plus(Address(address), 1), b"x"), *records[index + 1 :]],
    }
    for name, content in wrong.items():
        assert checked(start, end, run_of(content), proof) is None, name


def test_accounts_outside_of_the_range_are_refused() -> None:
    leaves, proof = proven(ADDRESSES[100], ADDRESSES[200])
    assert checked(ADDRESSES[101], ADDRESSES[200], leaves, proof) is None
    assert checked(ADDRESSES[100], ADDRESSES[199], leaves, proof) is None


@pytest.mark.parametrize("hidden", [1, 4])
def test_accounts_of_the_range_cannot_hide_among_the_others_of_a_page(hidden: int) -> None:
    """One of those in the first page, or all of them."""
    start, end = ADDRESSES[98], ADDRESSES[200]
    leaves, proof = proven(start, end)
    nodes = list(read_nodes(proof))
    records = list(Records.decode(leaves))
    at, page = next((at, node) for at, node in enumerate(nodes) if isinstance(node, PageNode))
    in_page = [record for record in records if record[0][0] == start[0]]
    assert len(in_page) == 4
    content = sorted([*page.others, *in_page[:hidden]])
    changed = PageNode(Records.decode(run_of(content)))
    proof = b"".join(node.encode() for node in (*nodes[:at], changed, *nodes[at + 1 :]))
    assert checked(start, end, run_of(records[hidden:]), proof) is None


def test_a_child_that_follows_from_the_accounts_must_not_be_given() -> None:
    start, end = ADDRESSES[100], ADDRESSES[1500]
    leaves, proof = proven(start, end)
    nodes = list(read_nodes(proof))
    first = nodes[0]
    assert isinstance(first, BranchNode)
    missing = next(nibble for nibble in range(16) if not first.has(nibble))
    more = bytearray(first.branch)
    more[40 * missing : 40 * missing + 40] = (1).to_bytes(8, "big") + hash32(b"any")
    wrong = BranchNode(first.given | 1 << missing, bytes(more))
    content = b"".join(node.encode() for node in (wrong, *nodes[1:]))
    assert checked(start, end, leaves, proof) is not None
    assert checked(start, end, leaves, content) is None


def test_a_proof_that_is_cut_short_or_goes_on_is_refused() -> None:
    start, end = ADDRESSES[100], ADDRESSES[200]
    leaves, proof = proven(start, end)
    nodes = [node.encode() for node in read_nodes(proof)]
    assert checked(start, end, leaves, b"".join(nodes[:-1])) is None
    assert checked(start, end, leaves, proof + page_node([])) is None
    assert checked(start, end, leaves, b"") is None


def test_a_walk_deeper_than_the_trie_ends() -> None:
    assert checked(ADDRESSES[1], ADDRESSES[2], b"", branch_node({}) * 100) is None


def test_a_page_with_too_many_accounts_is_refused() -> None:
    records = [(Address(n.to_bytes(20, "big")), b"v") for n in range(65)]
    leaves, others = run_of(records[1:]), page_node(records[:1])
    root = hash32(b"\0" + run_of(records))
    answer = RangeAnswer.decode(leaves, others)
    assert verify_range(root, records[1][0], LAST_ADDRESS, answer) is None


def test_a_branch_with_too_few_accounts_is_refused() -> None:
    branch = branch_node({5: Child(64, hash32(b"page"))})
    node = next(read_nodes(branch))
    assert isinstance(node, BranchNode)
    answer = RangeAnswer.decode(b"", branch + page_node([]))
    start = Address(b"\x11" * 20)
    assert verify_range(hash32(b"\1" + node.branch), start, start, answer) is None


RECORD = run_of([(ADDRESSES[5], b"v")])

BAD_LEAVES = {
    "cut short in the address": RECORD[:10],
    "cut short in the length": RECORD[:21],
    "cut short in the value": RECORD[:-1],
    "an empty value": RECORD[:20] + b"\0\0",
    "an empty value later": RECORD + ADDRESSES[6] + b"\0\0",
    "twice the same": RECORD + RECORD,
    "descending": RECORD + run_of([(ADDRESSES[4], b"longer")]),
}

BAD_PROOFS = {
    "more than a page": bytes((65,)) + RECORD * 65,
    "not a kind of node": b"\xfe",
    "a page cut short": page_node([(ADDRESSES[5], b"v")])[:-1],
    "a page without its records": b"\x01",
    "a page out of order": b"\x02" + RECORD + RECORD,
    "a branch cut short": branch_node({3: Child(7, hash32(b"x"))})[:-1],
    "a branch without its map": b"\xff\x00",
    "an empty child": branch_node({3: Child(0, hash32(b"x"))}),
    "too many accounts": branch_node({3: Child(MAX_COUNT + 1, hash32(b"x"))}),
}


@pytest.mark.parametrize("name", BAD_LEAVES)
def test_leaves_that_do_not_decode(name: str) -> None:
    with pytest.raises(WireError):
        RangeAnswer.decode(BAD_LEAVES[name], b"")


@pytest.mark.parametrize("name", BAD_PROOFS)
def test_proofs_that_do_not_decode(name: str) -> None:
    with pytest.raises(WireError):
        list(read_nodes(BAD_PROOFS[name]))
    assert checked(FIRST_ADDRESS, LAST_ADDRESS, b"", BAD_PROOFS[name]) is None


def test_a_proof_of_as_many_nodes_as_fit_is_not_read() -> None:
    proof = bytes(MAX_RANGE_PROOF_BYTES)
    tracemalloc.start()
    try:
        assert checked(ADDRESSES[1], ADDRESSES[2], b"", proof) is None
        assert checked(ADDRESSES[1], ADDRESSES[2], b"", branch_node({}) + proof) is None
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 2 * len(proof)


def test_records_of_equal_and_of_different_lengths_are_read_alike() -> None:
    equal = [(ADDRESSES[n], b"v%d" % n) for n in range(1, 9)]
    mixed = [*equal, (ADDRESSES[20], b"longer")]
    for records in (equal, mixed):
        decoded = Records.decode(run_of(records))
        assert list(decoded) == records
        assert decoded.slice(2, 4) == run_of(records[2:4])
