"""Who gets a place, and whose answer is used next."""

from dataclasses import replace

from node.sync.live.config import QueueConfig
from node.sync.live.lookups import Lookup, Lookups, LookupState
from protocols.types import Hash32, PeerId
from tests.build.blocks import digest
from tests.build.sync import ALICE, BOB, CAROL, DAVE

CONFIG = QueueConfig(include_body=True)


def lookups_for(*wanted: tuple[str, PeerId], config: QueueConfig = CONFIG) -> Lookups:
    lookups = Lookups(config)
    for name, peer in wanted:
        assert lookups.want(digest(name), peer)
    return lookups


def lookup_of(lookups: Lookups, name: str) -> Lookup:
    lookup = lookups.get(digest(name))
    assert lookup is not None
    return lookup


def placed(lookups: Lookups) -> dict[Hash32, PeerId | None]:
    return {lookup.target: lookup.place_of for lookup in lookups.placed}


def test_a_peer_has_two_of_five_places() -> None:
    lookups = lookups_for(*((f"{index}", ALICE) for index in range(6)))

    lookups.fill_places()

    assert placed(lookups) == {digest("0"): ALICE, digest("1"): ALICE}
    assert lookup_of(lookups, "0").next_peer == ALICE
    lookups.remove(lookup_of(lookups, "0"))
    lookups.fill_places()
    assert placed(lookups) == {digest("1"): ALICE, digest("2"): ALICE}


def test_shares_follow_the_number_of_places() -> None:
    shares = {
        places: replace(CONFIG, requests_in_flight=places).places_per_peer
        for places in (1, 2, 4, 5, 10, 64)
    }

    assert shares == {1: 1, 2: 1, 4: 1, 5: 2, 10: 4, 64: 25}


def test_places_go_to_those_who_have_the_fewest_and_then_to_the_oldest() -> None:
    lookups = lookups_for(
        ("a1", ALICE), ("a2", ALICE), ("b1", BOB), ("b2", BOB), ("c1", CAROL), ("d1", DAVE)
    )

    lookups.fill_places()

    assert placed(lookups) == {
        digest("a1"): ALICE,
        digest("a2"): ALICE,
        digest("b1"): BOB,
        digest("c1"): CAROL,
        digest("d1"): DAVE,
    }
    # Bob has one place, erin none: hers comes first, though she came last.
    lookups.want(digest("e1"), PeerId("erin"))
    lookups.remove(lookup_of(lookups, "a1"))
    lookups.fill_places()
    assert digest("e1") in placed(lookups)
    assert digest("b2") not in placed(lookups)


def test_a_lookup_that_others_want_too_is_asked_for_in_their_share() -> None:
    """A liar that is first to announce something good does not lock it into its own share."""
    lookups = lookups_for(("0", ALICE), ("1", ALICE), ("good", ALICE))
    lookups.fill_places()
    assert digest("good") not in placed(lookups)

    assert lookups.want(digest("good"), BOB)
    lookups.fill_places()

    assert placed(lookups)[digest("good")] == BOB
    assert lookup_of(lookups, "good").next_peer == BOB


def test_lookups_that_one_peer_begins_are_bounded() -> None:
    config = replace(CONFIG, lookups_per_peer=2)
    lookups = lookups_for(("0", ALICE), ("1", ALICE), ("2", BOB), config=config)

    assert not lookups.want(digest("3"), ALICE)
    assert lookups.get(digest("3")) is None
    # What is looked for already costs nothing.
    assert lookups.want(digest("2"), ALICE)
    lookups.remove(lookup_of(lookups, "0"))
    assert lookups.want(digest("3"), ALICE)
    assert len(lookups) == 3


def test_announcers_of_a_lookup_are_bounded() -> None:
    lookups = lookups_for(*(("0", PeerId(f"peer {index}")) for index in range(9)))

    assert lookup_of(lookups, "0").announcers == [PeerId(f"peer {index}") for index in range(4)]


def make_ready(lookups: Lookups, name: str, now: float) -> None:
    lookup = lookup_of(lookups, name)
    lookup.state, lookup.ready_at = LookupState.READY, now


def test_answers_are_used_in_order_unless_that_takes_too_long() -> None:
    lookups = lookups_for(("1", ALICE), ("2", BOB), ("3", CAROL))
    lookups.fill_places()
    assert lookups.next_ready(0.0) is None
    assert lookups.next_release() is None

    make_ready(lookups, "3", 5.0)
    make_ready(lookups, "2", 5.5)

    assert lookups.next_release() == 6.0
    assert lookups.next_ready(5.9) is None
    assert lookups.next_ready(6.0) is lookup_of(lookups, "2")
    lookups.remove(lookup_of(lookups, "2"))
    assert lookups.next_ready(6.0) is lookup_of(lookups, "3")
    make_ready(lookups, "1", 5.8)
    assert lookups.next_ready(5.8) is lookup_of(lookups, "1")


def test_a_lookup_without_a_place_holds_nobody_back() -> None:
    lookups = lookups_for(("0", ALICE), ("1", ALICE), ("2", ALICE), ("3", BOB))
    lookups.fill_places()
    for name in ("0", "1"):
        lookups.remove(lookup_of(lookups, name))
    make_ready(lookups, "3", 0.0)

    assert lookups.next_ready(0.0) is lookup_of(lookups, "3")
