"""Proofs of single accounts: what holds is accepted, and nothing else is, whatever one changes."""

from hypothesis import given
from hypothesis import strategies as st

from node.accounts.key_proof import prove_keys, verify_keys
from node.accounts.proof_nodes import read_nodes
from protocols.errors import WireError
from protocols.types import Address, Hash32
from tests.build.states import keys, states, store_of

State = dict[Address, bytes]

key_lists = st.lists(keys, min_size=1, max_size=20)


def check_anything(state: State, root: Hash32, wanted: list[Address], proof: bytes) -> bool:
    """Whatever a proof is made of: it is refused, or what it says is true."""
    try:
        values = verify_keys(root, wanted, proof)
    except WireError:
        return False
    assert values is None or values == {address: state.get(address) for address in wanted}
    return values is not None


def proven(state: State, wanted: list[Address]) -> tuple[Hash32, bytes]:
    store, root = store_of(state)
    with store.read() as reader:
        return root, prove_keys(reader, wanted)


@given(states, key_lists, st.data())
def test_every_account_can_be_proven(
    state: State, others: list[Address], data: st.DataObject
) -> None:
    some = data.draw(st.lists(st.sampled_from(sorted(state)), max_size=20)) if state else []
    wanted = some + others
    root, proof = proven(state, wanted)
    assert check_anything(state, root, wanted, proof)
    assert b"".join(node.encode() for node in read_nodes(proof)) == proof


@given(states, key_lists, st.integers(0), st.integers(0, 7))
def test_no_byte_of_a_proof_can_be_changed(
    state: State, wanted: list[Address], at: int, bit: int
) -> None:
    root, proof = proven(state, wanted)
    position = at % len(proof)
    flipped = bytes((proof[position] ^ 1 << bit,))
    assert not check_anything(
        state, root, wanted, proof[:position] + flipped + proof[position + 1 :]
    )
    assert not check_anything(state, root, wanted, proof[:position])
    assert not check_anything(state, root, wanted, proof + b"\0")


@given(states, key_lists, st.integers(0))
def test_no_node_of_a_proof_can_be_left_out_repeated_or_moved(
    state: State, wanted: list[Address], at: int
) -> None:
    root, proof = proven(state, wanted)
    nodes = [node.encode() for node in read_nodes(proof)]
    index = at % len(nodes)
    moved = nodes[index:] + nodes[:index]
    assert not check_anything(state, root, wanted, b"".join(nodes[:index] + nodes[index + 1 :]))
    assert not check_anything(state, root, wanted, b"".join(nodes[: index + 1] + nodes[index:]))
    assert moved == nodes or not check_anything(state, root, wanted, b"".join(moved))


@given(states, key_lists, key_lists)
def test_a_proof_says_nothing_wrong_of_other_accounts(
    state: State, wanted: list[Address], others: list[Address]
) -> None:
    root, proof = proven(state, wanted)
    check_anything(state, root, others, proof)


@given(states, states, key_lists)
def test_a_proof_of_another_state_is_refused(
    state: State, another: State, wanted: list[Address]
) -> None:
    root, _ = proven(state, wanted)
    _, proof = proven(another, wanted)
    assert check_anything(state, root, wanted, proof) == (state == another)


@given(states, key_lists, st.binary(max_size=60))
def test_any_bytes_are_refused(state: State, wanted: list[Address], proof: bytes) -> None:
    root, honest = proven(state, wanted)
    assert check_anything(state, root, wanted, proof) == (proof == honest)
