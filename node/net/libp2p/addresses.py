"""Multiaddrs of the one kind we speak: an IP address or a name, a TCP port, and a peer id.

/ip4/192.0.2.7/tcp/4001/p2p/12D3Koo...      also /ip6, /dns, /dns4, /dns6
"""

import ipaddress
from dataclasses import dataclass
from typing import Final

from protocols.types import PeerId

_NAMES: Final = ("dns", "dns4", "dns6")
_PEER: Final = "p2p"


@dataclass(frozen=True, slots=True)
class HostPort:
    """Where a socket connects to or listens."""

    host: str
    port: int


def parse_address(address: str) -> tuple[HostPort, PeerId | None]:
    """Read a multiaddr.

    Raises:
        ValueError: It is not of the one kind we speak; the message says why.
    """
    parts = address.split("/")
    if len(parts) not in {5, 7} or parts[0] or parts[3] != "tcp":
        raise ValueError(f"not /ip4|ip6|dns/HOST/tcp/PORT[/p2p/ID]: {address}")
    target = HostPort(_host(parts[1], parts[2], address), _port(parts[4], address))
    if len(parts) == 5:
        return target, None
    if parts[5] != _PEER or not parts[6]:
        raise ValueError(f"no /p2p/ID at the end: {address}")
    return target, PeerId(parts[6])


def format_address(target: HostPort, peer: PeerId | None = None) -> str:
    """Return the multiaddr of a target, with the peer that is expected there."""
    suffix = "" if peer is None else f"/{_PEER}/{peer}"
    return f"/{_kind(target.host)}/{target.host}/tcp/{target.port}{suffix}"


def _host(kind: str, host: str, address: str) -> str:
    if kind in _NAMES and host:
        return host
    if kind not in {"ip4", "ip6"} or _kind(host) != kind:
        raise ValueError(f"not a host: /{kind}/{host} in {address}")
    return host


def _port(text: str, address: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) > 0xFFFF:
        raise ValueError(f"not a port: {text} in {address}")
    return int(text)


def _kind(host: str) -> str:
    try:
        return f"ip{ipaddress.ip_address(host).version}"
    except ValueError:
        return "dns"
