"""The bounds of fetching accounts. None of them grows with the state."""

from dataclasses import dataclass
from typing import Final

from protocols.messages.state_range import MAX_RANGE_LEAVES


@dataclass(frozen=True, slots=True, kw_only=True)
class StateLimits:
    """What a state sync asks for, holds and waits for."""

    range_leaves: int = MAX_RANGE_LEAVES
    """Accounts in one answer."""
    ranges_per_peer: int = 4
    """Questions open at one peer: while one is answered the next ones are on their way."""
    held_ranges: int = 48
    """Asked for, being checked or waiting to be written: 6 MB of small accounts, 18 at most."""
    parts_at_once: int = 16
    """Answers written in one transaction: a commit costs as much as one of them."""
    built_accounts: int = 200_000
    """Below the branches that are made in one transaction: a third of a second. Blocks are written
    in between, and no state is so large that a node falls behind the chain for it."""
    executed_transactions: int = 64
    """And blocks without any, executed in one transaction: about 8 ms, or one block that has more.
    So a chain that grows meanwhile is reached to its last block."""
    max_lag_blocks: int = 64
    """Blocks that the target may lie below the newest one while ranges are asked for: servers
    forget states that are much older, and one answer with changes leads over so many."""
    held_lots: int = 2
    """Answers with changes of blocks, checked and not applied: one while another is applied."""
    kept_changes: int = 100_000
    """Of accounts, 20 MB: answers are on their way for seconds, and what is older than this leads
    over is asked for again."""
    repair_nodes: int = 256
    """Branches that are opened to find what differs; what lies below is fetched again. So at most
    4096 ranges differ."""
    repair_places: int = 64
    """Branches in one question, 41 KB."""
    repairs_max: int = 3
    """After wrong roots, in a row; then everything is fetched again."""
    timeout_s: float = 10.0
    """The server's own limit, so that an honest slow server still makes it."""
    failures_max: int = 3
    """Questions in a row that a peer may leave open before it rests."""
    repair_failures_max: int = 12
    """Questions of one repair that may fail in a row: three of each of four peers."""
    lies_max: int = 3
    """Three strikes: nobody sends false proofs by accident."""
    rest_s: float = 30.0
    """Before a silent peer is asked again: connections that are gone have ended by then."""
    rests_max: int = 1
    """Rests in a row that a peer is waited for: it may have what all others say to have pruned. One
    that never says anything holds a sync up for 70 seconds, not for ever."""
    busy_pause_s: float = 0.5
    """Before a peer is asked again that was busy or limited our rate."""
    lack_pause_s: float = 1.0
    """Before a peer is asked again for a block that it does not have yet: one block later."""
    refusals_max: int = 20
    """Times in a row that a peer may be busy: ten seconds, then it counts as silent."""
    lacks_max: int = 10
    """Times that a peer may not have something yet; after that it is not waited for, and asked
    rarely."""
    topics_max: int = 8
    """Things that a peer is known to lack: of the present target and of some before it."""


DEFAULT_LIMITS: Final = StateLimits()
