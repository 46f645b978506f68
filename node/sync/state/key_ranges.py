"""What is still to be fetched: ranges of keys, each waiting or leased to one question.

    waiting --lease--> leased --answer--> waiting from `next` on, or gone
       ^                  |
       +--- failed -------+

There are as many ranges as there are questions to ask at a time: when nothing waits, the widest one
gives its upper half away, even while it is being asked for. What an answer then proves beyond the
end of its range is fetched twice, and agrees.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from node.sync.state.coverage import Span, after, key_of, width
from protocols.types import Address, PeerId


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
            self.waiting.append(KeyRange(start, key_range.end, set(tried)))

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
