"""Why a stream or a connection ended. All of them mean: ask another peer, or later."""

from node.errors import Fault, UnavailableError


class ConnectionLostError(UnavailableError):
    """The connection is gone, on either side's account.

    Attributes:
        fault: What the peer did wrong, or None when connections just end.
    """

    def __init__(self, reason: str, fault: Fault | None = None) -> None:
        super().__init__(reason)
        self.fault = fault


class StreamResetError(UnavailableError):
    """One stream was given up by either side; the connection lives on."""


class NegotiationError(UnavailableError):
    """No protocol was agreed on: unknown there, or not multistream-select at all."""
