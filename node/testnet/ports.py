"""Free TCP ports that stay free until the nodes that they are for have started.

The system would give any port above its ephemeral range's start, and would then give the same
one to an outgoing connection of a node that started earlier. So ports are taken below that range.
"""

import socket
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import Final

from node.errors import ListenError

LOWEST_PORT: Final = 10_000
"""Below it well-known services live."""

DEFAULT_EPHEMERAL_START: Final = 32_768
"""Where Linux starts the ephemeral range unless told otherwise."""

_RANGE_FILE: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")


def free_ports(count: int, rng: Random) -> list[int]:
    """Return ports that nobody listens on now, all different.

    Raises:
        ListenError: There are not enough.
    """
    candidates = list(range(LOWEST_PORT, max(ephemeral_start(), LOWEST_PORT + 1)))
    rng.shuffle(candidates)
    found: list[int] = []
    with ExitStack() as held:
        for port in candidates:
            if len(found) == count:
                break
            probe = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            found.append(port)
    if len(found) < count:
        raise ListenError(f"only {len(found)} of {count} TCP ports are free on 127.0.0.1")
    return found


def ephemeral_start() -> int:
    """Return the first port that the system gives to outgoing connections."""
    try:
        return int(_RANGE_FILE.read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return DEFAULT_EPHEMERAL_START
