"""The `headway` program.

Commands are imported when they are called: `headway --help` and commands that only ask a node must
start fast, and libp2p alone takes a second. So names and summaries stand here.
"""

import os
import sys
from importlib import import_module
from typing import Any, Final

import click

from cli.exit_codes import CommandError, ExitCode, exit_code_of, node_errors
from node.errors import NodeError
from node.version import VERSION

COMMANDS: Final = {
    "init": ("cli.init:init", "Make FOLDER with settings, keys and genesis for a new node."),
    "run": ("cli.run:run", "Run a node until SIGINT or SIGTERM."),
    "status": ("cli.status:status", "Show what a node is doing."),
    "sync": ("cli.sync:sync", "Show how far a node is, and when it will be there."),
    "events": ("cli.events:events", "Show what has happened in a node."),
    "health": ("cli.health:health", "Tell whether a node is ready, by exit code."),
    "peers": ("cli.peers:peers", "Show the peers of a node."),
    "block": ("cli.block:block", "Show blocks of a node's chain."),
    "account": ("cli.account:account", "Show accounts."),
    "tx": ("cli.tx:tx", "Send and show transactions."),
    "rpc": ("cli.rpc:rpc", "Call METHOD with PARAMS and print the JSON of its result."),
    "shutdown": ("cli.shutdown:shutdown", "Stop a node gracefully and wait until it has ended."),
    "keys": ("cli.keys:keys", "Make keys and show what they are known by."),
    "config": ("cli.config:config", "Show and check settings."),
    "net": ("cli.net:net", "Start, watch and break local networks of real daemons."),
    "experiment": ("cli.experiment:experiment", "Run a network that shows one thing."),
    "chain": ("cli.chain:chain", "Make chains to synchronise."),
    "completion": ("cli.completion:completion", "Print the completion script of a shell."),
}
"""Name -> where it is, and the line of `headway --help`."""


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - as click has it
        """Return the names in the order of the table."""
        return list(COMMANDS)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002 - as click has it
        cmd_name: str,
    ) -> click.Command | None:
        """Import one command."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command = getattr(import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002 - as click has it
        formatter: click.HelpFormatter,
    ) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; turn an error raised on purpose into its line and exit code."""
        try:
            result = super().invoke(ctx)
        except KeyboardInterrupt:
            ctx.exit(ExitCode.INTERRUPTED)
        except (NodeError, BaseExceptionGroup) as error:
            errors = node_errors(error)
            if not errors:
                raise
            reasons = "; ".join(dict.fromkeys(str(each) for each in errors))
            raise CommandError(exit_code_of(errors[0]), reasons) from error
        # Here, where an error of the disk can still be told in one line.
        sys.stdout.flush()
        return result

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run the program; turn a write that fails into its line and exit code."""
        try:
            return super().main(*args, **extra)
        except OSError as error:
            # Python would try the same write again at its end, and complain a second time.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            click.echo(f"headway: standard output: {error.strerror}", err=True)
            sys.exit(ExitCode.UNEXPECTED)


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(VERSION, prog_name="headway")
def main() -> None:
    """A blockchain node, and local networks of nodes to see how they synchronise.

    Data goes to standard output, logs and progress to standard error. Each command says with
    --help what it takes; -o json or -o ndjson gives its data to programs.
    """
