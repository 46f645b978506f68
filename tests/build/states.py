"""States for tests of the accounts trie: strategies, and stores filled with them."""

from collections.abc import Mapping

from hypothesis import strategies as st

from node.accounts import trie
from node.storage.memory import MemoryStore
from protocols.types import Address, Hash32


def _stretched(short: bytes) -> Address:
    """Make an address whose nibbles lie deep or high, so that few of them already crowd a place."""
    return Address(short[:1] + bytes(18) + short[1:])


_addresses = (
    st.binary(min_size=2, max_size=2).map(_stretched)
    | st.binary(min_size=2, max_size=2).map(lambda short: Address(short + b"\xff" * 18))
    | st.binary(min_size=2, max_size=2).map(lambda short: Address(short.ljust(20, b"\0")))
    | st.integers(0, 600).map(lambda number: Address(number.to_bytes(20, "big")))
    | st.sampled_from([Address(bytes(20)), Address(b"\xff" * 20)])
)
_values = st.binary(min_size=1, max_size=3)
_crowds = st.tuples(st.integers(0, 500), st.integers(1, 200), st.sampled_from([0, 8, 72, 144])).map(
    lambda run: [Address(((run[0] + n) << run[2]).to_bytes(20, "big")) for n in range(run[1])]
)
"""Neighbours that fill whole pages, deep in the trie or high up in it."""

keys = _addresses
"""Any address, often at the edge of a subtree or of the key space."""

states = st.one_of(
    st.dictionaries(_addresses, _values, max_size=30),
    st.builds(
        lambda crowds, single, value: {
            **{address: value for crowd in crowds for address in crowd},
            **single,
        },
        st.lists(_crowds, max_size=3),
        st.dictionaries(_addresses, _values, max_size=10),
        _values,
    ),
)
"""Accounts by address: none, few, many in one place, many all over."""


def store_of(state: Mapping[Address, bytes]) -> tuple[MemoryStore, Hash32]:
    """Return a store that holds a state, and its root."""
    store = MemoryStore()
    with store.write() as writer:
        root = trie.update(writer, state)
    return store, root
