"""Writing a long chain to disk, as the folder of a node that can serve it.

    <folder>/
        genesis.json  accounts.bin               the second one if there are many accounts
        config.toml  keys.json                   of a History node that serves the chain
        data/                                    the chain
        validators/validator-1.json ...          keys of those who made it, to go on with

One seed and one set of numbers give the same chain, apart from the time at which it begins.
"""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

from node.chain.genesis import Genesis
from node.chain.growing import GrowingChain
from node.chain.retention import Retention
from node.config import NodeConfig
from node.config_file import settings_text
from node.crypto.bls import KeyCache
from node.errors import ConfigError
from node.keys import NodeKeys
from node.policy import Policy
from node.profiles import Profile
from node.services.clock import SystemClock
from node.settings import Value
from node.storage.disk import DiskStore
from node.testnet.population import DEFAULT_SENDERS, Population, Progress
from node.testnet.ports import free_ports
from node.testnet.workload import Workload
from protocols.types import Height

MAX_BLOCKS: Final = 10_000_000
"""Years of a chain: more than a disk should be filled with by a slip of the keyboard."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratedSpec:
    """What a generated chain is made of."""

    name: str
    seed: int
    blocks: int
    """At least so many: the last batch is a whole one. 0 is the genesis block alone."""
    transactions: int
    """In each micro block."""
    validators: int
    accounts: int
    """With coins at the start."""
    senders: int = DEFAULT_SENDERS
    """At most so many of them pay the transactions, in turn; the others receive."""
    policy: Policy

    def __post_init__(self) -> None:
        """Refuse what cannot be made."""
        if not 0 <= self.blocks <= MAX_BLOCKS:
            raise ConfigError(f"a chain has 0..{MAX_BLOCKS} blocks: {self.blocks}")
        if not 1 <= self.validators <= self.policy.slots:
            raise ConfigError(f"there are 1..{self.policy.slots} validators: {self.validators}")
        # Made only to refuse what it cannot be.
        _ = self.population

    @property
    def population(self) -> Population:
        """Who has coins at the start."""
        senders = min(self.senders, self.accounts)
        return Population(seed=self.seed, senders=senders, holders=self.accounts - senders)


def generate_chain(
    spec: GeneratedSpec,
    folder: Path,
    *,
    now_ms: int,
    progress: Callable[[Height], None],
    accounts_progress: Progress = lambda _: None,
) -> Height:
    """Write a chain that ends at about the present time, and return its height.

    The state of its first block is in the data folder too, however many blocks there are.

    Args:
        spec: What it is made of.
        folder: Must not exist. It is there as a whole or not at all.
        now_ms: Milliseconds since the Unix epoch.
        progress: Called with the height before the first batch and after each.
        accounts_progress: Called while many accounts are made, before the first block.

    Raises:
        ConfigError: The folder exists or cannot be written.
        StorageError: The disk refused.
    """
    if folder.exists():
        raise ConfigError(f"{folder}: exists, and nothing is replaced")
    unfinished = folder.with_name(f".{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        unfinished.mkdir(parents=True)
        genesis, keys = _write_files(spec, unfinished, now_ms, accounts_progress)
        height = _grow(spec, unfinished, genesis, keys, progress)
        unfinished.rename(folder)
    except OSError as error:
        raise ConfigError(f"{folder}: {error.strerror}") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return height


def address_of(folder: Path) -> str:
    """Return the multiaddr with peer id at which the node of a generated chain listens."""
    config = NodeConfig.load(folder / "config.toml")
    return f"{config.listen[0]}/p2p/{NodeKeys.load(config.keys).peer_id}"


def _write_files(
    spec: GeneratedSpec, folder: Path, now_ms: int, accounts_progress: Progress
) -> tuple[Genesis, dict[str, NodeKeys]]:
    names = [f"validator-{number}" for number in range(1, spec.validators + 1)]
    keys = {name: NodeKeys.derive(spec.seed, name) for name in names}
    genesis = Genesis.for_testnet(
        spec.seed,
        validators=list(keys.values()),
        policy=spec.policy,
        timestamp=now_ms - spec.blocks * spec.policy.block_separation_ms,
        name=spec.name,
        accounts=spec.population.give_to(folder, accounts_progress),
    )
    genesis.save(folder / "genesis.json")
    (folder / "validators").mkdir()
    for name, each in keys.items():
        each.save(folder / "validators" / f"{name}.json")
    NodeKeys.derive(spec.seed, "history").save(folder / "keys.json")
    title = f"A node that serves the chain {spec.name!r}."
    (port,) = free_ports(1, Random())
    values: dict[str, Value] = {
        "profile": Profile.HISTORY.value,
        "min_peers": 0,
        "listen": (f"/ip4/127.0.0.1/tcp/{port}",),
    }
    settings = settings_text(title, values)
    (folder / "config.toml").write_text(settings, encoding="utf-8")
    return genesis, keys


def _grow(
    spec: GeneratedSpec,
    folder: Path,
    genesis: Genesis,
    keys: Mapping[str, NodeKeys],
    progress: Callable[[Height], None],
) -> Height:
    signers = {each.signing.public_key: each for each in keys.values()}
    people = spec.population
    workload = Workload(
        seed=spec.seed, network=genesis.network, accounts=people.senders, holders=people.holders
    )
    data = folder / "data"
    data.mkdir()
    store = DiskStore(data)
    try:
        chain = GrowingChain.open(
            store,
            genesis,
            retention=Retention.ALL,
            keeps_state=True,
            clock=SystemClock(),
            key_cache=KeyCache(),
        )
        progress(chain.head.number)
        while chain.head.number < spec.blocks:
            is_last = spec.policy.macro_after(chain.head.number) >= spec.blocks
            chain.grow_batch(
                signers,
                lambda height: workload.take(spec.transactions, height),
                durable=is_last,
            )
            progress(chain.head.number)
        return chain.head.number
    finally:
        store.close()
