"""Proof of single accounts, present or absent, against the root of a state.

The walk of the proof (see `proof_nodes`) goes to the page of each address. Children on the way that
hold none of the addresses are given. The pages are there whole: an address that is not in its page
is in no account.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby

from node.accounts.pages import (
    FAN_OUT,
    NO_CHILD,
    PAGE_ACCOUNTS,
    ROOT,
    Child,
    Place,
    accounts_below,
    child_at,
    child_counts,
    hash_branch,
    nibble_at,
    put_child,
    root_of,
)
from node.accounts.proof_nodes import (
    MAX_BRANCH_DEPTH,
    BranchNode,
    Node,
    PageNode,
    RejectedError,
    branch_node,
    page_node,
    read_nodes,
)
from node.storage.store import Reader, Table
from protocols.types import Address, Hash32


def prove_keys(reader: Reader, addresses: Sequence[Address]) -> bytes:
    """Return the proof of some accounts of a state.

    Args:
        reader: The state.
        addresses: In any order, at least one.
    """
    keys = sorted(set(addresses))
    branch = reader.get(Table.BRANCHES, ROOT.key)
    if branch is None:
        return page_node(list(reader.scan(Table.ACCOUNTS)))
    return b"".join(_prove_branch(reader, ROOT, branch, keys))


def verify_keys(
    root: Hash32, addresses: Sequence[Address], proof: bytes
) -> dict[Address, bytes | None] | None:
    """Check a proof of some accounts against the root of a state.

    Returns:
        The value of each address, None where there is no account; or None if nothing is proven.

    Raises:
        WireError: Something else stands in the proof where a node is due.
    """
    keys = sorted(set(addresses))
    verifier = _Verifier(read_nodes(proof))
    try:
        child = verifier.node(ROOT, keys)
    except RejectedError:
        return None
    return verifier.values if root_of(child) == root and verifier.is_done else None


def _prove_branch(
    reader: Reader, place: Place, branch: bytes, keys: list[Address]
) -> Iterator[bytes]:
    groups = _by_nibble(keys, place.depth)
    children = {nibble: child_at(branch, nibble) for nibble in range(FAN_OUT)}
    yield branch_node(
        {
            nibble: child
            for nibble, child in children.items()
            if child.accounts and nibble not in groups
        }
    )
    for nibble, group in groups.items():
        below = place.child(nibble)
        if children[nibble].accounts <= PAGE_ACCOUNTS:
            yield page_node(list(reader.scan(Table.ACCOUNTS, below.prefix, below.end)))
            continue
        stored = reader.get(Table.BRANCHES, below.key)
        assert stored is not None, f"no branch at {below}"
        yield from _prove_branch(reader, below, stored, group)


class _Verifier:
    def __init__(self, nodes: Iterator[Node]) -> None:
        self._nodes = nodes
        self.values: dict[Address, bytes | None] = {}

    @property
    def is_done(self) -> bool:
        """Whether every node has been taken. Takes one if not."""
        return next(self._nodes, None) is None

    def node(self, place: Place, keys: list[Address]) -> Child:
        """Take the next node, which stands at a place, with the addresses that fall into it."""
        match next(self._nodes, None):
            case PageNode(records):
                found = dict(records)
                self.values.update((key, found.get(key)) for key in keys)
                return records.page(0, len(records)) if found else NO_CHILD
            case BranchNode() as node if place.depth <= MAX_BRANCH_DEPTH:
                return self._branch(place, node, keys)
            case _:
                raise RejectedError

    def _branch(self, place: Place, node: BranchNode, keys: list[Address]) -> Child:
        branch = bytearray(node.branch)
        given = child_counts(branch)
        for nibble, group in _by_nibble(keys, place.depth).items():
            if given[nibble]:
                raise RejectedError
            put_child(branch, nibble, self.node(place.child(nibble), group))
        accounts = accounts_below(branch)
        if accounts <= PAGE_ACCOUNTS:
            raise RejectedError
        return Child(accounts, hash_branch(branch))


def _by_nibble(keys: list[Address], depth: int) -> dict[int, list[Address]]:
    groups = groupby(keys, key=lambda key: nibble_at(key, depth))
    return {nibble: list(group) for nibble, group in groups}
