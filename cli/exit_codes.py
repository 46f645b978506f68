"""What the shell sees. Scripts and service managers rely on it, so a number never changes."""

from collections.abc import Iterator, Mapping
from enum import IntEnum
from typing import Final

import click

from node.errors import (
    ConfigError,
    DataFolderError,
    ListenError,
    NodeError,
    NotSyncedError,
    UnreachableError,
)
from node.rpc import json_rpc
from node.rpc.client import RpcError


class ExitCode(IntEnum):
    """All exit codes of `headway`."""

    OK = 0
    UNEXPECTED = 1
    """An error of ours, of the disk, or an answer that nobody planned for."""
    USAGE = 2
    """The command line makes no sense."""
    BAD_CONFIG = 3
    """Settings, keys or genesis cannot work."""
    BAD_DATA_FOLDER = 4
    """Locked, corrupt, or of another network."""
    CANNOT_LISTEN = 5
    UNREACHABLE = 6
    """No node or network answers there."""
    NOT_READY = 7
    """Not within the timeout."""
    NOT_FOUND = 8
    """Nobody who was asked knows the block, transaction or account, or could prove it."""
    REFUSED = 9
    """The node will not do it; its line says why."""
    EXPECTATION_FAILED = 10
    INVARIANT_VIOLATED = 11
    SCENARIO_TIMED_OUT = 12
    HARNESS_FAILED = 13
    INTERRUPTED = 130
    """SIGINT, after a clean stop."""
    TERMINATED = 143
    """SIGTERM, after a clean stop."""


_CODES_OF_ERRORS: Final[Mapping[type[NodeError], ExitCode]] = {
    ConfigError: ExitCode.BAD_CONFIG,
    DataFolderError: ExitCode.BAD_DATA_FOLDER,
    ListenError: ExitCode.CANNOT_LISTEN,
    UnreachableError: ExitCode.UNREACHABLE,
    NotSyncedError: ExitCode.NOT_READY,
}
_CODES_OF_CALLS: Final[Mapping[int, ExitCode]] = {
    json_rpc.NOT_FOUND: ExitCode.NOT_FOUND,
    json_rpc.UNPROVEN: ExitCode.NOT_FOUND,
    json_rpc.REFUSED: ExitCode.REFUSED,
    json_rpc.INVALID_PARAMS: ExitCode.REFUSED,
    json_rpc.UNAUTHORIZED: ExitCode.REFUSED,
}


class CommandError(click.ClickException):
    """A command ends with one line on standard error and an exit code."""

    def __init__(self, exit_code: ExitCode, message: str) -> None:
        super().__init__(message)
        # click declares it for the class, and reads it from the instance.
        self.exit_code = exit_code  # type: ignore[misc]

    def show(self, file: object = None) -> None:  # noqa: ARG002 - click's signature
        """Print the line."""
        click.echo(f"headway: {self.format_message()}", err=True)


def exit_code_of(error: NodeError) -> ExitCode:
    """Return the exit code of an error: the one place that maps them."""
    if isinstance(error, RpcError):
        return _CODES_OF_CALLS.get(error.code, ExitCode.UNEXPECTED)
    for kind, code in _CODES_OF_ERRORS.items():
        if isinstance(error, kind):
            return code
    return ExitCode.UNEXPECTED


def node_errors(error: BaseException) -> list[NodeError]:
    """Return the errors in a group if all of them were raised on purpose; otherwise none.

    Every nursery on the way out adds a level of groups.
    """
    leaves = list(_leaves(error))
    found = [leaf for leaf in leaves if isinstance(leaf, NodeError)]
    return found if len(found) == len(leaves) else []


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error
