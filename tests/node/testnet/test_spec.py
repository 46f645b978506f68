"""Asking for a network."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.errors import ConfigError
from node.testnet.spec import (
    NetworkSpec,
    NodeGroup,
    groups_of,
    mix_for,
    new_names,
    nodes_of,
    parse_late,
    parse_load,
    parse_mix,
)


def test_a_mix_is_numbered_by_profile_and_state_keepers_validate() -> None:
    nodes = nodes_of(groups_of({"history": 1, "full": 2, "pico": 1}), None)

    assert [node.name for node in nodes] == ["history-1", "full-1", "full-2", "pico-1"]
    assert [node.is_validator for node in nodes] == [True, True, True, False]


def test_fewer_validators_can_be_asked_for() -> None:
    assert sum(node.is_validator for node in nodes_of(groups_of({"full": 5}), 2)) == 2


@pytest.mark.parametrize(
    ("mix", "validators", "reason"),
    [
        ({"light": 3}, None, "no node can validate"),
        ({"light": 3}, 1, "no node can validate"),
        ({"full": 2, "pico": 1}, 3, "3 validators need as many history or full nodes, not 2"),
    ],
)
def test_validators_need_nodes_that_keep_state(
    mix: dict[str, int], validators: int | None, reason: str
) -> None:
    with pytest.raises(ConfigError, match=reason):
        nodes_of(groups_of(mix), validators)


def test_late_nodes_come_last_by_their_height_and_never_validate() -> None:
    late = [
        NodeGroup(profile="full", count=1, start_at=30),
        NodeGroup(profile="pico", count=2, start_at=20),
    ]
    nodes = nodes_of([*late, *groups_of({"pico": 1, "full": 1})], None)

    assert [node.name for node in nodes] == ["full-1", "pico-1", "pico-2", "pico-3", "full-2"]
    assert [node.start_at for node in nodes] == [0, 0, 20, 20, 30]
    assert [node.is_validator for node in nodes] == [True, False, False, False, False]


def test_a_group_says_how_its_nodes_fetch_the_state() -> None:
    groups = [
        NodeGroup(profile="full", count=1, sync="static"),
        NodeGroup(profile="full", count=1),
        NodeGroup(profile="full", count=1, start_at=9, pivot_interval=7),
    ]
    nodes = nodes_of(groups, 1)
    assert [(each.sync, each.pivot_interval) for each in nodes] == [
        ("static", None),
        (None, None),
        (None, 7),
    ]


def test_late_nodes_alone_make_no_network() -> None:
    with pytest.raises(ConfigError, match="no node can validate"):
        nodes_of([*groups_of({"light": 1}), NodeGroup(profile="full", count=1, start_at=5)], None)


def test_a_late_group_is_read() -> None:
    assert parse_late("pico=2@200") == NodeGroup(profile="pico", count=2, start_at=200)


@pytest.mark.parametrize("text", ["pico=2", "pico=2@", "pico=2@-1", "pico=0@5", "@5", "x=1@5"])
def test_a_bad_late_group_says_why(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_late(text)


def test_new_names_are_the_next_free_numbers() -> None:
    nodes = nodes_of(groups_of({"full": 2, "light": 1}), None)

    assert new_names(nodes, "full", 2) == ["full-3", "full-4"]
    assert new_names(nodes, "pico", 1) == ["pico-1"]


@given(st.integers(1, 200))
def test_the_default_mix_has_the_count_asked_for_and_can_validate(count: int) -> None:
    nodes = nodes_of(groups_of(mix_for(count, None)), None)

    assert len(nodes) == count
    assert any(node.is_validator for node in nodes)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("archive=1", "unknown profile 'archive'"),
        ("full=1,full=2", "given twice"),
        ("full", "not of the form full=COUNT"),
        ("full=-1", "not of the form full=COUNT"),
    ],
)
def test_a_bad_mix_says_why(text: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        parse_mix(text)


def test_count_and_mix_must_agree() -> None:
    with pytest.raises(ConfigError, match="mix has 3 nodes, but 4"):
        mix_for(4, {"full": 3})


def test_loads() -> None:
    assert [parse_load(text) for text in ("50tps", "50/s", "0.5")] == [50.0, 50.0, 0.5]
    with pytest.raises(ConfigError, match="not a load"):
        parse_load("fast")


@pytest.mark.parametrize("name", ["", "../up", "a b", "Upper", "a" * 64])
def test_a_name_is_a_plain_folder_name(name: str) -> None:
    with pytest.raises(ConfigError, match="network name"):
        NetworkSpec(name=name, seed=1, nodes=nodes_of(groups_of({"full": 1}), None))


@pytest.mark.parametrize("block_time_ms", [0, 9, 300_001])
def test_a_block_time_that_no_policy_has(block_time_ms: int) -> None:
    with pytest.raises(ConfigError, match="block time must be"):
        NetworkSpec(
            name="n",
            seed=1,
            nodes=nodes_of(groups_of({"full": 1}), None),
            block_time_ms=block_time_ms,
        )
