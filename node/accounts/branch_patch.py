"""What leads from a branch of the accounts trie back to what it was before a block.

    nothing                             there was no branch
    map: 2 bytes, child, child ...      bit n is set where child n has changed; the old ones follow

So it holds only the children that changed, which is a tenth of a branch in a large state.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from node.accounts.pages import BRANCH_BYTES, CHILD_BYTES, CHILD_PLACES

NEW_BRANCH: Final = b""
"""The patch of a branch that was not there."""

_MAP_BYTES: Final = 2

_NO_CHILD: Final = bytes(CHILD_BYTES)
_NO_BRANCH: Final = bytes(BRANCH_BYTES)


def patch_of(given: int, replaced: Iterable[bytes]) -> bytes:
    """Return the patch of a branch some of whose children changed.

    Args:
        given: With a bit for each of them.
        replaced: What stood there, encoded, in their order.
    """
    return given.to_bytes(_MAP_BYTES, "big") + b"".join(replaced)


def patch_of_gone(before: bytes) -> bytes:
    """Return the patch of a branch that is no longer there."""
    children = [before[place] for place in CHILD_PLACES]
    given = sum(1 << nibble for nibble, child in enumerate(children) if child != _NO_CHILD)
    return patch_of(given, [child for child in children if child != _NO_CHILD])


def patched(after: bytes | None, patches: Iterable[bytes]) -> bytes | None:
    """Return what a branch was before several blocks.

    Args:
        after: What it is after them.
        patches: Of each block that changed it, the oldest block first.
    """
    children: dict[int, bytes] = {}
    for patch in patches:
        if not patch:
            after = None
            break
        # What the first of the blocks replaced is what was there, whatever later ones replaced.
        for nibble, child in _changed_children(patch):
            children.setdefault(nibble, child)
    if after is None and not children:
        return None
    branch = bytearray(after or _NO_BRANCH)
    for nibble, child in children.items():
        branch[CHILD_PLACES[nibble]] = child
    return bytes(branch)


def _changed_children(patch: bytes) -> Iterator[tuple[int, bytes]]:
    given = int.from_bytes(patch[:_MAP_BYTES], "big")
    position = _MAP_BYTES
    while given:
        lowest = given & -given
        yield lowest.bit_length() - 1, patch[position : position + CHILD_BYTES]
        position += CHILD_BYTES
        given ^= lowest
