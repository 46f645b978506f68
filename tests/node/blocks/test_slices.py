"""Parts of encoded bodies."""

import pytest

from node.blocks.body import MicroBody
from node.blocks.slices import slice_transactions, transaction_hashes
from tests.build.blocks import equivocation_proof, transaction
from tests.build.keys import keys

TRANSACTIONS = tuple(transaction(nonce=nonce) for nonce in range(20))
ENCODED = [each.encode() for each in TRANSACTIONS]


@pytest.mark.parametrize("proofs", [(), (equivocation_proof(keys(0)),)])
@pytest.mark.parametrize(
    ("start", "end"), [(0, 20), (0, 1), (3, 7), (19, 20), (15, 99), (20, 21), (99, 100)]
)
def test_transactions_come_as_they_are_encoded(proofs: tuple[()], start: int, end: int) -> None:
    body = MicroBody(proofs, TRANSACTIONS).encoded

    assert slice_transactions(body, start, end) == (20, ENCODED[start:end])


def test_a_body_without_transactions() -> None:
    assert slice_transactions(MicroBody().encoded, 0, 5) == (0, [])


@pytest.mark.parametrize("proofs", [(), (equivocation_proof(keys(0)),)])
@pytest.mark.parametrize("count", [0, 1, 20])
def test_the_hashes_are_those_of_decoded_transactions(proofs: tuple[()], count: int) -> None:
    body = MicroBody(proofs, TRANSACTIONS[:count]).encoded

    assert transaction_hashes(body) == [each.hash for each in TRANSACTIONS[:count]]
