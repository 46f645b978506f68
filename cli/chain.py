"""`headway chain`."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from cli.exit_codes import CommandError, ExitCode
from cli.options import Duration
from node.errors import ConfigError
from node.policy import Policy
from protocols.types import Height

QUORUM_TIMEOUT_FACTOR = 4
"""A silent producer is skipped after four block times."""


@click.group()
def chain() -> None:
    """Make chains to synchronise."""


@chain.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--blocks", type=click.IntRange(1, 10_000_000), default=10_000, show_default=True)
@click.option(
    "--transactions",
    type=click.IntRange(0, 1000),
    default=10,
    show_default=True,
    help="In each micro block.",
)
@click.option(
    "--accounts",
    type=click.IntRange(2, 100_000),
    default=64,
    show_default=True,
    help="That send them.",
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
    blocks: int,
    transactions: int,
    accounts: int,
    validators: int,
    slots: int,
    batch_length: int,
    batches_per_epoch: int,
    block_time_s: float,
    seed: int,
    name: str,
) -> None:
    """Write a long chain to FOLDER, as a history node that serves it.

    The chain ends at about the present time, with a whole batch: the number of blocks is rounded
    up. It obeys every rule; the keys of its validators are in FOLDER/validators. A chain of
    100,000 blocks with 10 transactions each takes a few minutes and 500 MB.
    """
    # Only this command signs and stores: the others of the program start without that.
    from node.testnet.generate import (  # noqa: PLC0415
        GeneratedSpec,
        address_of,
        generate_chain,
    )

    block_time_ms = round(block_time_s * 1000)
    try:
        spec = GeneratedSpec(
            name=name,
            seed=seed,
            blocks=blocks,
            transactions=transactions,
            validators=validators,
            accounts=accounts,
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
    with _bar(blocks) as progress:
        now_ms = time.time_ns() // 1_000_000
        height = generate_chain(spec, folder, now_ms=now_ms, progress=progress)
    click.echo(f"{height} blocks in {folder}", err=True)
    click.echo(f"start    headway run --config {folder / 'config.toml'}", err=True)
    network = f"--genesis {folder / 'genesis.json'} --seed {address_of(folder)}"
    click.echo(f"join     headway init NEW --profile light {network}", err=True)
    click.echo("         headway run --config NEW/config.toml --min-peers 1", err=True)


@contextmanager
def _bar(blocks: int) -> Iterator[Callable[[Height], None]]:
    """Show progress on a terminal."""
    # Hidden elsewhere: what is no terminal would get each step as a line.
    with click.progressbar(
        length=blocks, label="blocks", file=sys.stderr, hidden=not sys.stderr.isatty()
    ) as bar:
        done = 0

        def progress(height: Height) -> None:
            nonlocal done
            bar.update(min(height, blocks) - done)
            done = min(height, blocks)

        yield progress
