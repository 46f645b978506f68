"""Which differences keep two nodes apart."""

from dataclasses import replace

import pytest

from node.net.libp2p.handshake import difference
from protocols.messages.handshake import Hello
from protocols.types import Hash32, Service

OURS = Hello(
    network=7,
    genesis=Hash32(bytes(32)),
    version=1,
    services=Service.HEADERS,
    head_number=0,
    head_hash=Hash32(bytes(32)),
    agent="ours",
)


@pytest.mark.parametrize(
    ("theirs", "reason"),
    [
        (OURS, None),
        (
            replace(
                OURS,
                services=Service(0xFF),
                head_number=9,
                head_hash=Hash32(b"h" * 32),
                agent="theirs",
            ),
            None,
        ),
        (replace(OURS, network=8), "network 8, ours is 7"),
        (replace(OURS, genesis=Hash32(b"\1" * 32)), "genesis 01010101, ours is 00000000"),
        (replace(OURS, version=2), "protocol version 2, ours is 1"),
    ],
)
def test_difference(theirs: Hello, reason: str | None) -> None:
    assert difference(OURS, theirs) == reason
