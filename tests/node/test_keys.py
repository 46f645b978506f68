import json
import stat
from pathlib import Path
from typing import Any

import pytest
from libp2p.crypto.ed25519 import Ed25519PrivateKey
from libp2p.peer.id import ID

from node.crypto import bls, ed25519
from node.crypto.hashes import address_of
from node.errors import ConfigError
from node.keys import NodeKeys

KEYS = NodeKeys.derive(7, "a")


def _fields(keys: NodeKeys) -> list[bytes]:
    return [keys.peer.seed, keys.signing.seed, keys.voting.secret, keys.reward_address]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def _write(path: Path, **changes: Any) -> None:
    KEYS.save(path)
    content = json.loads(path.read_text()) | changes
    kept = {name: value for name, value in content.items() if value != "left out"}
    path.write_text(json.dumps(kept))


def test_derived_keys_are_always_the_same() -> None:
    assert _fields(NodeKeys.derive(7, "a")) == _fields(KEYS)
    assert KEYS.signing.public_key.hex()[:16] == "36ae63f6c601d53c"
    assert KEYS.voting.public_key.hex()[:16] == "aa406fb95527e9fe"


def test_seeds_and_names_have_keys_of_their_own() -> None:
    others = [NodeKeys.derive(7, "b"), NodeKeys.derive(8, "a"), NodeKeys.derive("7a", "")]
    secrets = [secret for keys in (KEYS, *others) for secret in _fields(keys)]
    assert len(set(secrets)) == len(secrets)


def test_generated_keys_are_new() -> None:
    assert set(_fields(NodeKeys.generate())).isdisjoint(_fields(NodeKeys.generate()))


def test_the_keys_work() -> None:
    assert ed25519.verify(KEYS.signing.public_key, b"m", KEYS.signing.sign(b"m"))
    assert bls.verify_possession(KEYS.voting.public_key, KEYS.voting.proof_of_possession())
    assert KEYS.reward_address == address_of(KEYS.signing.public_key)


@pytest.mark.parametrize("name", ["a", "b", "c"])
def test_the_peer_id_is_that_of_libp2p(name: str) -> None:
    keys = NodeKeys.derive(7, name)
    theirs = Ed25519PrivateKey.from_bytes(keys.peer.seed).get_public_key()
    assert keys.peer_id == ID.from_pubkey(theirs).to_base58()


def test_saved_keys_come_back(path: Path) -> None:
    KEYS.save(path)
    assert _fields(NodeKeys.load(path)) == _fields(KEYS)


def test_the_file_belongs_to_its_owner(path: Path) -> None:
    KEYS.save(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_is_never_replaced(path: Path) -> None:
    path.write_text("precious")
    with pytest.raises(ConfigError, match=r"keys\.json: File exists"):
        KEYS.save(path)
    assert path.read_text() == "precious"


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file or directory"):
        KEYS.save(tmp_path / "missing" / "keys.json")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_file_open_to_others_is_refused(path: Path, mode: int) -> None:
    KEYS.save(path)
    path.chmod(mode)
    with pytest.raises(ConfigError, match=r"keys\.json: others can read these secrets"):
        NodeKeys.load(path)


def test_another_reward_address_is_kept(path: Path) -> None:
    _write(path, reward_address="11" * 20)
    assert NodeKeys.load(path).reward_address == bytes([0x11] * 20)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"peer": "left out"}, "peer: missing"),
        ({"peer": "00"}, "peer: not 64 lower-case hex digits"),
        ({"signing": None}, "signing: not 64 lower-case hex digits"),
        ({"voting": "00" * 32}, "voting: a voting secret is not zero"),
        ({"voting": "ff" * 32}, "voting: "),
        ({"reward_address": "0x" + "0" * 38}, "reward_address: not 40 lower-case hex digits"),
        ({"extra": 1}, "extra: unknown key"),
    ],
)
def test_one_wrong_field(path: Path, changes: dict[str, Any], reason: str) -> None:
    _write(path, **changes)
    with pytest.raises(ConfigError) as caught:
        NodeKeys.load(path)
    assert str(caught.value).startswith(f"{path}: {reason}")
    assert "\n" not in str(caught.value)


def test_a_missing_file(path: Path) -> None:
    with pytest.raises(ConfigError, match=r"keys\.json: No such file"):
        NodeKeys.load(path)


def test_secrets_are_not_printed() -> None:
    shown = repr(KEYS)
    assert KEYS.signing.seed.hex() not in shown
    assert repr(KEYS.signing.seed) not in shown
    assert repr(KEYS.voting.secret) not in shown
