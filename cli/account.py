"""`headway account`."""

from typing import Any

import click

from cli.answer import PROOF_TIMEOUT_S, with_proof
from cli.exit_codes import CommandError, ExitCode
from cli.options import output_option, timeout_option
from cli.output import Output, Row, print_record
from cli.target import target_of, target_options
from node.json_file import decode_hex
from protocols.types import ADDRESS_BYTES


@click.group()
def account() -> None:
    """Show accounts."""


@account.command()
@click.argument("address")
@target_options
@output_option
@timeout_option(PROOF_TIMEOUT_S, "Longest wait for the answer.")
def get(address: str, output: Output, timeout_s: float, **parameters: Any) -> None:
    """Show the account of ADDRESS, 40 hex digits, and the block that it is as of.

    A node without state, or that is still fetching it, asks its peers and shows what one of them
    proves to it, as of its newest final block. An address that nobody has sent coins to has an
    account with balance 0.
    """
    if decode_hex(address, ADDRESS_BYTES) is None:
        raise CommandError(ExitCode.USAGE, f"{address!r} is not an address of 40 hex digits")
    with target_of(parameters).connect(timeout_s) as client:
        print_record(_record(client.call("getAccountByAddress", [address])), output)


def _record(answer: Row) -> Row:
    record, metadata = with_proof(answer), answer["metadata"]
    proof = record.pop("proof")
    as_of = metadata["blockNumber"] if proof is None else proof["number"]
    return {**record, "blockNumber": as_of, "proof": proof}
