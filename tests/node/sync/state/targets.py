"""Targets for tests of the state sync: nothing stands behind their hashes."""

from node.crypto.hashes import hash32
from node.sync.state.target import SyncTarget
from protocols.types import Hash32


def target(number: int, variant: int = 0) -> SyncTarget:
    """Return the target of a height; another variant is another block of that height."""
    return SyncTarget(
        number=number,
        hash=_hash("block", number, variant),
        state_root=_hash("state", number, variant),
        history_root=_hash("history", number, variant),
    )


def _hash(kind: str, number: int, variant: int) -> Hash32:
    return hash32(f"{kind} {number} {variant}".encode())
