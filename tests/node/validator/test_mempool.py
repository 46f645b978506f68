from node.accounts.transaction import Transaction
from node.validator.mempool import AddOutcome, Mempool, MempoolLimits
from tests.build.blocks import transaction

SIZE = len(transaction(nonce=1).encode())


def pool(*, window: int = 8, **limits: int) -> Mempool:
    return Mempool(validity_window_blocks=window, limits=MempoolLimits(**limits))


def paying(fee: int, *, sender: int = 0, nonce: int | None = None, start: int = 0) -> Transaction:
    """Return a transaction of `SIZE` bytes for fees below 128."""
    return transaction(
        sender=sender, fee=fee, nonce=1 if nonce is None else nonce, validity_start=start
    )


def fees(mempool: Mempool, max_bytes: int = 1_000_000) -> list[int]:
    return [each.fee for each in mempool.select(max_bytes=max_bytes)]


def test_best_fee_per_byte_first() -> None:
    mempool = pool()
    for fee in (5, 9, 1):
        assert mempool.add(paying(fee)) is AddOutcome.ADDED
    larger = transaction(fee=9, data=b"x" * 64)
    mempool.add(larger)

    assert mempool.select(max_bytes=10_000) == (paying(9), larger, paying(5), paying(1))
    assert mempool.size_bytes == 3 * SIZE + len(larger.encode())


def test_equal_fees_by_age() -> None:
    mempool = pool()
    waiting = [paying(5, nonce=nonce) for nonce in (3, 1, 2)]
    for each in waiting:
        mempool.add(each)

    assert mempool.select(max_bytes=10_000) == tuple(waiting)


def test_selects_what_fits() -> None:
    mempool = pool()
    for fee in (5, 9, 1):
        mempool.add(paying(fee))

    assert fees(mempool, 2 * SIZE) == [9, 5]
    assert fees(mempool, 2 * SIZE - 1) == [9]
    assert fees(mempool, 0) == []


def test_known() -> None:
    mempool = pool()
    mempool.add(paying(5))

    assert mempool.add(paying(5)) is AddOutcome.KNOWN
    assert len(mempool) == 1
    assert paying(5).hash in mempool
    assert mempool.get(paying(5).hash) == paying(5)


def test_expires_with_its_window() -> None:
    mempool = pool(window=8)
    mempool.add(paying(5, start=2))

    mempool.on_head(9)
    assert fees(mempool) == [5]
    mempool.on_head(10)
    assert len(mempool) == 0
    assert mempool.add(paying(5, start=2)) is AddOutcome.EXPIRED


def test_waits_for_its_window() -> None:
    mempool = pool()
    mempool.add(paying(5, start=3))

    assert fees(mempool) == []
    mempool.on_head(1)
    assert fees(mempool) == []
    mempool.on_head(2)
    assert fees(mempool) == [5]


def test_the_worst_makes_room() -> None:
    mempool = pool(max_transactions=2)
    mempool.add(paying(5))
    mempool.add(paying(3))

    assert mempool.add(paying(3, nonce=2)) is AddOutcome.FULL
    assert mempool.add(paying(4)) is AddOutcome.ADDED
    assert fees(mempool) == [5, 4]


def test_bytes_are_bounded_and_nothing_is_evicted_in_vain() -> None:
    mempool = pool(max_bytes=2 * SIZE)
    mempool.add(paying(1))
    mempool.add(paying(9))
    large = transaction(fee=8, data=b"x" * 64)

    # Without the worst one it would still not fit, and the other pays more.
    assert mempool.add(large) is AddOutcome.FULL
    assert fees(mempool) == [9, 1]


def test_one_that_could_never_fit_is_refused() -> None:
    assert pool(max_bytes=10).add(paying(9)) is AddOutcome.FULL


def test_one_sender_cannot_crowd_out_the_others() -> None:
    mempool = pool(max_per_sender=2)
    outcomes = [mempool.add(paying(5, nonce=nonce)) for nonce in (1, 2, 3)]

    assert outcomes == [AddOutcome.ADDED, AddOutcome.ADDED, AddOutcome.SENDER_FULL]
    assert mempool.add(paying(5, sender=1)) is AddOutcome.ADDED
    mempool.remove([paying(5, nonce=1).hash])
    assert mempool.add(paying(5, nonce=3)) is AddOutcome.ADDED


def test_spending_of_a_sender() -> None:
    mempool = pool()
    mempool.add(paying(5))
    mempool.add(paying(7))
    mempool.add(paying(9, sender=1))

    assert mempool.spent_by(paying(5).sender) == 10 + 5 + 10 + 7
    mempool.remove([paying(5).hash, paying(7).hash])
    assert mempool.spent_by(paying(5).sender) == 0


def test_removing_the_unknown_does_nothing() -> None:
    mempool = pool()
    mempool.remove([paying(5).hash])

    assert len(mempool) == 0
    assert mempool.size_bytes == 0
