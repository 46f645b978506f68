"""Any sequence of events: the pool keeps its bounds, and its indices agree."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from node.accounts.transaction import Transaction
from node.validator.mempool import AddOutcome, Mempool, MempoolLimits
from tests.build.blocks import transaction

WINDOW = 8
LIMITS = MempoolLimits(max_transactions=6, max_bytes=1200, max_per_sender=4)

transactions = st.builds(
    transaction,
    sender=st.integers(0, 2),
    fee=st.integers(0, 5),
    nonce=st.integers(1, 4),
    validity_start=st.integers(0, 12),
)


class MempoolMachine(RuleBasedStateMachine):
    """Compares the pool with a dictionary of what must wait."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = Mempool(validity_window_blocks=WINDOW, limits=LIMITS)
        self.head = 0
        self.waiting: dict[bytes, Transaction] = {}

    @rule(each=transactions)
    def add(self, each: Transaction) -> None:
        outcome = self.pool.add(each)
        self.waiting = {h: t for h, t in self.waiting.items() if t.hash in self.pool}
        if outcome is AddOutcome.ADDED:
            self.waiting[each.hash] = each
        assert (outcome is AddOutcome.EXPIRED) <= (each.validity_start + WINDOW <= self.head)

    @rule(each=transactions)
    def include(self, each: Transaction) -> None:
        self.pool.remove([each.hash])
        self.waiting.pop(each.hash, None)

    @rule(blocks=st.integers(1, 5))
    def grow(self, blocks: int) -> None:
        self.head += blocks
        self.pool.on_head(self.head)
        last = self.head - WINDOW
        self.waiting = {h: t for h, t in self.waiting.items() if t.validity_start > last}

    @invariant()
    def holds_what_it_must(self) -> None:
        assert len(self.pool) == len(self.waiting)
        assert all(h in self.pool for h in (t.hash for t in self.waiting.values()))

    @invariant()
    def is_bounded(self) -> None:
        assert len(self.pool) <= LIMITS.max_transactions
        assert self.pool.size_bytes <= LIMITS.max_bytes
        assert self.pool.size_bytes == sum(len(t.encode()) for t in self.waiting.values())

    @invariant()
    def no_sender_has_too_many(self) -> None:
        senders = [t.sender for t in self.waiting.values()]
        assert all(senders.count(sender) <= LIMITS.max_per_sender for sender in senders)
        for sender in set(senders):
            spent = sum(t.value + t.fee for t in self.waiting.values() if t.sender == sender)
            assert self.pool.spent_by(sender) == spent

    @invariant()
    def selects_the_best_in_time(self) -> None:
        selected = self.pool.select(max_bytes=LIMITS.max_bytes)
        in_time = {t.hash for t in self.waiting.values() if t.validity_start <= self.head + 1}
        assert {t.hash for t in selected} == in_time
        rates = [t.fee / len(t.encode()) for t in selected]
        assert rates == sorted(rates, reverse=True)


TestMempool = MempoolMachine.TestCase
