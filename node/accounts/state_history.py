"""What blocks have changed in the state, so that states of the past can be presented and proven.

    CHANGES        height, address      -> length of old: 2 bytes, old, new; none is empty
    OLD_BRANCHES   height, branch key   -> given: 2 bytes, count and hash of each changed child
                                           as it was; empty if there was no branch
    META           "oldest_state"       -> the first height whose state can still be presented

Rows lie by height first: a block's are written and deleted together, in the order of the keys. Old
branches hold only the children that changed, which is a tenth of their size in a large state.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from node.accounts.diff import LENGTH_BYTES, Change, Diff
from node.accounts.pages import BRANCH_BYTES, CHILD_BYTES, FAN_OUT
from node.chain.block_store import height_key
from node.storage.store import Reader, Table, Writer
from protocols.types import Address, Height

_OLDEST_KEY: Final = b"oldest_state"

HEIGHT_BYTES: Final = 4

_MAP_BYTES: Final = 2

_NO_BRANCH: Final = bytes(BRANCH_BYTES)


def begin(writer: Writer, height: Height) -> None:
    """Forget all that was and let the state that is stored now, of this height, be the oldest."""
    _delete(writer, b"", None)
    writer.put(Table.META, _OLDEST_KEY, height_key(height))


def record(
    writer: Writer, height: Height, diff: Diff, branches: Mapping[bytes, bytes | None]
) -> None:
    """Note what a block changes, before it is written.

    Args:
        writer: The state below the block.
        height: Of the block.
        diff: Of the block.
        branches: New branches by store key, None where one ceases to exist.
    """
    if oldest_state(writer) is None:
        writer.put(Table.META, _OLDEST_KEY, height_key(height - 1))
    prefix = height_key(height)
    for address, old, new in diff.entries:
        value = len(old or b"").to_bytes(LENGTH_BYTES, "big") + (old or b"") + (new or b"")
        writer.put(Table.CHANGES, prefix + address, value)
    for key in sorted(branches):
        before = writer.get(Table.BRANCHES, key)
        writer.put(Table.OLD_BRANCHES, prefix + key, backward_patch(before, branches[key]))


def forget_block(writer: Writer, height: Height) -> None:
    """Forget what the newest block has changed: it is being undone."""
    _delete(writer, height_key(height), height_key(height + 1))


def prune(writer: Writer, oldest: Height) -> None:
    """Forget the states before a height."""
    if (oldest_state(writer) or 0) >= oldest:
        return
    _delete(writer, b"", height_key(oldest + 1))
    writer.put(Table.META, _OLDEST_KEY, height_key(oldest))


def oldest_state(reader: Reader) -> Height | None:
    """Return the first height whose state can be presented; None if only the present one can."""
    found = reader.get(Table.META, _OLDEST_KEY)
    return None if found is None else int.from_bytes(found, "big")


def changed_heights(reader: Reader, after: Height) -> tuple[Height, ...]:
    """Return the heights above one at which some account changed, ascending."""
    return tuple(_changed_heights(reader, after))


def diff_at(reader: Reader, height: Height) -> Diff:
    """Return what the block at a height has changed. The height is above the oldest state."""
    rows = reader.scan(Table.CHANGES, height_key(height), height_key(height + 1))
    return Diff(tuple(_change(key, value) for key, value in rows))


def old_value(row: bytes) -> bytes | None:
    """Return what an account was before, from a row of `Table.CHANGES`."""
    end = LENGTH_BYTES + int.from_bytes(row[:LENGTH_BYTES], "big")
    return row[LENGTH_BYTES:end] or None


def backward_patch(before: bytes | None, after: bytes | None) -> bytes:
    """Return what leads from a branch back to what it was, None standing for no branch."""
    if before is None:
        return b""
    children: list[bytes] = []
    given = 0
    after = after or _NO_BRANCH
    for nibble in range(FAN_OUT):
        child = slice(nibble * CHILD_BYTES, (nibble + 1) * CHILD_BYTES)
        if before[child] != after[child]:
            given |= 1 << nibble
            children.append(before[child])
    return given.to_bytes(_MAP_BYTES, "big") + b"".join(children)


def patched(after: bytes | None, patch: bytes) -> bytes | None:
    """Return what a branch was, from what it became and what `backward_patch` has noted."""
    if not patch:
        return None
    branch = bytearray(after or _NO_BRANCH)
    given = int.from_bytes(patch[:_MAP_BYTES], "big")
    position = _MAP_BYTES
    for nibble in range(FAN_OUT):
        if given >> nibble & 1:
            start = nibble * CHILD_BYTES
            branch[start : start + CHILD_BYTES] = patch[position : position + CHILD_BYTES]
            position += CHILD_BYTES
    return bytes(branch)


def _changed_heights(reader: Reader, after: Height) -> Iterator[Height]:
    while True:
        row = next(reader.scan(Table.CHANGES, height_key(after + 1)), None)
        if row is None:
            return
        after = int.from_bytes(row[0][:HEIGHT_BYTES], "big")
        yield after


def _change(key: bytes, row: bytes) -> Change:
    end = LENGTH_BYTES + int.from_bytes(row[:LENGTH_BYTES], "big")
    return Change(Address(key[HEIGHT_BYTES:]), row[LENGTH_BYTES:end] or None, row[end:] or None)


def _delete(writer: Writer, start: bytes, end: bytes | None) -> None:
    for table in (Table.CHANGES, Table.OLD_BRANCHES):
        for key in [key for key, _ in writer.scan(table, start, end)]:
            writer.delete(table, key)
