"""The one error of the wire. It is always the sender's fault."""


class WireError(ValueError):
    """Bytes are not exactly one well-formed value of the expected kind.

    Attributes:
        kind: Name of the value that was expected.
        reason: What is wrong with the bytes, for a log line.
    """

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(f"{kind}: {reason}")
        self.kind = kind
        self.reason = reason
