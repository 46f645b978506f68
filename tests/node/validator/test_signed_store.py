from dataclasses import replace

import pytest

from node.crypto import vrf
from node.errors import DataFolderError
from node.storage.memory import MemoryStore
from node.storage.store import Table
from node.validator.macro_values import MacroRecord, OwnVote, Polka
from node.validator.signed_store import SignedStore, continues
from protocols.errors import WireError
from protocols.messages.votes import VoteKind
from tests.build.blocks import digest
from tests.build.keys import keys
from tests.build.macro import NUMBER, content, proposal, signature

SEED = vrf.prove(keys(0).signing, b"one")
OTHER_SEED = vrf.prove(keys(0).signing, b"other")
BLOCK = digest("block")
A = content("a")
LOCK = Polka(0, proposal(A), ((0, signature(0)), (2, signature(2))))
PREVOTE = OwnVote(VoteKind.PREVOTE, 0, A.hash)
RECORD = MacroRecord(
    number=NUMBER, round=0, votes=(PREVOTE,), proposal=None, locked=None, valid=None
)
LOCKED = replace(
    RECORD,
    votes=(PREVOTE, OwnVote(VoteKind.PRECOMMIT, 0, A.hash)),
    proposal=proposal(A),
    locked=LOCK,
    valid=LOCK,
)


@pytest.mark.parametrize(
    "record",
    [
        RECORD,
        LOCKED,
        replace(LOCKED, round=1, proposal=None, valid=replace(LOCK, round=1)),
        replace(LOCKED, locked=None),
    ],
)
def test_a_record_is_read_as_it_was_written(record: MacroRecord) -> None:
    signed = SignedStore(MemoryStore())

    signed.save_macro(record)

    assert signed.macro_record(NUMBER) == record
    assert signed.macro_record(NUMBER + 4) is None


def test_a_damaged_record_stops_the_node() -> None:
    store = MemoryStore()
    SignedStore(store).save_macro(RECORD)
    with store.write() as writer:
        ((key, value),) = writer.scan(Table.VOTES)
        writer.put(Table.VOTES, key, value[:-1])

    with pytest.raises(DataFolderError, match="height 4"):
        SignedStore(store).macro_record(NUMBER)


@pytest.mark.parametrize(
    "after",
    [
        replace(LOCKED, votes=(replace(PREVOTE, block=None),)),
        replace(LOCKED, votes=(replace(PREVOTE, block=digest("other")),)),
        replace(LOCKED, locked=None),
        replace(LOCKED, proposal=proposal(content("b"))),
        replace(LOCKED, proposal=None),
    ],
)
def test_nothing_signed_is_taken_back(after: MacroRecord) -> None:
    assert not continues(after, LOCKED)
    signed = SignedStore(MemoryStore())
    signed.save_macro(LOCKED)
    with pytest.raises(AssertionError):
        signed.save_macro(after)
    assert signed.macro_record(NUMBER) == LOCKED


def test_a_record_of_an_older_round_or_lock_does_not_continue() -> None:
    newer = replace(LOCKED, round=3, votes=(), proposal=None, locked=replace(LOCK, round=2))

    assert continues(newer, LOCKED)
    assert not continues(LOCKED, newer)
    assert not continues(replace(newer, locked=LOCK), newer)


def test_one_block_or_skip_vote_per_height_and_parent_seed() -> None:
    signed = SignedStore(MemoryStore())
    assert signed.may_produce(5, SEED)

    signed.note_produced(5, SEED, BLOCK)
    signed.note_skipped(6, SEED)
    signed.note_skipped(6, SEED)

    assert not signed.may_produce(5, SEED)
    assert not signed.may_produce(6, SEED)
    assert signed.may_produce(5, OTHER_SEED)
    rewritten = SEED[:-1] + bytes((SEED[-1] ^ 1,))
    assert vrf.proof_to_hash(rewritten) == vrf.proof_to_hash(SEED)
    assert not signed.may_produce(5, rewritten), "one seed, however its proof is written"
    assert signed.may_produce(7, SEED)


def test_what_is_final_is_forgotten() -> None:
    store = MemoryStore()
    signed = SignedStore(store)
    for number in (3, 4, 5):
        signed.note_produced(number, SEED, BLOCK)
        signed.note_skipped(number, SEED)
        signed.save_macro(replace(RECORD, number=number))

    signed.forget_below(4)

    assert [signed.may_produce(number, SEED) for number in (3, 4, 5)] == [True, False, False]
    assert [signed.macro_record(number) is None for number in (3, 4, 5)] == [True, False, False]


def test_every_record_cut_short_is_refused() -> None:
    encoded = LOCKED.encode()
    for length in range(len(encoded)):
        with pytest.raises(WireError):
            MacroRecord.decode(encoded[:length])
