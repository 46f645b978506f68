"""`headway tx`."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from cli.answer import PROOF_TIMEOUT_S, with_proof
from cli.exit_codes import CommandError, ExitCode
from cli.options import output_option, timeout_option
from cli.output import Output, print_record
from cli.target import target_of, target_options
from node.accounts.transaction import MAX_COINS, Transaction
from node.json_file import decode_hex
from node.keys import NodeKeys
from protocols.types import ADDRESS_BYTES, HASH_BYTES, Address


@click.group()
def tx() -> None:
    """Send and show transactions."""


@tx.command()
@click.argument("recipient")
@click.argument("value", type=click.IntRange(1, MAX_COINS))
@click.option("--fee", type=click.IntRange(0, MAX_COINS), default=0, show_default=True)
@click.option(
    "--keys",
    "key_file",
    type=click.Path(path_type=Path),
    help="Key file of the sender.  [default: that of the node]",
)
@target_options
@timeout_option(5.0, "Longest wait for each answer.")
def send(
    recipient: str,
    value: int,
    fee: int,
    key_file: Path | None,
    timeout_s: float,
    **parameters: Any,
) -> None:
    """Send VALUE coins to RECIPIENT, an address of 40 hex digits, and print the hash.

    A node that takes the transaction holds it until a block includes it or its window is over.
    """
    address = decode_hex(recipient, ADDRESS_BYTES)
    if address is None:
        raise CommandError(ExitCode.USAGE, f"{recipient!r} is not an address of 40 hex digits")
    target = target_of(parameters)
    signing = NodeKeys.load(key_file or target.key_file()).signing
    with target.connect(timeout_s) as client:
        unsigned = Transaction(
            sender_key=signing.public_key,
            recipient=Address(address),
            value=value,
            fee=fee,
            validity_start=client.call("getBlockNumber")["data"],
            network=client.call("getNetworkId")["data"],
        )
        signed = replace(unsigned, signature=signing.sign(unsigned.hash))
        click.echo(client.call("sendRawTransaction", [signed.encode().hex()])["data"])


@tx.command()
@click.argument("hash_", metavar="HASH")
@target_options
@output_option
@timeout_option(PROOF_TIMEOUT_S, "Longest wait for the answer.")
def get(hash_: str, output: Output, timeout_s: float, **parameters: Any) -> None:
    """Show the transaction with HASH, 64 hex digits, once a block has included it.

    A node that does not keep it asks its peers and shows what one of them proves to it. Then the
    number of its block is not told: it is in the epoch of the block that proves it, not after it.
    """
    if decode_hex(hash_, HASH_BYTES) is None:
        raise CommandError(ExitCode.USAGE, f"{hash_!r} is not a hash of 64 hex digits")
    with target_of(parameters).connect(timeout_s) as client:
        print_record(with_proof(client.call("getTransactionByHash", [hash_])), output)
