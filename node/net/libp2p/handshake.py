"""Deciding from two hellos whether two nodes belong together."""

from protocols.messages.handshake import Hello


def difference(ours: Hello, theirs: Hello) -> str | None:
    """Return what keeps two nodes apart, for a log line, or None when nothing does.

    Services, head and agent may differ: they are what a handshake is there to tell.
    """
    if theirs.network != ours.network:
        return f"network {theirs.network}, ours is {ours.network}"
    if theirs.genesis != ours.genesis:
        return f"genesis {theirs.genesis.hex()[:8]}, ours is {ours.genesis.hex()[:8]}"
    if theirs.version != ours.version:
        return f"protocol version {theirs.version}, ours is {ours.version}"
    return None
