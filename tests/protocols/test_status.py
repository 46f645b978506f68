"""The first field of every response."""

import pytest

from protocols.codec import pack
from protocols.errors import WireError
from protocols.status import Refusal, ResponseStatus, encode_success, open_response

ERRORS = [status for status in ResponseStatus if status is not ResponseStatus.OK]


def test_numbers_never_change() -> None:
    assert {status.name: status.value for status in ResponseStatus} == {
        "OK": 0,
        "BAD_REQUEST": 1,
        "RATE_LIMITED": 2,
        "BUSY": 3,
        "NOT_FOUND": 4,
        "BODIES_NOT_STORED": 5,
        "TARGET_NOT_FOUND": 6,
        "TARGET_NOT_ON_MAIN_CHAIN": 7,
        "UNKNOWN_LOCATORS": 8,
        "TOO_MANY_LOCATORS": 9,
        "PRUNED": 10,
        "NOT_A_MACRO_BLOCK": 11,
        "OUT_OF_RANGE": 12,
        "HISTORY_NOT_STORED": 13,
        "PROOF_TOO_LARGE": 14,
        "STATE_NOT_STORED": 15,
    }


@pytest.mark.parametrize("status", ERRORS)
def test_refusal_has_nothing_but_its_status(status: ResponseStatus) -> None:
    assert Refusal(status).encode() == bytes([0x91, status])
    assert open_response("Test", bytes([0x91, status]), arity=3) == Refusal(status)


def test_success_is_no_refusal() -> None:
    with pytest.raises(AssertionError):
        Refusal(ResponseStatus.OK)


def test_content_follows_the_status() -> None:
    fields = open_response("Test", encode_success(7, b"x"), arity=2)

    assert not isinstance(fields, Refusal)
    assert fields.uint(maximum=9) == 7
    assert fields.blob(maximum=1) == b"x"


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        pack([]),
        pack(0),
        pack([b"\0"]),
        pack([False]),
        pack([False, 1]),
        pack([True]),
        pack([None]),
        pack([-1]),
        pack([max(ResponseStatus) + 1]),
        pack([0]),
        pack([0, 1, 2]),
        pack([4, 1]),
        pack([1]) + b"\0",
    ],
)
def test_anything_else_is_refused(payload: bytes) -> None:
    with pytest.raises(WireError):
        open_response("Test", payload, arity=1)
