"""One row for each rule of the votes topic's messages."""

from typing import Any

import pytest

from protocols.codec import pack
from protocols.errors import WireError
from protocols.messages.votes import (
    MAX_VOTE_BYTES,
    Proposal,
    SkipVote,
    Vote,
    VoteKind,
    VoteMessage,
    decode_vote_message,
)
from protocols.types import Hash32

HASH = Hash32(b"h" * 32)
BLS = b"s" * 96
ED25519 = b"e" * 64
SEED = b"v" * 80

GOOD: list[VoteMessage] = [
    Proposal(round=0, valid_round=None, proposer=0, header=b"h", body=b"b", signature=ED25519),
    Proposal(
        round=2**32 - 1,
        valid_round=2**32 - 2,
        proposer=511,
        header=b"h" * 65_536,
        body=b"b" * 32_768,
        signature=ED25519,
    ),
    Vote(kind=VoteKind.PREVOTE, number=4, round=1, block=HASH, validator=3, signature=BLS),
    Vote(kind=VoteKind.PRECOMMIT, number=4, round=0, block=None, validator=0, signature=BLS),
    SkipVote(number=7, parent_seed=SEED, validator=511, signature=BLS),
]

BAD: dict[str, Any] = {
    "no array": 5,
    "empty": [],
    "unknown type": [3, 7, SEED, 0, BLS],
    "boolean type": [True, 0, 4, 0, None, 0, BLS],
    "proposal: arity": [0, 0, None, 0, b"h", b"b"],
    "proposal: valid round not below": [0, 3, 3, 0, b"h", b"b", ED25519],
    "proposal: valid round in round 0": [0, 0, 0, 0, b"h", b"b", ED25519],
    "proposal: negative valid round": [0, 3, -1, 0, b"h", b"b", ED25519],
    "proposal: valid round no number": [0, 3, b"1", 0, b"h", b"b", ED25519],
    "proposal: round": [0, 2**32, None, 0, b"h", b"b", ED25519],
    "proposal: proposer": [0, 0, None, 512, b"h", b"b", ED25519],
    "proposal: no header": [0, 0, None, 0, b"", b"b", ED25519],
    "proposal: header too long": [0, 0, None, 0, b"h" * 65_537, b"b", ED25519],
    "proposal: no body": [0, 0, None, 0, b"h", b"", ED25519],
    "proposal: body too long": [0, 0, None, 0, b"h", b"b" * 32_769, ED25519],
    "proposal: signature": [0, 0, None, 0, b"h", b"b", BLS],
    "vote: arity": [1, 0, 4, 0, None, 0, BLS, 0],
    "vote: kind": [1, 2, 4, 0, None, 0, BLS],
    "vote: number": [1, 0, 2**32, 0, None, 0, BLS],
    "vote: round": [1, 0, 4, 2**32, None, 0, BLS],
    "vote: short hash": [1, 0, 4, 0, HASH[:31], 0, BLS],
    "vote: empty hash": [1, 0, 4, 0, b"", 0, BLS],
    "vote: validator": [1, 0, 4, 0, None, 512, BLS],
    "vote: signature": [1, 0, 4, 0, None, 0, ED25519],
    "skip vote: arity": [2, 7, SEED, 0],
    "skip vote: number": [2, -7, SEED, 0, BLS],
    "skip vote: seed": [2, 7, HASH, 0, BLS],
    "skip vote: validator": [2, 7, SEED, 512, BLS],
    "skip vote: signature": [2, 7, SEED, 0, b""],
}


@pytest.mark.parametrize("message", GOOD, ids=lambda message: type(message).__name__)
def test_decode_inverts_encode(message: VoteMessage) -> None:
    encoded = message.encode()

    assert decode_vote_message(encoded) == message
    assert len(encoded) <= MAX_VOTE_BYTES


@pytest.mark.parametrize("rule", BAD)
def test_refused(rule: str) -> None:
    with pytest.raises(WireError):
        decode_vote_message(pack(BAD[rule]))


@pytest.mark.parametrize("message", GOOD, ids=lambda message: type(message).__name__)
def test_nothing_may_follow_or_be_missing(message: VoteMessage) -> None:
    encoded = message.encode()

    for payload in (encoded + b"\x00", encoded[:-1], b""):
        with pytest.raises(WireError):
            decode_vote_message(payload)


def test_larger_than_any_message() -> None:
    with pytest.raises(WireError, match="more than"):
        decode_vote_message(bytes(MAX_VOTE_BYTES + 1))
