"""Proofs of accounts as section 10 of the wire document describes them, checked by its words."""

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest

from tests.vectors.test_wire import VECTORS

Records = dict[bytes, bytes]

CASES = [
    pytest.param(state, case, id=f"{state['accounts']} accounts, {index}")
    for state in VECTORS["state proofs"]
    for index, case in enumerate(state["ranges"])
]


def blake2b(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=32).digest()


def state_of(count: int) -> Records:
    hashes = ((index + 1, blake2b(index.to_bytes(4, "big"))) for index in range(count))
    return {digest[:20]: coins.to_bytes(9, "big") for coins, digest in hashes}


def encoded(records: Records) -> bytes:
    parts = sorted(records.items())
    return b"".join(key + len(value).to_bytes(2, "big") + value for key, value in parts)


class Walk:
    """Writes the nodes of a proof down from the whole state."""

    def __init__(self, state: Records, start: bytes, last: bytes, end: bytes) -> None:
        self.state = state
        self.start, self.last, self.end = start.hex(), last.hex(), end.hex()
        self.next: str | None = None

    def below(self, prefix: str) -> Records:
        return {key: value for key, value in self.state.items() if key.hex().startswith(prefix)}

    def root_of(self, prefix: str) -> bytes:
        records = self.below(prefix)
        if len(records) <= 64:
            return blake2b(b"\0" + encoded(records))
        return blake2b(b"\1" + b"".join(self.child(prefix + nibble) for nibble in NIBBLES))

    def child(self, prefix: str) -> bytes:
        records = self.below(prefix)
        return len(records).to_bytes(8, "big") + self.root_of(prefix) if records else bytes(40)

    def is_given(self, prefix: str) -> bool | None:
        """Tell whether a child is given or walked through; None if it is computed."""
        low, high = prefix.ljust(40, "0"), prefix.ljust(40, "f")
        if high < self.start or low > self.end:
            return True
        if low < self.start:
            return False
        if high <= self.last:
            return None
        if low <= self.last:
            return False
        return high <= self.end or self.next is not None

    def note(self, key: str) -> None:
        if self.next is None and max(self.start, self.last) <= key <= self.end:
            self.next = key

    def node(self, prefix: str) -> Iterator[bytes]:
        records = self.below(prefix)
        if len(records) <= 64:
            known = {key for key in records if self.start <= key.hex() <= self.last}
            others = {key: value for key, value in records.items() if key not in known}
            for key in sorted(others):
                self.note(key.hex())
            yield bytes((len(others),)) + encoded(others)
            return
        given, content, walked = 0, b"", []
        for number, nibble in enumerate(NIBBLES):
            is_given = self.is_given(prefix + nibble)
            if is_given and self.below(prefix + nibble):
                given |= 1 << number
                content += self.child(prefix + nibble)
                self.note((prefix + nibble).ljust(40, "0"))
            elif is_given is False:
                walked += list(self.node(prefix + nibble))
        yield b"\xff" + given.to_bytes(2, "big") + content
        yield from walked


NIBBLES = "0123456789abcdef"


@pytest.mark.parametrize(("state", "case"), CASES)
def test_ranges(state: dict[str, Any], case: dict[str, Any]) -> None:
    accounts = state_of(state["accounts"])
    start, end = bytes.fromhex(case["start"]), bytes.fromhex(case["end"])
    keys = sorted(key for key in accounts if start <= key <= end)[: case["limit"]]
    walk = Walk(accounts, start, keys[-1] if keys else b"", end)

    assert encoded({key: accounts[key] for key in keys}).hex() == case["leaves"]
    assert b"".join(walk.node("")).hex() == case["proof"]
    assert walk.next == case["next"]
    root = walk.root_of("")
    assert root.hex() == state["root"]


@pytest.mark.parametrize("state", VECTORS["state proofs"], ids=lambda state: state["accounts"])
def test_single_accounts(state: dict[str, Any]) -> None:
    walk = Walk(state_of(state["accounts"]), b"", b"", b"")
    for case in state["addresses"]:
        nodes = b"".join(_node_for(walk, "", case["addresses"]))
        assert nodes.hex() == case["proof"]


def _node_for(walk: Walk, prefix: str, addresses: list[str]) -> Iterator[bytes]:
    records = walk.below(prefix)
    if len(records) <= 64:
        yield bytes((len(records),)) + encoded(records)
        return
    walked = [n for n in NIBBLES if any(each.startswith(prefix + n) for each in addresses)]
    rest = [n for n in NIBBLES if n not in walked and walk.below(prefix + n)]
    given = sum(1 << NIBBLES.index(n) for n in rest)
    content = b"".join(walk.child(prefix + n) for n in rest)
    yield b"\xff" + given.to_bytes(2, "big") + content
    for nibble in walked:
        yield from _node_for(walk, prefix + nibble, addresses)
