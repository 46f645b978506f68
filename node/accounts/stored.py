"""What a store holds of the trie at one place. Its branches must belong to its accounts."""

from node.accounts.pages import (
    BRANCH_DOMAIN,
    NO_CHILD,
    PAGE_DOMAIN,
    Child,
    Place,
    branch_child,
    hash_run,
)
from node.storage.runs import count_in
from node.storage.store import Reader, Table


def records_at(reader: Reader, place: Place) -> bytes:
    """Return all accounts below a place, as a page of them is hashed."""
    return reader.run(place.prefix, place.end)


def child_of(reader: Reader, place: Place) -> Child:
    """Return what a branch above would say of a place."""
    branch = reader.get(Table.BRANCHES, place.key)
    if branch is not None:
        return branch_child(branch)
    run = records_at(reader, place)
    return Child(count_in(run), hash_run(run)) if run else NO_CHILD


def subtree_bytes(reader: Reader, place: Place) -> bytes:
    """Return the node at a place as its hash covers it; a page where there is no branch.

    Asked for a place inside a page, it is the part of the page with that prefix.
    """
    branch = reader.get(Table.BRANCHES, place.key)
    return PAGE_DOMAIN + records_at(reader, place) if branch is None else BRANCH_DOMAIN + branch
