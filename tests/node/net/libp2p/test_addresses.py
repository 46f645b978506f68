"""Multiaddrs that we speak, and the many that we do not."""

import pytest

from node.net.libp2p.addresses import HostPort, format_address, parse_address
from protocols.types import PeerId

PEER = PeerId("12D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH5")


@pytest.mark.parametrize(
    ("address", "target"),
    [
        ("/ip4/127.0.0.1/tcp/4001", HostPort("127.0.0.1", 4001)),
        ("/ip4/0.0.0.0/tcp/0", HostPort("0.0.0.0", 0)),  # noqa: S104
        ("/ip6/::1/tcp/65535", HostPort("::1", 65535)),
        ("/dns/example.org/tcp/1", HostPort("example.org", 1)),
    ],
)
def test_parse_and_format(address: str, target: HostPort) -> None:
    assert parse_address(address) == (target, None)
    assert format_address(target) == address
    assert parse_address(f"{address}/p2p/{PEER}") == (target, PEER)
    assert format_address(target, PEER) == f"{address}/p2p/{PEER}"


@pytest.mark.parametrize("kind", ["dns4", "dns6"])
def test_other_names(kind: str) -> None:
    assert parse_address(f"/{kind}/example.org/tcp/1") == (HostPort("example.org", 1), None)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "/",
        "127.0.0.1:4001",
        "/ip4/127.0.0.1",
        "/ip4/127.0.0.1/udp/4001",
        "/ip4/127.0.0.1/tcp/",
        "/ip4/127.0.0.1/tcp/65536",
        "/ip4/127.0.0.1/tcp/-1",
        "/ip4/127.0.0.1/tcp/٣",
        "/ip4/::1/tcp/1",
        "/ip6/127.0.0.1/tcp/1",
        "/ip4/example.org/tcp/1",
        "/dns//tcp/1",
        "/ip4/127.0.0.1/tcp/1/p2p/",
        "/ip4/127.0.0.1/tcp/1/ipfs/x",
        "/ip4/127.0.0.1/tcp/1/p2p/x/p2p-circuit",
        "x/ip4/127.0.0.1/tcp/1",
    ],
)
def test_refused(address: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_address(address)
