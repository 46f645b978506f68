"""The accounts trie as it is defined, item by item: what faster ways are compared to."""

from collections.abc import Collection, Iterable, Sequence

from node.accounts.pages import (
    FAN_OUT,
    NO_CHILD,
    PAGE_ACCOUNTS,
    ROOT,
    Child,
    Place,
    Record,
    encode_branch,
    hash_branch,
    hash_run,
    nibble_at,
    root_of,
)
from node.storage.runs import run_of
from protocols.types import Address, Hash32


def hash_page(records: Collection[Record]) -> Hash32:
    """Hash records that are in address order."""
    return hash_run(run_of(records))


def page_child(records: Sequence[Record]) -> Child:
    """Return what a branch says of a page, which may be empty."""
    return Child(len(records), hash_page(records)) if records else NO_CHILD


def build_subtree(place: Place, records: Sequence[Record], branches: dict[bytes, bytes]) -> Child:
    """Hash the subtree of sorted records at a place and note the branches that it is made of.

    Args:
        place: Shared by all records.
        records: In address order, no address twice.
        branches: Store key -> encoded branch; receives what was made.
    """
    if len(records) <= PAGE_ACCOUNTS:
        return page_child(records)
    groups: list[list[Record]] = [[] for _ in range(FAN_OUT)]
    for record in records:
        groups[nibble_at(record[0], place.depth)].append(record)
    children = [
        build_subtree(place.child(nibble), group, branches) if group else NO_CHILD
        for nibble, group in enumerate(groups)
    ]
    branch = encode_branch(children)
    branches[place.key] = branch
    return Child(len(records), hash_branch(branch))


def root_from_records(records: Iterable[tuple[Address, bytes]]) -> Hash32:
    """Hash a whole trie without any store.

    Args:
        records: In any order, no address twice.
    """
    return root_of(build_subtree(ROOT, sorted(records), {}))
