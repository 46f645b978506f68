"""The program as a whole: start, help, exit codes."""

import importlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from cli.exit_codes import CommandError, ExitCode, exit_code_of, node_errors
from cli.main import COMMANDS, LazyGroup, main
from node.errors import (
    ConfigError,
    DataFolderError,
    ListenError,
    NodeError,
    NotSyncedError,
    StorageError,
    UnreachableError,
)
from node.rpc.client import RpcError
from tests.cli.running import invoke

HEAVY = ("libp2p", "trio", "structlog", "nacl", "msgpack", "lmdb", "hypercorn")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["status", "--help"],
        ["peers", "--help"],
        ["account", "get", "--help"],
        ["config", "show"],
        ["status", "--rpc", "127.0.0.1:1"],
        ["completion", "bash"],
    ],
    ids=" ".join,
)
def test_what_a_command_does_not_need_is_not_imported(arguments: list[str], tmp_path: Path) -> None:
    program = f"""
import sys
from cli.main import main
try:
    main({arguments!r})
except SystemExit:
    pass
print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)
"""
    environment = {**os.environ, "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=True
    )
    assert done.stderr.splitlines()[-1] == "[]"


@pytest.mark.parametrize("name", COMMANDS)
def test_the_line_in_the_help_is_the_command_s_own(name: str) -> None:
    module, _, attribute = COMMANDS[name][0].partition(":")
    command = getattr(importlib.import_module(module), attribute)
    assert command.name == name
    own = " ".join((command.help or "").split()).partition(". ")[0].removesuffix(".")
    assert COMMANDS[name][1] == f"{own}."
    assert f"{name}  " in invoke("--help").stdout


def test_usage_errors_are_2() -> None:
    for arguments in (["frob"], ["status", "--frob"], ["block"], ["status", "-o", "xml"]):
        assert invoke(*arguments).exit_code == ExitCode.USAGE


def test_the_codes_never_change() -> None:
    assert {code.name: int(code) for code in ExitCode} == {
        "OK": 0,
        "UNEXPECTED": 1,
        "USAGE": 2,
        "BAD_CONFIG": 3,
        "BAD_DATA_FOLDER": 4,
        "CANNOT_LISTEN": 5,
        "UNREACHABLE": 6,
        "NOT_READY": 7,
        "NOT_FOUND": 8,
        "REFUSED": 9,
        "EXPECTATION_FAILED": 10,
        "INVARIANT_VIOLATED": 11,
        "SCENARIO_TIMED_OUT": 12,
        "HARNESS_FAILED": 13,
        "INTERRUPTED": 130,
        "TERMINATED": 143,
    }


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("x"), 3),
        (DataFolderError("x"), 4),
        (ListenError("x"), 5),
        (UnreachableError("x"), 6),
        (StorageError("x"), 1),
        (NotSyncedError("x"), 7),
        (RpcError(-32001, "x"), 8),
        (RpcError(-32004, "x"), 8),
        (RpcError(-32003, "x"), 9),
        (RpcError(-32602, "x"), 9),
        (RpcError(-32603, "x"), 1),
    ],
)
def test_each_error_has_its_code(error: NodeError, code: int) -> None:
    assert exit_code_of(error) == code


def test_errors_out_of_nurseries() -> None:
    first, second = ListenError("a"), ConfigError("b")
    group = ExceptionGroup("", [ExceptionGroup("", [first]), second])
    assert node_errors(group) == [first, second]
    assert node_errors(first) == [first]
    assert node_errors(ExceptionGroup("", [first, ValueError()])) == []


class _OneCommand(LazyGroup):
    """A program whose one command does what the test says."""

    def __init__(self, callback: Callable[[], None]) -> None:
        super().__init__("headway")
        self._callback = callback

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
        return click.Command(cmd_name, callback=self._callback)


def _run(failure: BaseException) -> tuple[int, str]:
    def fail() -> None:
        raise failure

    result = CliRunner().invoke(_OneCommand(fail), ["fail"])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stderr


def test_errors_end_in_one_line() -> None:
    assert _run(ConfigError("x.toml: a: b")) == (3, "headway: x.toml: a: b\n")
    assert _run(CommandError(ExitCode.NOT_READY, "late")) == (7, "headway: late\n")
    group = ExceptionGroup("", [ListenError("a"), ListenError("a"), ListenError("b")])
    assert _run(group) == (5, "headway: a; b\n")
    assert _run(KeyboardInterrupt()) == (130, "")


def test_an_error_of_ours_is_not_hidden() -> None:
    with pytest.raises(AssertionError):
        _run(AssertionError())
    with pytest.raises(ExceptionGroup):
        _run(ExceptionGroup("", [ConfigError("a"), ValueError()]))


def test_the_installed_program() -> None:
    program = Path(sys.executable).with_name("headway")
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("headway, version ")
    assert main.name == "main"
