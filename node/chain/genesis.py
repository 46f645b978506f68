"""The genesis file: everything that the nodes of one network must agree on from the start.

File: one JSON object.

    format       1
    name         text, 1..32 printable characters
    network      id, 0..255
    timestamp    milliseconds since the Unix epoch
    seed         VRF proof, 80 bytes: the first random seed
    policy       the numbers of `node.policy.Policy`, all of them
    candidates   [{address, signing_key, voting_key, proof_of_possession, stake}, ...]
    accounts     {address: coins, ...}

A genesis of many accounts has instead of the last

    accounts_file    {file, state_root, diff_root}: name of a file beside it, 32 bytes, 32 bytes

which `node.chain.genesis_accounts` describes and only they read who start from block 0.

Byte strings are lower-case hex. Whatever is in the file changes the genesis hash, by way of the
header's roots, seed and extra data, so nodes with different files never take each other for peers.
"""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Self

from node.accounts.transaction import MAX_COINS
from node.blocks.block import Block
from node.blocks.body import MacroBody
from node.blocks.header import MAX_TIMESTAMP_MS, MacroHeader
from node.blocks.justification import GENESIS_JUSTIFICATION
from node.blocks.slots import Candidate, draw_validators
from node.blocks.validators import SignerSet
from node.chain import history_tree
from node.chain.genesis_accounts import (
    AccountsFile,
    diff_root_of,
    encode_accounts,
    state_root_of,
    store_accounts,
)
from node.crypto import bls, vrf
from node.crypto.ed25519 import SigningKey, is_public_key
from node.crypto.hashes import ZERO_HASH, hash32
from node.crypto.seeds import entropy
from node.errors import ConfigError
from node.json_file import JsonFields, decode_hex, is_text
from node.keys import NodeKeys
from node.policy import Policy
from node.storage.store import Store
from protocols.codec import Value, pack
from protocols.types import (
    ADDRESS_BYTES,
    BLS_KEY_BYTES,
    BLS_SIGNATURE_BYTES,
    ED25519_KEY_BYTES,
    HASH_BYTES,
    SEED_BYTES,
    Address,
    Hash32,
)

FORMAT: Final = 1
BLOCK_VERSION: Final = 1
"""Version of every header of the network."""

MAX_NAME_CHARACTERS: Final = 32
MAX_CANDIDATES: Final = 10_000
MAX_FILE_NAME_CHARACTERS: Final = 255
"""What file systems allow."""

MAX_STAKE: Final = MAX_COINS
TESTNET_STAKE: Final = 1000
"""Every validator of a testnet has the same, so each owns the same number of slots or one more."""

_POLICY_MAXIMUM: Final = 2**63
"""`Policy` has the real bounds; this only keeps the file to integers."""


@dataclass(frozen=True, kw_only=True)
class Stake:
    """A candidate of the first election, and of all others while stake cannot be moved."""

    candidate: Candidate
    proof_of_possession: bytes
    """Shows that it knows the secret of its voting key, 96 bytes; without it keys that cancel
    others out could be made up."""


@dataclass(frozen=True, kw_only=True)
class Genesis:
    """The agreed start of one network.

    Raises:
        ConfigError: Values that no network can start from, as "key: reason".
    """

    network: int
    """Network id, 0..255, in every header, vote and transaction."""
    name: str
    """For people."""
    timestamp: int
    """Of block 0, milliseconds since the Unix epoch."""
    seed: bytes
    """Of block 0, 80 bytes."""
    policy: Policy
    stakes: tuple[Stake, ...]
    accounts: Mapping[Address, int] = field(default_factory=dict)
    """Coins at the start; only accounts with coins."""
    accounts_file: AccountsFile | None = None
    """Of more accounts than `accounts` should hold, which is empty then."""

    def __post_init__(self) -> None:
        """Refuse what can be seen without a signature check."""
        if not 0 <= self.network <= 0xFF:
            raise ConfigError(f"network: not in 0..255: {self.network}")
        if not is_text(self.name, maximum=MAX_NAME_CHARACTERS):
            raise ConfigError(
                f"name: not a string of 1..{MAX_NAME_CHARACTERS} printable characters"
            )
        if not 0 <= self.timestamp <= MAX_TIMESTAMP_MS:
            raise ConfigError(f"timestamp: not in 0..{MAX_TIMESTAMP_MS}: {self.timestamp}")
        if vrf.proof_to_hash(self.seed) is None:
            raise ConfigError("seed: not a VRF proof")
        self._check_candidates()
        self._check_accounts()

    def _check_candidates(self) -> None:
        if not 1 <= len(self.stakes) <= MAX_CANDIDATES:
            raise ConfigError(f"candidates: not 1..{MAX_CANDIDATES} of them: {len(self.stakes)}")
        _refuse_repetition("signing_key", (each.signing_key for each in self.candidates))
        _refuse_repetition("voting_key", (each.voting_key for each in self.candidates))

    def _check_accounts(self) -> None:
        if self.accounts and self.accounts_file is not None:
            raise ConfigError("accounts: both in the genesis file and in a file of their own")
        if min(self.accounts.values(), default=1) < 1:
            raise ConfigError("accounts: one without coins")
        if sum(self.accounts.values()) > MAX_COINS:
            raise ConfigError(f"accounts: more than {MAX_COINS} coins together")

    @cached_property
    def candidates(self) -> tuple[Candidate, ...]:
        """Whom elections choose from."""
        return tuple(stake.candidate for stake in self.stakes)

    @property
    def hash(self) -> Hash32:
        """Identity of the network: the hash of block 0."""
        return self.block().hash

    def block(self) -> Block:
        """Return block 0, an election block."""
        return self._block

    def account_records(self) -> bytes:
        """Return the accounts of block 0, as `node.chain.genesis_accounts` describes them.

        Raises:
            ConfigError: They are in a file that is missing, or that is another one.
        """
        if self.accounts_file is not None:
            return self.accounts_file.read()
        return encode_accounts(self.accounts)

    def store_accounts(self, store: Store) -> None:
        """Write the state of block 0 into a store that has none, in several transactions.

        Raises:
            ConfigError: The accounts are in a file that is missing, or that is another one.
            StorageError: The disk refused.
        """
        root = store_accounts(store, self.account_records())
        if self.accounts_file is not None and root != self.accounts_file.state_root:
            raise ConfigError(f"{self.accounts_file.path}: its state_root is {root.hex()}")

    def _roots(self) -> tuple[Hash32, Hash32]:
        """Return state root and diff root of block 0."""
        if self.accounts_file is not None:
            return self.accounts_file.state_root, self.accounts_file.diff_root
        records = encode_accounts(self.accounts)
        return state_root_of(records), diff_root_of(records)

    @cached_property
    def _block(self) -> Block:
        body = MacroBody()
        state_root, diff_root = self._roots()
        elected = draw_validators(self.candidates, entropy(self.seed), self.policy.slots)
        header = MacroHeader(
            network=self.network,
            version=BLOCK_VERSION,
            number=0,
            timestamp=self.timestamp,
            parent_hash=ZERO_HASH,
            seed=self.seed,
            extra_data=self._commitment(),
            state_root=state_root,
            body_root=body.root,
            diff_root=diff_root,
            history_root=history_tree.EMPTY_ROOT,
            round=0,
            parent_election=ZERO_HASH,
            validators=elected.members,
            punished=SignerSet(0),
        )
        return Block(header, GENESIS_JUSTIFICATION, body)

    def _commitment(self) -> Hash32:
        """Hash what no other field of the header commits to.

        Layout: [name, numbers of the policy: array, [[address, signing key, voting key,
        stake], ...]].
        """
        members: list[Value] = [astuple(candidate) for candidate in self.candidates]
        return hash32(pack([self.name, astuple(self.policy), members]))

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a genesis file and check everything in it.

        Raises:
            ConfigError: One line with file, key and reason.
        """
        file = JsonFields.load(path)
        file.integer("format", minimum=FORMAT, maximum=FORMAT)
        values: dict[str, Any] = {
            "name": file.text("name", maximum=MAX_NAME_CHARACTERS),
            "network": file.integer("network", minimum=0, maximum=0xFF),
            "timestamp": file.integer("timestamp", minimum=0, maximum=MAX_TIMESTAMP_MS),
            "seed": file.blob("seed", length=SEED_BYTES),
            "policy": _read_policy(file.nested("policy"), path),
            "stakes": tuple(_read_stake(item) for item in file.items("candidates")),
            **_read_accounts(file, path),
        }
        file.end()
        try:
            return cls(**values)
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from error

    def save(self, path: Path) -> None:
        """Write the file, or replace it as a whole.

        Raises:
            ConfigError: It cannot be written.
        """
        content = {
            "format": FORMAT,
            "name": self.name,
            "network": self.network,
            "timestamp": self.timestamp,
            "seed": self.seed.hex(),
            "policy": asdict(self.policy),
            "candidates": [_stake_fields(stake) for stake in self.stakes],
            **self._accounts_fields(),
        }
        unfinished = path.with_name(f"{path.name}.{os.getpid()}")
        try:
            unfinished.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
            unfinished.replace(path)
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror}") from error

    def _accounts_fields(self) -> dict[str, Any]:
        file = self.accounts_file
        if file is None:
            coins = {each.hex(): self.accounts[each] for each in sorted(self.accounts)}
            return {"accounts": coins}
        roots = {"state_root": file.state_root.hex(), "diff_root": file.diff_root.hex()}
        return {"accounts_file": {"file": file.path.name, **roots}}

    @classmethod
    def for_testnet(
        cls,
        seed: int | str,
        *,
        validators: Sequence[NodeKeys],
        policy: Policy,
        timestamp: int,
        network: int = 1,
        name: str = "testnet",
        accounts: Mapping[Address, int] | AccountsFile | None = None,
    ) -> Self:
        """Make the genesis that this seed always gives, with equal stakes."""
        file, inline = (accounts, {}) if isinstance(accounts, AccountsFile) else (None, accounts)
        key = SigningKey(hash32(pack(["headway genesis", str(seed)])))
        return cls(
            network=network,
            name=name,
            timestamp=timestamp,
            seed=vrf.prove(key, b"headway genesis"),
            policy=policy,
            stakes=tuple(_equal_stake(keys) for keys in validators),
            accounts=inline or {},
            accounts_file=file,
        )


def _equal_stake(keys: NodeKeys) -> Stake:
    candidate = Candidate(
        address=keys.reward_address,
        signing_key=keys.signing.public_key,
        voting_key=keys.voting.public_key,
        stake=TESTNET_STAKE,
    )
    return Stake(candidate=candidate, proof_of_possession=keys.voting.proof_of_possession())


def _stake_fields(stake: Stake) -> dict[str, str | int]:
    candidate = stake.candidate
    return {
        "address": candidate.address.hex(),
        "signing_key": candidate.signing_key.hex(),
        "voting_key": candidate.voting_key.hex(),
        "proof_of_possession": stake.proof_of_possession.hex(),
        "stake": candidate.stake,
    }


def _read_stake(item: JsonFields) -> Stake:
    candidate = Candidate(
        address=Address(item.blob("address", length=ADDRESS_BYTES)),
        signing_key=item.blob("signing_key", length=ED25519_KEY_BYTES),
        voting_key=item.blob("voting_key", length=BLS_KEY_BYTES),
        stake=item.integer("stake", minimum=1, maximum=MAX_STAKE),
    )
    proof = item.blob("proof_of_possession", length=BLS_SIGNATURE_BYTES)
    item.end()
    if not is_public_key(candidate.signing_key):
        item.refuse("signing_key", "not an Ed25519 public key")
    if not bls.verify_possession(candidate.voting_key, proof):
        item.refuse("proof_of_possession", "not a proof for this voting_key")
    return Stake(candidate=candidate, proof_of_possession=proof)


def _read_policy(table: JsonFields, path: Path) -> Policy:
    names = [each.name for each in fields(Policy)]
    values = {name: table.integer(name, minimum=0, maximum=_POLICY_MAXIMUM) for name in names}
    table.end()
    try:
        return Policy(**values)
    except ConfigError as error:
        raise ConfigError(f"{path}: policy: {error}") from error


def _read_accounts(file: JsonFields, path: Path) -> dict[str, Any]:
    if "accounts_file" in file.names():
        if "accounts" in file.names():
            file.refuse("accounts", "unknown beside accounts_file")
        return {"accounts_file": _read_accounts_file(file.nested("accounts_file"), path)}
    table = file.nested("accounts")
    accounts = {}
    for name in table.names():
        address = decode_hex(name, ADDRESS_BYTES)
        if address is None:
            table.refuse(name, f"not an address of {2 * ADDRESS_BYTES} lower-case hex digits")
        accounts[Address(address)] = table.integer(name, minimum=1, maximum=MAX_COINS)
    return {"accounts": accounts}


def _read_accounts_file(item: JsonFields, path: Path) -> AccountsFile:
    name = item.text("file", maximum=MAX_FILE_NAME_CHARACTERS)
    state_root = Hash32(item.blob("state_root", length=HASH_BYTES))
    diff_root = Hash32(item.blob("diff_root", length=HASH_BYTES))
    item.end()
    if name in {".", ".."} or Path(name).name != name:
        item.refuse("file", "not the name of a file in the same folder")
    return AccountsFile(path.with_name(name), state_root, diff_root)


def _refuse_repetition(key: str, values: Iterable[bytes]) -> None:
    seen = set()
    for index, value in enumerate(values):
        if value in seen:
            raise ConfigError(f"candidates[{index}].{key}: stands twice")
        seen.add(value)
