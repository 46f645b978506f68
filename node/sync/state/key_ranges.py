"""What is still to be fetched: ranges of keys, each waiting or leased to one question.

    waiting --lease--> leased --answer--> waiting from `next` on, or gone
       ^                  |
       +--- failed -------+

Once it is known how crowded the key space is, ranges are asked for in pieces that fit into one
answer, one after the other: so accounts are written in their order, which is what the store does
best, and pieces end where subtrees end, which makes proofs short. Before that, when nothing waits,
the widest range gives its upper half away, even while it is being asked for. What an answer then
proves beyond the end of its range is fetched twice, and agrees.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from node.sync.state.coverage import Span, after, key_of, width
from protocols.types import Address, PeerId

NIBBLE_BITS: Final = 4

SUBTREES_MIN: Final = 8
"""Subtrees in a piece that ends with one."""


@dataclass(slots=True, eq=False)
class KeyRange:
    """A range that nobody else fetches."""

    start: Address
    end: Address
    tried: set[PeerId] = field(default_factory=set)
    """Who failed to answer; all are asked again when no other is left."""

    @property
    def span(self) -> Span:
        """First and last key."""
        return self.start, self.end


class KeyRanges:
    """All that is to be fetched."""

    def __init__(self, spans: Iterable[Span] = ()) -> None:
        """Begin with ranges that do not overlap."""
        self.waiting: deque[KeyRange] = deque(KeyRange(*span) for span in spans)
        self._leased: dict[KeyRange, None] = {}

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left to fetch."""
        return not self.waiting and not self._leased

    def add(self, span: Span) -> None:
        """Have a range fetched, or fetched again."""
        self.waiting.append(KeyRange(*span))

    def lease(self, key_range: KeyRange) -> None:
        """Note that a waiting range is being asked for."""
        self.waiting.remove(key_range)
        self._leased[key_range] = None

    def carve(self, key_range: KeyRange, width: int) -> KeyRange:
        """Part the first piece of a waiting range from it; both wait then.

        Args:
            key_range: Waiting.
            width: Keys of the piece, at most; fewer if it can end where a subtree ends.

        Returns:
            The piece, or the range itself if it is no wider.
        """
        start = int.from_bytes(key_range.start, "big")
        end = start + width
        if end > int.from_bytes(key_range.end, "big"):
            return key_range
        # Subtrees of which eight or more fit in: less than an eighth is lost.
        bits = max((width // SUBTREES_MIN).bit_length() - 1, 0) // NIBBLE_BITS * NIBBLE_BITS
        end = max(end >> bits << bits, start + 1)
        piece = KeyRange(key_range.start, key_of(end - 1), set(key_range.tried))
        self.waiting.insert(self.waiting.index(key_range), piece)
        key_range.start = key_of(end)
        return piece

    def release(self, key_range: KeyRange) -> None:
        """Note that a leased range was not answered; it comes first."""
        del self._leased[key_range]
        self.waiting.appendleft(key_range)

    def advance(
        self, key_range: KeyRange, proven_to: Address, *, tried: Iterable[PeerId] = ()
    ) -> None:
        """Note up to which key a leased range is proven.

        Args:
            key_range: Leased.
            proven_to: Last key that is.
            tried: Who is not to go on with it if somebody else can.
        """
        del self._leased[key_range]
        start = after(proven_to)
        if start is not None and start <= key_range.end:
            self.waiting.appendleft(KeyRange(start, key_range.end, set(tried)))

    def split(self, min_width: int) -> bool:
        """Let the widest leased range give its upper half away.

        Args:
            min_width: Keys that it must have at least.
        """
        if not self._leased:
            return False
        widest = max(self._leased, key=lambda each: width(each.span))
        if width(widest.span) < max(min_width, 2):
            return False
        middle = int.from_bytes(widest.start, "big") + width(widest.span) // 2
        self.waiting.append(KeyRange(key_of(middle), widest.end))
        widest.end = key_of(middle - 1)
        return True
