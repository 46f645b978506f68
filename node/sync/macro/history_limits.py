"""The bounds of a history sync. None of them grows with the chain or with an epoch."""

from dataclasses import dataclass
from typing import Final

from protocols.messages.history_chunk import CHUNK_LEAVES

_MIB: Final = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryLimits:
    """What a history sync asks for, holds and waits for."""

    open_epochs: int = 5
    """Batch sets asked for or held at a time: short epochs do not wait for each other's. Each is
    at most a response."""
    window_batches: int = 64
    """Batches above our macro head whose content is asked for or held: eight adoptions."""
    content_bytes: int = 32 * _MIB
    """Of batches held and asked for, unless the next to adopt alone takes more."""
    adopted_batches: int = 8
    """In one adoption: some seconds of work, so that live sync does not wait for long."""
    adopted_bytes: int = 2 * _MIB
    """In one adoption beyond its first batch: as much work as eight batches without content."""
    chunk_leaves: int = CHUNK_LEAVES
    """Transactions in one question."""
    headers_in_flight: int = 12
    leaves_in_flight: int = 12
    bodies_in_flight: int = 2
    """Whole bodies are rare: only proofs of equivocation need them."""
    timeout_s: float = 10.0
    """The server's own limit, so that an honest slow server still makes it."""
    slow_s: float = 2.0
    """After which a quick peer is asked too: a fifth of the time that one may take."""
    failures_max: int = 3
    """Questions in a row that a peer may leave open: an honest one loses one, hardly three."""
    doubtful_max: int = 128
    """Peers remembered for that, or for being slow: more than can be joined at once. When they come
    again they hold up one question and not their share."""
    refusals_max: int = 10
    """In a row, a pause after each: an honest peer is not busy for that long."""
    busy_pause_s: float = 0.5
    """Before a peer is asked again that was busy or limited our rate."""
    stall_s: float = 60.0
    """Without an adoption, before peers that claim something else get their turn: six timeouts. Who
    answers now and then, but never what is needed next, fails in no other way."""
    adoption_pause_s: float = 1.0
    """Before the next adoption after one that failed without a peer's fault."""

    @property
    def requests_max(self) -> int:
        """Open questions of all kinds. The peers share them evenly."""
        return self.headers_in_flight + self.leaves_in_flight


DEFAULT_LIMITS: Final = HistoryLimits()
