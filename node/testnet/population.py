"""The accounts of a made-up network: some that send transactions, and any number that only hold.

Holders are there to make the state large. Their addresses are hashes and nobody has keys for them,
so a million of them costs a second or two; they receive what the senders send, each in its turn.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from node.chain.genesis_accounts import (
    MAX_FILE_ACCOUNTS,
    RECORD_BYTES,
    AccountsFile,
    encode_account,
)
from node.errors import ConfigError
from node.testnet.workload import BALANCE, holder_addresses, workload_balances
from protocols.types import Address

MIN_SENDERS: Final = 2
"""Who sends never sends to itself."""

MAX_SENDERS: Final = 8000
"""With what each of them has, more would own more coins than there can be."""

DEFAULT_SENDERS: Final = 64

MAX_ACCOUNTS: Final = MAX_FILE_ACCOUNTS

MAX_INLINE: Final = 1000
"""Accounts that stand in the genesis file itself, where people can read them."""

ACCOUNTS_NAME: Final = "accounts.bin"

HOLDER_BALANCE: Final = 1_000_000
"""Coins of the first holder; each other one has one more than the one before."""

BUCKETS: Final = 256
"""Accounts are sorted by the first byte of their address as they are made, the rest afterwards:
the objects of one of them exist at a time."""

Progress: TypeAlias = Callable[[int], None]
"""Called with how many accounts have been made so far, some hundred times in all."""

GenesisAccounts: TypeAlias = Mapping[Address, int] | AccountsFile
"""As `Genesis.for_testnet` takes them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Population:
    """Who has coins at the start."""

    seed: int
    senders: int
    """Accounts whose keys the workload has."""
    holders: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        if not MIN_SENDERS <= self.senders <= MAX_SENDERS:
            raise ConfigError(f"{MIN_SENDERS}..{MAX_SENDERS} accounts can send: {self.senders}")
        if not 0 <= self.holders <= MAX_ACCOUNTS - self.senders:
            accounts = self.senders + self.holders
            raise ConfigError(f"a genesis has at most {MAX_ACCOUNTS} accounts: {accounts}")

    @property
    def accounts(self) -> int:
        """How many there are in all."""
        return self.senders + self.holders

    def give_to(self, folder: Path, progress: Progress = lambda _: None) -> GenesisAccounts:
        """Return all accounts as a genesis takes them; many of them go to a file in a folder.

        Args:
            folder: Of the genesis file.
            progress: Called while many are made.

        Raises:
            ConfigError: The file cannot be written.
        """
        if self.accounts > MAX_INLINE:
            return AccountsFile.write(folder / ACCOUNTS_NAME, self.records(progress))
        balances = workload_balances(self.seed, self.senders)
        address_at = holder_addresses(self.seed)
        return balances | {
            address_at(index): HOLDER_BALANCE + index for index in range(self.holders)
        }

    def records(self, progress: Progress = lambda _: None) -> bytes:
        """Return all accounts as the records of a file."""
        buckets = [bytearray() for _ in range(BUCKETS)]
        for address in workload_balances(self.seed, self.senders):
            buckets[address[0]] += encode_account(address, BALANCE)
        address_at = holder_addresses(self.seed)
        step = max(self.holders // BUCKETS, 1)
        for start in range(0, self.holders, step):
            for index in range(start, min(start + step, self.holders)):
                address = address_at(index)
                buckets[address[0]] += encode_account(address, HOLDER_BALANCE + index)
            progress(start)
        payload = b"".join(map(_sorted, buckets))
        progress(self.accounts)
        return payload


def _sorted(bucket: bytearray) -> bytes:
    """Sort records by their addresses."""
    records = (
        bytes(bucket[start : start + RECORD_BYTES]) for start in range(0, len(bucket), RECORD_BYTES)
    )
    return b"".join(sorted(records))
