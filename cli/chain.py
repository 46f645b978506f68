"""`headway chain`."""

import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from cli.exit_codes import CommandError, ExitCode
from cli.options import Duration
from cli.progress import progress_bar
from node.errors import ConfigError
from node.policy import Policy
from node.testnet.spec import MAX_ACCOUNTS

if TYPE_CHECKING:
    from node.testnet.generate import GeneratedSpec

DEFAULT_BLOCKS: Final = 10_000
DEFAULT_ACCOUNTS: Final = 64

QUORUM_TIMEOUT_FACTOR = 4
"""A silent producer is skipped after four block times."""


@click.group()
def chain() -> None:
    """Make chains to synchronise."""


@chain.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--blocks",
    type=click.IntRange(0, 10_000_000),
    help=f"How many [{DEFAULT_BLOCKS}; with --accounts 0, the genesis block alone].",
)
@click.option(
    "--transactions",
    type=click.IntRange(0, 1000),
    default=10,
    show_default=True,
    help="In each micro block.",
)
@click.option(
    "--accounts",
    type=click.IntRange(2, MAX_ACCOUNTS),
    help=f"With coins at the start [{DEFAULT_ACCOUNTS}]. A million takes seconds.",
)
@click.option(
    "--senders",
    type=click.IntRange(2, 8000),
    default=DEFAULT_ACCOUNTS,
    show_default=True,
    help="Of these accounts, at most so many send the transactions; the others receive.",
)
@click.option("--validators", type=click.IntRange(1, 512), default=4, show_default=True)
@click.option("--slots", type=click.IntRange(1, 512), default=64, show_default=True)
@click.option(
    "--batch-length",
    type=click.IntRange(2, 1024),
    default=60,
    show_default=True,
    help="Blocks in a batch; the last one makes them final.",
)
@click.option(
    "--batches-per-epoch",
    type=click.IntRange(1, 8192),
    default=4,
    show_default=True,
    help="Batches in an epoch; the last one ends with an election.",
)
@click.option(
    "--block-time", "block_time_s", type=Duration(), default="1s", help="Between two blocks [1s]."
)
@click.option("--seed", type=click.IntRange(0, 2**63), default=1, show_default=True)
@click.option("--name", default="generated", show_default=True, help="Name of its network.")
def generate(
    folder: Path,
    *,
    blocks: int | None,
    transactions: int,
    accounts: int | None,
    senders: int,
    validators: int,
    slots: int,
    batch_length: int,
    batches_per_epoch: int,
    block_time_s: float,
    seed: int,
    name: str,
) -> None:
    """Write a long chain, or a large genesis, to FOLDER, as a history node that serves it.

    The chain ends at about the present time, with a whole batch: the number of blocks is rounded
    up. It obeys every rule; the keys of its validators are in FOLDER/validators. A chain of
    100,000 blocks with 10 transactions each takes a few minutes and 500 MB. More than a thousand
    accounts are in FOLDER/accounts.bin, which belongs to FOLDER/genesis.json.
    """
    # Only this command signs and stores: the others of the program start without that.
    from node.testnet.generate import GeneratedSpec  # noqa: PLC0415

    if blocks is None:
        blocks = DEFAULT_BLOCKS if accounts is None else 0
    block_time_ms = round(block_time_s * 1000)
    try:
        spec = GeneratedSpec(
            name=name,
            seed=seed,
            blocks=blocks,
            transactions=transactions,
            validators=validators,
            accounts=DEFAULT_ACCOUNTS if accounts is None else accounts,
            senders=senders,
            policy=Policy(
                batch_length=batch_length,
                batches_per_epoch=batches_per_epoch,
                slots=slots,
                block_separation_ms=block_time_ms,
                producer_timeout_ms=QUORUM_TIMEOUT_FACTOR * block_time_ms,
                validity_window_batches=2,
            ),
        )
    except (ConfigError, ValueError) as error:
        raise CommandError(ExitCode.USAGE, str(error)) from error
    _make(spec, folder)


def _make(spec: "GeneratedSpec", folder: Path) -> None:
    """Make it, and say how to use it."""
    from node.testnet.generate import address_of, generate_chain  # noqa: PLC0415

    now_ms = time.time_ns() // 1_000_000
    with ExitStack() as stack:
        height = generate_chain(
            spec,
            folder,
            now_ms=now_ms,
            progress=progress_bar(stack, "blocks", spec.blocks),
            accounts_progress=progress_bar(stack, "accounts", spec.accounts),
        )
    click.echo(f"{spec.accounts} accounts, {height} blocks in {folder}", err=True)
    click.echo(f"start    headway run --config {folder / 'config.toml'}", err=True)
    network = f"--genesis {folder / 'genesis.json'} --seed {address_of(folder)}"
    click.echo(f"join     headway init NEW --profile light {network}", err=True)
    click.echo("         headway run --config NEW/config.toml --min-peers 1", err=True)
