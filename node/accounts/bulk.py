"""Hashing subtrees of many records at once: what verifying ranges and building states is made of.

The records stand in one byte string: a step of Python for each page and none for each account.
"""

from bisect import bisect_left
from hashlib import blake2b
from typing import Final

from node.accounts.pages import (
    CHILD_BYTES,
    FAN_OUT,
    NO_CHILD,
    PAGE_ACCOUNTS,
    PAGE_DOMAIN,
    Child,
    Place,
    hash_branch,
    pack_child,
)
from node.accounts.records import Records
from protocols.types import HASH_BYTES

_EMPTY: Final = bytes(CHILD_BYTES)


def hash_subtree(
    place: Place, records: Records, first: int, end: int, branches: dict[bytes, bytes]
) -> Child:
    """Hash the subtree of the records `first <= index < end` and note its branches.

    Args:
        place: Shared by these records.
        records: Some of them.
        first: Index of the first one.
        end: Index behind the last one.
        branches: Store key -> encoded branch; receives what was made.
    """
    if end - first <= PAGE_ACCOUNTS:
        return records.page(first, end) if end > first else NO_CHILD
    depth, payload, offsets = place.depth, records.payload, records.offsets
    column = records.column(depth >> 1, first, end)
    # The byte that a child's addresses begin below, one for each child.
    step = 1 if depth & 1 else FAN_OUT
    limit = column[0] & 0xF0 if depth & 1 else 0
    children: list[bytes] = []
    start = 0
    for nibble in range(FAN_OUT):
        limit += step
        middle = bisect_left(column, limit, start)
        accounts = middle - start
        if not accounts:
            children.append(_EMPTY)
            continue
        low, high = first + start, first + middle
        if accounts <= PAGE_ACCOUNTS:
            # Without `Records.page`: this is the step that is taken most often.
            page = blake2b(PAGE_DOMAIN, digest_size=HASH_BYTES)
            page.update(payload[offsets[low] : offsets[high]])
            children.append(pack_child(accounts, page.digest()))
        else:
            child = hash_subtree(place.child(nibble), records, low, high, branches)
            children.append(pack_child(*child))
        start = middle
    branch = b"".join(children)
    branches[place.key] = branch
    return Child(end - first, hash_branch(branch))
