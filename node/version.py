"""The version of the program: in the handshake, in process.json and for people."""

from typing import Final

VERSION: Final = "0.1.0"
AGENT: Final = f"headway/{VERSION}"
"""What a node calls itself towards its peers."""
