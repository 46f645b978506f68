"""Each thing that a proof of accounts must hold, one at a time, over 2000 accounts."""

import tracemalloc

import pytest

from node.accounts.key_proof import prove_keys, verify_keys
from node.accounts.pages import EMPTY_ROOT, Child
from node.accounts.proof_nodes import BranchNode, branch_node, page_node, read_nodes
from node.crypto.hashes import hash32
from protocols.errors import WireError
from protocols.messages.trie_proof import MAX_KEY_PROOF_BYTES
from protocols.types import Address
from tests.build.states import store_of

COUNT = 2000
STEP = 2**160 // COUNT

STATE = {Address((n * STEP).to_bytes(20, "big")): b"value %d" % n for n in range(COUNT)}
ADDRESSES = list(STATE)
STORE, ROOT = store_of(STATE)
MISSING = Address(b"\x33" * 20)


def proven(*addresses: Address) -> bytes:
    with STORE.read() as reader:
        return prove_keys(reader, addresses)


def test_present_and_absent_accounts() -> None:
    wanted = [ADDRESSES[1999], MISSING, ADDRESSES[0], ADDRESSES[1], ADDRESSES[0]]
    proof = proven(*wanted)
    assert verify_keys(ROOT, wanted, proof) == {
        ADDRESSES[1999]: b"value 1999",
        MISSING: None,
        ADDRESSES[0]: b"value 0",
        ADDRESSES[1]: b"value 1",
    }
    assert verify_keys(ROOT, wanted[::-1], proof) is not None


def test_an_account_of_an_empty_state() -> None:
    store, root = store_of({})
    with store.read() as reader:
        proof = prove_keys(reader, [MISSING])
    assert (root, proof) == (EMPTY_ROOT, page_node([]))
    assert verify_keys(root, [MISSING], proof) == {MISSING: None}
    assert verify_keys(ROOT, [MISSING], proof) is None


def test_a_proof_of_fewer_or_other_accounts_is_refused() -> None:
    proof = proven(ADDRESSES[0], ADDRESSES[1000])
    assert verify_keys(ROOT, [ADDRESSES[0]], proof) is None
    assert verify_keys(ROOT, [ADDRESSES[0], ADDRESSES[1000], ADDRESSES[1999]], proof) is None


def test_a_child_on_the_way_must_not_be_given() -> None:
    proof = proven(MISSING)
    top, *below = read_nodes(proof)
    assert isinstance(top, BranchNode)
    assert not top.has(3)
    branch = bytearray(top.branch)
    branch[40 * 3 : 40 * 4] = (125).to_bytes(8, "big") + hash32(b"any")
    wrong = BranchNode(top.given | 1 << 3, bytes(branch))
    content = b"".join(node.encode() for node in (wrong, *below))
    assert verify_keys(ROOT, [MISSING], content) is None


def test_a_proof_that_is_cut_short_or_goes_on_is_refused() -> None:
    proof = proven(MISSING)
    nodes = [node.encode() for node in read_nodes(proof)]
    assert verify_keys(ROOT, [MISSING], b"".join(nodes[:-1])) is None
    assert verify_keys(ROOT, [MISSING], b"") is None
    assert verify_keys(ROOT, [MISSING], proof + page_node([])) is None


def test_a_walk_deeper_than_the_trie_ends() -> None:
    assert verify_keys(ROOT, [MISSING], branch_node({}) * 100) is None


def test_a_branch_with_too_few_accounts_is_refused() -> None:
    branch = branch_node({5: Child(64, hash32(b"page"))})
    node = next(read_nodes(branch))
    assert isinstance(node, BranchNode)
    root = hash32(b"\1" + node.branch)
    assert verify_keys(root, [MISSING], branch + page_node([])) is None


def test_a_proof_that_begins_with_something_else_is_malformed() -> None:
    with pytest.raises(WireError):
        verify_keys(ROOT, [MISSING], b"\x41")


def test_a_proof_of_millions_of_nodes_is_not_read() -> None:
    proof = bytes(MAX_KEY_PROOF_BYTES)
    tracemalloc.start()
    try:
        assert verify_keys(ROOT, [MISSING], proof) is None
        assert verify_keys(ROOT, [MISSING], branch_node({}) + proof) is None
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 2 * len(proof)
