"""Ids that were seen: for two minutes, in a bounded number."""

from dataclasses import dataclass

from node.net.libp2p.seen import MAX_SEEN, SEEN_S, SeenMessages


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def test_id_is_seen_for_two_minutes() -> None:
    clock = Clock()
    seen = SeenMessages(clock)
    assert not seen.has(b"id")
    assert seen.add(b"id")
    assert not seen.add(b"id")
    clock.now = SEEN_S - 0.1
    assert seen.has(b"id")
    clock.now = SEEN_S + 0.1
    assert seen.has(b"id") is False


def test_seen_again_is_remembered_longer() -> None:
    clock = Clock()
    seen = SeenMessages(clock)
    seen.add(b"id")
    clock.now = 100.0
    seen.add(b"id")
    clock.now = SEEN_S + 50.0
    assert seen.has(b"id")


def test_old_ids_are_forgotten() -> None:
    clock = Clock()
    seen = SeenMessages(clock)
    for number in range(10):
        seen.add(b"%d" % number)
    clock.now = SEEN_S + 1.0
    seen.add(b"new")
    assert len(seen) == 1


def test_number_is_bounded() -> None:
    seen = SeenMessages(Clock())
    for number in range(MAX_SEEN + 10):
        seen.add(number.to_bytes(4, "big"))
    assert len(seen) == MAX_SEEN
    assert not seen.has((9).to_bytes(4, "big"))
    assert seen.has((10).to_bytes(4, "big"))
