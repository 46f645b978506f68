"""The bounds of block live sync. Every queue, retry and wait of it stands here."""

from dataclasses import dataclass
from typing import Final, Self

from node.errors import ConfigError
from node.policy import Policy

BUFFERED_BATCHES: Final = 10
WINDOW_AHEAD_BATCHES: Final = 2
TOLERATED_PAST_BATCHES: Final = 1

_MIB: Final = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueConfig:
    """What block live sync keeps, asks for and waits for."""

    include_body: bool
    """Blocks come with bodies: History and Full. Light and Pico follow headers."""
    buffer_max: int = 600
    """Blocks that wait for their parents: ten batches."""
    buffer_max_bytes: int = 64 * _MIB
    """Bytes of them: ten batches of small blocks, or a burst of large ones."""
    window_ahead_max: int = 120
    """A block further above the head is not buffered: two batches. One at least: macro sync ends at
    a macro block, and what a peer has above it must be inside."""
    tolerate_past_max: int = 60
    """A block further below the head says that its sender is behind: one batch."""
    blocks_per_peer_and_height: int = 5
    """Announced blocks of one peer at one height. An honest peer has one, or two on a fork."""
    copies_per_block: int = 4
    """Differently signed copies of one buffered block: the first may be a forgery."""
    messages_per_block: int = 16
    """Announcements of one block that wait for its verdict; further ones are ignored at once."""
    requests_in_flight: int = 5
    """Requests for missing blocks that are open or answered and not yet used."""
    lookups_per_peer: int = 10
    """Missing blocks looked for because of one peer: half of what it may announce in 10 s. A burst
    in which every other block came before its parent has no more; a liar's are soon at an end."""
    announcers_max: int = 4
    """Peers of one lookup in whose share it may be asked for; one that is not held up will do."""
    delivery_grace_s: float = 1.0
    """How long an answer waits for an older lookup's: as long as an honest one takes at most."""
    tries_min: int = 4
    """With at most a third of the peers faulty, four misses in a row have odds of 1 in 81."""
    tries_max: int = 12
    request_timeout_s: float = 10.0
    """The server's own limit, so that an honest slow server still makes it."""
    slow_answer_s: float = 5.0
    """An answer that takes longer is slow: half of what a request may take."""
    slow_answers: int = 2
    """So many slow answers within `slow_memory_s` put a peer behind the others."""
    slow_memory_s: float = 120.0
    """A dozen request timeouts: a peer that is slow on purpose costs at most two of them."""
    slow_peers_max: int = 128
    """Peers whose slow answers are remembered: more than can be joined at once."""
    retry_pause_s: float = 0.5
    """Before a peer is asked for the same again: what it relayed it may still be storing."""
    announcements_per_10_s: int = 20
    """Headers of one peer, and as many bodies; beyond it they are ignored."""
    assembly_timeout_s: float = 10.0
    """How long header and body wait for each other."""
    assembly_max: int = 128
    """Headers and bodies that wait for each other."""
    assembly_max_bytes: int = 16 * _MIB
    body_fetch_after_s: float = 1.0
    """A header this long without its body has it fetched: large bodies are never announced."""
    body_fetches_in_flight: int = 8
    body_fetches_per_peer: int = 2
    """Of those, open at one peer: three silent ones still leave two for the others."""
    body_fetch_tries: int = 3
    """Peers that are asked for one body: with a third of them faulty, odds of 1 in 27 to miss."""
    body_fetch_patience_s: float = 3.0
    """After this silence another is asked as well: three tries end within `assembly_timeout_s`.
    The first is not given up, since a large body may be on its way."""
    hold_timeout_s: float = 10.0
    """A block from the future is held this long, then ignored: verdicts do not wait forever."""
    held_max: int = 32
    held_max_bytes: int = 8 * _MIB

    @property
    def places_per_peer(self) -> int:
        """How many of the `requests_in_flight` may be for one announcing peer: two of five.

        So two peers that hold them up leave one for the others.
        """
        return max(1, self.requests_in_flight * 2 // 5)

    def __post_init__(self) -> None:
        """Refuse bounds with which nothing can ever move."""
        for name in self.__slots__:
            if name != "include_body" and getattr(self, name) <= 0:
                raise ConfigError(f"sync.{name} must be positive: {getattr(self, name)}")
        if self.tries_min > self.tries_max:
            raise ConfigError("sync.tries_min must not be above sync.tries_max")

    @classmethod
    def for_policy(cls, policy: Policy, *, include_body: bool) -> Self:
        """Return the defaults for a network, never below those of the table.

        A chain of short batches or of many blocks a second would otherwise leave its own peers
        behind after a second's delay, or ignore the blocks that they rightly announce.
        """
        defaults = cls(include_body=include_body)
        blocks_per_10_s = -(-10_000 // policy.block_separation_ms)
        return cls(
            include_body=include_body,
            buffer_max=max(defaults.buffer_max, BUFFERED_BATCHES * policy.batch_length),
            window_ahead_max=max(
                defaults.window_ahead_max, WINDOW_AHEAD_BATCHES * policy.batch_length
            ),
            tolerate_past_max=max(
                defaults.tolerate_past_max, TOLERATED_PAST_BATCHES * policy.batch_length
            ),
            announcements_per_10_s=max(defaults.announcements_per_10_s, 2 * blocks_per_10_s),
        )
