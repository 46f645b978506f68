"""The keys of one node: its network identity, and what it signs with as a validator."""

import json
import os
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Final, Self

from node.crypto import bls
from node.crypto.ed25519 import SEED_BYTES, SigningKey
from node.crypto.hashes import address_of
from node.errors import ConfigError
from node.json_file import JsonFields
from protocols.types import ADDRESS_BYTES, Address, PeerId

_BASE58: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_PEER_ID_PREFIX: Final = bytes.fromhex("002408011220")
"""Identity multihash of 36 bytes; in it a protobuf key of type Ed25519 and 32 bytes."""


@dataclass(frozen=True, kw_only=True)
class NodeKeys:
    """Secrets of a node. File: JSON object of hex strings, readable by its owner only."""

    peer: SigningKey
    """libp2p identity. Not the signing key: a node may move its stake without changing its name."""
    signing: SigningKey
    """Signs micro blocks, seeds and proposals."""
    voting: bls.VotingKey
    """Signs prevotes, precommits and skips."""
    reward_address: Address
    """Account that rewards go to."""

    @property
    def peer_id(self) -> PeerId:
        """The libp2p peer id, known without starting a host."""
        return PeerId(_base58(_PEER_ID_PREFIX + self.peer.public_key))

    @classmethod
    def generate(cls) -> Self:
        """Make keys from the system's randomness."""
        return cls._from_secrets(
            os.urandom(32), os.urandom(32), bls.derive_secret(os.urandom(32)), None
        )

    @classmethod
    def derive(cls, seed: int | str, name: str) -> Self:
        """Make the keys that a node of this name always has on testnets of this seed.

        For testnets only: whoever knows seed and name has the keys.
        """

        def material(purpose: str) -> bytes:
            content = json.dumps(["headway", purpose, str(seed), name]).encode()
            return blake2b(content, digest_size=32).digest()

        return cls._from_secrets(
            material("peer"), material("signing"), bls.derive_secret(material("voting")), None
        )

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a key file.

        Raises:
            ConfigError: Not readable, open to others, or not exactly one set of keys.
        """
        fields = JsonFields.load(path)
        if path.stat().st_mode & 0o077:
            raise ConfigError(f"{path}: others can read these secrets: chmod 600")
        peer = fields.blob("peer", length=SEED_BYTES)
        signing = fields.blob("signing", length=SEED_BYTES)
        voting = fields.blob("voting", length=bls.SECRET_BYTES)
        reward_address = Address(fields.blob("reward_address", length=ADDRESS_BYTES))
        fields.end()
        try:
            return cls._from_secrets(peer, signing, voting, reward_address)
        except ValueError as error:
            raise ConfigError(f"{path}: voting: {error}") from error

    def save(self, path: Path) -> None:
        """Write a new key file. Never replaces one: lost keys are lost stake.

        Raises:
            ConfigError: The file exists or cannot be written.
        """
        content = {
            "peer": self.peer.seed.hex(),
            "signing": self.signing.seed.hex(),
            "voting": self.voting.secret.hex(),
            "reward_address": self.reward_address.hex(),
        }
        try:
            # Created with its mode: the secrets are never readable by others, not for a moment.
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(json.dumps(content, indent=2) + "\n")
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror}") from error

    @classmethod
    def _from_secrets(
        cls, peer: bytes, signing: bytes, voting: bytes, reward_address: Address | None
    ) -> Self:
        signing_key = SigningKey(signing)
        return cls(
            peer=SigningKey(peer),
            signing=signing_key,
            voting=bls.VotingKey(voting),
            reward_address=reward_address or address_of(signing_key.public_key),
        )


def _base58(content: bytes) -> str:
    number, digits = int.from_bytes(content, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        digits = _BASE58[digit] + digits
    zeros = len(content) - len(content.lstrip(b"\0"))
    return _BASE58[0] * zeros + digits
