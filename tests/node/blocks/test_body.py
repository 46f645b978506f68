from typing import Any

import pytest

from node.accounts.transaction import MAX_COINS
from node.blocks.body import (
    EMPTY_MICRO_BODY,
    MAX_EQUIVOCATION_PROOFS,
    MacroBody,
    MicroBody,
    Reward,
    decode_body,
    join_transactions,
)
from node.crypto.hashes import hash32
from protocols.codec import Value, pack
from protocols.errors import WireError
from protocols.limits import MAX_BODY_BYTES
from protocols.types import Address
from tests.build.blocks import equivocation_proof, macro_header, transaction
from tests.build.keys import keys
from tests.node.blocks.fields import unpacked

PROOF = equivocation_proof(keys(0))
TRANSACTION = transaction()
MACROS = [macro_header(timestamp=timestamp) for timestamp in range(200)]
LOW_MACRO = min(MACROS, key=lambda header: header.hash)
HIGH_MACRO = max(MACROS, key=lambda header: header.hash)
MICRO = MicroBody((PROOF,), (TRANSACTION, transaction(nonce=1)))
MACRO = MacroBody((Reward(Address(bytes(20)), 7), Reward(Address(bytes([1] * 20)), MAX_COINS)))


@pytest.mark.parametrize("body", [MICRO, MACRO, EMPTY_MICRO_BODY, MacroBody()])
def test_a_body_comes_back_as_it_was(body: MicroBody | MacroBody) -> None:
    decoded = decode_body(body.encoded)
    assert decoded == body
    assert type(decoded) is type(body)
    assert decoded.root == body.root == hash32(body.encoded)


@pytest.mark.parametrize("count", [0, 1, 15, 16, 300])
def test_joined_transactions_are_a_body(count: int) -> None:
    sent = tuple(transaction(nonce=nonce) for nonce in range(count))
    joined = join_transactions([each.encode() for each in sent])
    assert joined == MicroBody((), sent).encoded


def test_the_layouts() -> None:
    assert unpacked(EMPTY_MICRO_BODY.encoded) == [0, [], []]
    assert unpacked(MacroBody().encoded) == [1, []]
    assert unpacked(MACRO.encoded) == [1, [[bytes(20), 7], [bytes([1] * 20), MAX_COINS]]]
    assert unpacked(MICRO.encoded)[2][0] == unpacked(TRANSACTION.encode())
    assert unpacked(MICRO.encoded)[1] == [
        [PROOF.header1.encoded, PROOF.signature1, PROOF.header2.encoded, PROOF.signature2]
    ]


def _proof(**changes: Any) -> Value:
    fields: dict[str, Any] = {
        "header1": PROOF.header1.encoded,
        "signature1": PROOF.signature1,
        "header2": PROOF.header2.encoded,
        "signature2": PROOF.signature2,
    }
    return list((fields | changes).values())


WRONG: dict[str, Value] = {
    "no array": 0,
    "no fields": [],
    "unknown type": [2, [], []],
    "type that is no integer": [False, [], []],
    "micro body of a macro type": [1, [], []],
    "macro body of a micro type": [0, []],
    "transaction of seven fields": [0, [], [TRANSACTION.to_wire()[:-1]]],
    "transaction as bytes": [0, [], [TRANSACTION.encode()]],
    "no list of transactions": [0, [], None],
    "proof without a signature": [0, [[PROOF.header1.encoded]], []],
    "proof with a short signature": [0, [_proof(signature1=bytes(63))], []],
    "proof with a macro header first": [0, [_proof(header1=LOW_MACRO.encoded)], []],
    "proof with a macro header last": [0, [_proof(header2=HIGH_MACRO.encoded)], []],
    "proof of one header": [0, [_proof(header2=PROOF.header1.encoded)], []],
    "proof in the other order": [
        0,
        [_proof(header1=PROOF.header2.encoded, header2=PROOF.header1.encoded)],
        [],
    ],
    "too many proofs": [0, [_proof()] * (MAX_EQUIVOCATION_PROOFS + 1), []],
    "reward to no address": [1, [[bytes(19), 1]]],
    "reward over all coins": [1, [[bytes(20), MAX_COINS + 1]]],
    "reward below zero": [1, [[bytes(20), -1]]],
    "reward of three fields": [1, [[bytes(20), 1, 1]]],
    "too many rewards": [1, [[bytes(20), 1]] * 513],
}


def test_the_macro_headers_are_wrong_for_nothing_but_their_type() -> None:
    assert LOW_MACRO.hash < PROOF.header1.hash < PROOF.header2.hash < HIGH_MACRO.hash


@pytest.mark.parametrize("value", WRONG.values(), ids=WRONG)
def test_what_is_refused(value: Value) -> None:
    with pytest.raises(WireError):
        decode_body(pack(value))


def test_too_many_bytes_are_not_looked_at() -> None:
    with pytest.raises(WireError, match=f"more than {MAX_BODY_BYTES} bytes"):
        decode_body(bytes(MAX_BODY_BYTES + 1))
