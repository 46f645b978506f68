"""Rules of the state's requests that the kinds of their fields do not say."""

import pytest

from protocols.codec import pack
from protocols.errors import WireError
from protocols.messages.state_range import StateRangeRequest
from protocols.messages.subtrees import MAX_PLACES, SubtreesRequest
from protocols.messages.trie_proof import MAX_ADDRESSES, TrieProofRequest

TARGET = bytes(32)
LOW, HIGH = b"\x01" * 20, b"\x02" * 20


@pytest.mark.parametrize(
    "addresses", [[], [HIGH, LOW], [LOW, LOW], [LOW[:19]]], ids=["none", "down", "twice", "short"]
)
def test_addresses_are_some_and_ascend(addresses: list[bytes]) -> None:
    with pytest.raises(WireError):
        TrieProofRequest.decode(pack([TARGET, tuple(addresses)]))


def test_addresses_are_few() -> None:
    addresses = [number.to_bytes(20, "big") for number in range(MAX_ADDRESSES + 1)]
    assert TrieProofRequest.decode(pack([TARGET, tuple(addresses[1:])])).target == TARGET
    with pytest.raises(WireError):
        TrieProofRequest.decode(pack([TARGET, tuple(addresses)]))


def test_a_range_starts_at_its_end_at_the_latest() -> None:
    assert StateRangeRequest.decode(pack([TARGET, LOW, LOW, 1])).end == LOW
    with pytest.raises(WireError):
        StateRangeRequest.decode(pack([TARGET, HIGH, LOW, 1]))


@pytest.mark.parametrize(
    "places",
    [
        [],
        [b""],
        [b"\0\0"],
        [b"\x01"],
        [b"\x01\x01"],
        [b"\x02\xab\xcd"],
        [b"\x29" + bytes(21)],
        [b"\0"] * (MAX_PLACES + 1),
    ],
    ids=["none", "empty", "long root", "short", "low half", "long", "deep", "many"],
)
def test_places_are_places_of_the_trie(places: list[bytes]) -> None:
    with pytest.raises(WireError):
        SubtreesRequest.decode(pack([TARGET, tuple(places)]))


def test_the_root_and_single_addresses_are_places() -> None:
    places = (b"\0", b"\x01\xf0", b"\x02\xff", b"\x28" + HIGH)
    assert SubtreesRequest.decode(pack([TARGET, places])).places == places
