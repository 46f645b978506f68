"""A state from nothing but its accounts."""

from collections.abc import Mapping

from node.accounts.trie import rebuild
from node.storage.store import Table, Writer
from protocols.types import Address, Hash32


def fill(writer: Writer, accounts: Mapping[Address, bytes]) -> Hash32:
    """Fill an empty state, the branches made in one go, and return its root."""
    for address, value in accounts.items():
        writer.put(Table.ACCOUNTS, address, value)
    return rebuild(writer)
