"""Every error this node raises on purpose, sorted by who must act on it.

NodeError
    PeerFaultError      the peer: it is scored, then banned
    UnavailableError    nobody: ask another peer, or later
    ConfigError         the operator: one line, exit code 3
    DataFolderError     the operator: locked, corrupt or of another network, exit code 4
    ListenError         the operator: a port is taken, exit code 5
    UnreachableError    the operator: no node answers there, exit code 6
    StorageError        the machine: the disk cannot be trusted, the node stops

A broken invariant of our own code is none of these: it is an AssertionError and ends the node.
"""

from enum import StrEnum

from protocols.types import PeerId


class Fault(StrEnum):
    """What a peer did wrong. The value is a metrics label, so it never changes."""

    MALFORMED = "malformed"
    """Sent bytes that do not decode."""
    UNSOLICITED = "unsolicited"
    """Answered another question than the one asked."""
    INVALID_BLOCK = "invalid_block"
    """Sent a block that fails verification."""
    INVALID_PROOF = "invalid_proof"
    """Sent accounts, or changes of them, that are not what a header commits to."""
    FALSE_CLAIM = "false_claim"
    """Claimed a macro block that cannot be, or sent another than the one it claimed."""
    INVALID_VOTE = "invalid_vote"
    """Sent a vote or proposal that no honest validator signs."""
    INVALID_TRANSACTION = "invalid_transaction"
    """Sent a transaction that can never be included."""
    FLOODING = "flooding"
    """Kept sending after its rate limit."""
    WRONG_NETWORK = "wrong_network"
    """Belongs to a network with another id, genesis or protocol version."""
    MISSING_PARENT = "missing_parent"
    """Announced a block whose ancestors could not be had from anybody."""
    TOO_SLOW = "too_slow"
    """Let a request or a write run into its deadline."""


class NodeError(Exception):
    """Root of all errors raised on purpose."""


class PeerFaultError(NodeError):
    """A peer broke a rule. Whoever catches this reports the peer.

    Attributes:
        peer: The peer to blame.
        fault: The rule it broke.
    """

    def __init__(self, peer: PeerId, fault: Fault) -> None:
        super().__init__(f"peer {peer}: {fault}")
        self.peer = peer
        self.fault = fault


class UnavailableError(NodeError):
    """A peer could not answer (gone, timed out, refused). Ask somebody else."""


class ConfigError(NodeError):
    """A setting or a genesis file cannot work. The message names file, key and reason."""


class DataFolderError(NodeError):
    """The data folder is locked, corrupt, or belongs to another network."""


class NoStateError(NodeError):
    """The state that a block needs is not there: it is being fetched."""


class ListenError(NodeError):
    """A port that was asked for cannot be bound."""


class NotSyncedError(NodeError):
    """A node that was to end once it is synced has not been in time."""


class UnreachableError(NodeError):
    """No node answers at the address that a command was sent to."""


class StorageError(NodeError):
    """The disk failed a read or a write. Nothing after it can be trusted."""
