"""What validators sign, apart from header and transaction hashes.

Each message is msgpack and starts with a name of its own, so no signature can be taken for one of
another kind, network, height or round. Voting keys sign nothing else. Signing keys sign the 32
bytes of hashes too; a proposal message is always longer, so it can never be one.
"""

from protocols.codec import pack
from protocols.types import Hash32, Height


def skip_message(network: int, number: Height, parent_seed: bytes) -> bytes:
    """Return what a BLS vote to skip the producer of a height signs.

    Layout: ["headway skip", network, number, parent seed: bin 80].
    """
    return pack(["headway skip", network, number, parent_seed])


def prevote_message(network: int, number: Height, round_: int, block: Hash32 | None) -> bytes:
    """Return what a BLS prevote for a block, or for none, signs.

    Layout: ["headway prevote", network, number, round, block: bin 32 | nil].
    """
    return pack(["headway prevote", network, number, round_, block])


def precommit_message(network: int, number: Height, round_: int, block: Hash32 | None) -> bytes:
    """Return what a BLS precommit for a block, or for none, signs.

    Layout: ["headway precommit", network, number, round, block: bin 32 | nil].
    """
    return pack(["headway precommit", network, number, round_, block])


def proposal_message(
    network: int, number: Height, round_: int, valid_round: int | None, block: Hash32
) -> bytes:
    """Return what a proposer's Ed25519 signature covers.

    Layout: ["headway proposal", network, number, round, valid round: uint | nil, block: bin 32].
    """
    return pack(["headway proposal", network, number, round_, valid_round, block])
