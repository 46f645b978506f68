"""Answers that a node may have from a peer: what is shown of the proof."""

from typing import Any, Final

from cli.output import Row

PROOF_TIMEOUT_S: Final = 30.0
"""A node asks its peers for up to 20 s, and then has an error to tell."""


def with_proof(answer: Row) -> dict[str, Any]:
    """Return the data of an answer and what proves it; null if the node has it itself."""
    return {**answer["data"], "proof": answer["metadata"].get("proof")}
