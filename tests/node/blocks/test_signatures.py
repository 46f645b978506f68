"""Signatures that were found good once."""

from dataclasses import dataclass, field, replace
from threading import Thread

import pytest

from node.accounts.transaction import Transaction
from node.blocks.block import Block
from node.blocks.body import MicroBody
from node.blocks.justification import ProducerSignature
from node.blocks.signatures import SHARED_FROM, SIGNED, SignedTransactions
from node.blocks.verify import verify_signatures
from node.chain.results import BlockError
from node.crypto import ed25519
from protocols.types import ED25519_SIGNATURE_BYTES
from tests.build.blocks import micro_header, transaction

ONE, TWO, THREE = (transaction(nonce=nonce) for nonce in (501, 502, 503))
FALSE = bytes(ED25519_SIGNATURE_BYTES)


@dataclass
class Verifier:
    """Checks signatures and writes down which."""

    checked: list[bytes] = field(default_factory=list)
    """Hashes."""

    def verify(self, key: bytes, message: bytes, signature: bytes) -> bool:
        self.checked.append(message)
        return ed25519.verify(key, message, signature)


def block_of(*transactions: Transaction) -> Block:
    body = MicroBody(transactions=transactions)
    return Block(micro_header(body_root=body.root), ProducerSignature(FALSE), body)


def test_what_is_known_is_not_checked_again() -> None:
    verifier = Verifier()
    signed = SignedTransactions(verify=verifier.verify)
    signed.note(ONE)

    assert ONE in signed
    assert signed.is_signed(Transaction.decode(ONE.encode()))
    assert verifier.checked == []
    assert signed.is_signed(TWO)
    assert verifier.checked == [TWO.hash]


def test_to_ask_is_not_to_know() -> None:
    """A block of others does not push out what waits."""
    signed = SignedTransactions()

    assert signed.is_signed(ONE)
    assert ONE not in signed


@pytest.mark.parametrize("signature", [FALSE, TWO.signature, ONE.signature[::-1]])
def test_another_signature_of_a_known_transaction_is_false(signature: bytes) -> None:
    signed = SignedTransactions()
    signed.note(ONE)
    forged = replace(ONE, signature=signature)

    assert forged.hash == ONE.hash
    assert forged not in signed
    assert not signed.is_signed(forged)
    assert signed.is_signed(ONE)


def test_a_known_signature_of_another_transaction_is_false() -> None:
    signed = SignedTransactions()
    signed.note(ONE)

    assert not signed.is_signed(replace(ONE, value=11))
    assert not signed.is_signed(replace(ONE, sender_key=transaction(sender=2).sender_key))


def test_the_oldest_are_forgotten_which_changes_no_answer() -> None:
    verifier = Verifier()
    signed = SignedTransactions(capacity=2, verify=verifier.verify)
    for each in (ONE, TWO, THREE):
        signed.note(each)

    assert [each in signed for each in (ONE, TWO, THREE)] == [False, True, True]
    assert all(map(signed.is_signed, (ONE, TWO, THREE)))
    assert verifier.checked == [ONE.hash]
    assert not any(signed.is_signed(replace(each, signature=FALSE)) for each in (ONE, TWO, THREE))


def test_one_that_is_noted_twice_takes_one_place() -> None:
    signed = SignedTransactions(capacity=2)
    for each in (ONE, TWO, TWO):
        signed.note(each)

    assert ONE in signed
    assert TWO in signed


def test_several_threads_may_note_and_ask() -> None:
    signed = SignedTransactions(capacity=3)
    made = [transaction(nonce=600 + number) for number in range(40)]
    answers: list[bool] = []

    def use(mine: list[Transaction]) -> None:
        for each in mine * 20:
            signed.note(each)
            answers.append(signed.is_signed(each))
            answers.append(not signed.is_signed(replace(each, signature=FALSE)))

    threads = [Thread(target=use, args=(made[start::4],)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(answers) == 2 * 20 * 40
    assert all(answers)
    assert sum(each in signed for each in made) == 3


def test_a_block_is_checked_against_what_is_known() -> None:
    """Shown with a signature that is false and yet known, which the mempool lets nobody do."""
    false = replace(transaction(nonce=777), signature=FALSE)
    assert verify_signatures(block_of(ONE, false)) is BlockError.INVALID_TRANSACTION

    SIGNED.note(false)

    assert verify_signatures(block_of(ONE, false)) is None


def test_a_block_with_a_false_signature_of_a_known_transaction_is_refused() -> None:
    good = transaction(nonce=778)
    SIGNED.note(good)

    assert verify_signatures(block_of(ONE, good)) is None
    forged = replace(good, signature=ONE.signature)
    assert verify_signatures(block_of(ONE, forged)) is BlockError.INVALID_TRANSACTION


MANY = [transaction(nonce=nonce) for nonce in range(1000, 1000 + SHARED_FROM)]


@pytest.mark.parametrize("count", [SHARED_FROM - 1, SHARED_FROM])
def test_every_one_of_many_is_checked_once(count: int) -> None:
    verifier = Verifier()
    signed = SignedTransactions(verify=verifier.verify)
    signed.note(ONE)

    assert signed.are_signed([ONE, *MANY[:count]])
    assert sorted(verifier.checked) == sorted(each.hash for each in MANY[:count])


@pytest.mark.parametrize("place", [0, SHARED_FROM // 2 - 1, SHARED_FROM // 2, SHARED_FROM - 1])
def test_one_that_is_not_signed_is_found_among_many(place: int) -> None:
    forged = [*MANY]
    forged[place] = replace(MANY[place], signature=FALSE)

    assert not SignedTransactions().are_signed(forged)
