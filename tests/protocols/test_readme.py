"""The wire document states the numbers that the code has."""

import re
from pathlib import Path

import pytest

from node.errors import Fault
from node.net.scores import POINTS
from protocols import limits
from protocols.ids import RequestProtocol, Topic
from protocols.messages.votes import MAX_VOTE_BYTES
from protocols.status import ResponseStatus
from tests.vectors.test_wire import VECTORS

README = Path(limits.__file__).with_name("README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("status", ResponseStatus)
def test_statuses(status: ResponseStatus) -> None:
    assert f"\n| {status.value} | {status.name} | " in README


@pytest.mark.parametrize("protocol", RequestProtocol)
def test_requests(protocol: RequestProtocol) -> None:
    bounds = protocol.limits
    sizes = f"{bounds.max_request_bytes:,} | {bounds.max_response_bytes:,} | {bounds.timeout_s:.0f}"
    pace = "one per connection"
    if protocol is not RequestProtocol.HANDSHAKE:
        pace = f"{bounds.requests_per_10_s} in 10 s"

    assert f"\n| {bounds.number} | `{protocol.value}` | " in README
    assert f"\n| `{protocol.value}` | {sizes} | {pace} |" in README


@pytest.mark.parametrize("topic", Topic)
def test_topics(topic: Topic) -> None:
    assert f"\n| `{topic.value}` | " in README


@pytest.mark.parametrize("fault", Fault)
def test_faults(fault: Fault) -> None:
    assert f"\n| `{fault.value}` | {POINTS[fault]} | " in README


def test_sizes() -> None:
    sizes = (
        limits.MAX_HEADER_BYTES,
        limits.MAX_JUSTIFICATION_BYTES,
        limits.MAX_BODY_BYTES,
        limits.MAX_BLOCK_BYTES,
    )

    assert " / ".join(f"{size:,}" for size in sizes) + " bytes |" in README
    assert f"{limits.MAX_GOSSIP_BYTES:,} / 1,048,576 / {MAX_VOTE_BYTES:,} bytes |" in README
    assert f"array 0..{limits.MAX_LOCATORS} of bin 32" in README
    assert f"{limits.MAX_FRAME_BYTES:,}" in README


def test_every_kind_of_message_is_described() -> None:
    kinds = {vector["kind"] for vector in VECTORS["messages"]} - {"Refusal"}

    assert {kind for kind in kinds if f"`{kind}`: [" not in README} == set()


def test_every_part_of_the_vectors_is_named() -> None:
    named = {
        name.strip()
        for names in re.findall(r"\*\[([a-z, ]+)\]\*", README)
        for name in names.split(",")
    }

    assert named == set(VECTORS)
