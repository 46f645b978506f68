"""Names of requests and pushes under way: an answer repeats the name of its question."""

from dataclasses import dataclass
from enum import Enum


class Asker(Enum):
    """The machine that a request or push belongs to, and its answer goes to."""

    MISSING = "missing"
    """Live sync: missing ancestors of buffered blocks."""
    BODY = "body"
    """Live sync: the body of an announced header."""
    POLL_HEAD = "poll_head"
    """Consensus: what a live peer's chain ends in."""
    POLL_BLOCK = "poll_block"
    """Consensus: a head that we did not know."""
    MACRO_CHAIN = "macro_chain"
    """Macro sync: what a peer's chain leads to."""
    MACRO_HEAD = "macro_head"
    """Macro sync: where a peer stands."""
    MACRO_BLOCK = "macro_block"
    """Macro sync: a macro block that peers claim."""
    ADOPTION = "adoption"
    """Macro sync: macro blocks for the chain."""
    HISTORY = "history"
    """Macro sync: a part of the history, or batches of it for the chain."""
    PICO = "pico"
    """Macro sync of a Pico: where a peer stands, and macro blocks of its guide. Its own name, since
    light macro sync takes over while some of it is still under way."""
    LIVE = "live"
    """Live sync: a push."""


@dataclass(frozen=True, slots=True)
class TicketId:
    """Names one request or push. Its answer repeats it; an unknown one is late."""

    asker: Asker
    number: int
