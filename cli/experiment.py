"""`headway experiment`: networks that are made to show one thing and are then gone."""

import json
import os
import shutil
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Final

import click

from cli.exit_codes import CommandError, ExitCode
from cli.experiment_output import COLUMNS, csv_text, live_line, outcome_row, record_of
from cli.experiment_plot import curves_of, picture, terminal_plot
from cli.net_common import all_networks, explain, note, start
from cli.net_options import Parsed
from cli.options import Duration, output_option, timeout_option
from cli.output import Output, print_record, print_rows
from node.errors import ConfigError
from node.testnet.experiment import (
    MIN_BATCHES,
    STRATEGIES,
    ExperimentSpec,
    Point,
    Recording,
    is_complete,
    outcome_of,
    points_of,
)
from node.testnet.experiment_run import (
    NewcomerError,
    NotInTimeError,
    prepared,
    run_experiment,
)
from node.testnet.layout import Description, NetworkFolder
from node.testnet.spec import MAX_ACCOUNTS, MAX_NODES, MAX_PIVOT_INTERVAL, NodeSpec, parse_load

_FILE: Final = click.Path(dir_okay=False, writable=True, path_type=Path)

_SPEC_OPTIONS: Final = (
    click.option(
        "--accounts",
        type=click.IntRange(1, MAX_ACCOUNTS),
        default=100_000,
        show_default=True,
        help="In the genesis.",
    ),
    click.option(
        "--validators", type=click.IntRange(1, MAX_NODES - 2), default=4, show_default=True
    ),
    click.option(
        "--load",
        "load_tps",
        type=Parsed("rate", parse_load),
        default="20tps",
        show_default=True,
        help="Transactions per second.",
    ),
    click.option(
        "--block-time",
        "block_time_s",
        type=Duration(),
        default="250ms",
        show_default=True,
        help="Between two blocks.",
    ),
    click.option(
        "--batch-length",
        type=click.IntRange(2, 1024),
        default=20,
        show_default=True,
        help="Blocks in a batch; the last one makes them final, and can be a target.",
    ),
    click.option(
        "--join-at",
        type=click.IntRange(1, 10_000_000),
        help=f"Height at which both join  [default: {MIN_BATCHES} batches].",
    ),
    click.option(
        "--pivot-interval",
        type=click.IntRange(1, MAX_PIVOT_INTERVAL),
        help="Blocks between two targets of the dynamic one.",
    ),
    click.option("--seed", type=click.IntRange(0, 2**63), default=1, show_default=True),
    click.option("--name", default="experiment", show_default=True, help="Name of the network."),
)


@click.group()
def experiment() -> None:
    """Run a network that shows one thing."""


def spec_options(command: Any) -> Any:
    """Add what the experiment can be made of."""
    for option in reversed(_SPEC_OPTIONS):
        command = option(command)
    return command


@experiment.command("static-vs-dynamic")
@spec_options
@output_option
@click.option("--csv", "csv_file", type=_FILE, help="Write what was seen over time to this file.")
@click.option("--json", "json_file", type=_FILE, help="Write all of it to this file.")
@click.option("--plot", "plot_file", type=_FILE, help="Draw it into this file, an SVG picture.")
@click.option("--keep", is_flag=True, help="Leave the network's folder, stopped, for a look at it.")
@timeout_option(120.0, "How long to wait for the height to join at, and then for both to be live.")
def static_vs_dynamic(
    *,
    output: Output,
    csv_file: Path | None,
    json_file: Path | None,
    plot_file: Path | None,
    keep: bool,
    timeout_s: float,
    **parameters: Any,
) -> None:
    """Compare the two ways to fetch the state of a chain that moves on.

    A network with many accounts and a load is started; then two Full nodes join it at the same
    moment, one with `--sync static` and one with `--sync dynamic`. The static one fetches the state
    of one block and follows the chain from there; the dynamic one follows it meanwhile and moves
    its target. Both are asked several times a second how far they are.

    All nodes share this machine, so times are for comparing the two, not for planning. "behind" is
    how many blocks the validators had above a node's state when that was complete.
    """
    spec = _spec(parameters)
    files = {"--csv": csv_file, "--json": json_file, "--plot": plot_file}
    for option, file in files.items():
        _check_folder(option, file)
    recording = _run(spec, timeout_s, keep=keep)
    outcomes = [outcome_of(recording, each) for each in STRATEGIES]
    points = [point for each in STRATEGIES for point in points_of(recording, each)]
    record = record_of(recording, outcomes, points)
    _save(csv_file, csv_text(points))
    _save(json_file, json.dumps(record, indent=2) + "\n")
    _save_picture(plot_file, points)
    match output:
        case Output.TABLE:
            print_rows([outcome_row(each) for each in outcomes], output, COLUMNS)
            click.echo(f"\n{terminal_plot(points, shutil.get_terminal_size().columns)}")
        case Output.JSON:
            print_record(record, output)
        case Output.NDJSON:
            print_rows(record["outcomes"], output, ())
    late = [each.strategy for each in outcomes if not is_complete(each)]
    if late:
        reason = f"not at the head and in consensus within {timeout_s:g} s: {', '.join(late)}"
        raise CommandError(ExitCode.NOT_READY, reason)


class _Progress:
    """Tells people on standard error how it goes."""

    def __init__(self) -> None:
        self._is_terminal = sys.stderr.isatty()
        self._is_drawn = False

    def phase(self, text: str) -> None:
        """Print what is done next."""
        self.end()
        note(text)

    def points(self, newest: Sequence[Point]) -> None:
        """Keep one line up to date, on a terminal."""
        if self._is_terminal:
            # Back to the start of the line, and what was there is cleared.
            click.echo(f"\r\x1b[2K{live_line(newest)}", nl=False, err=True)
            self._is_drawn = True

    def end(self) -> None:
        """End that line."""
        if self._is_drawn:
            click.echo(err=True)
        self._is_drawn = False


def _spec(parameters: dict[str, Any]) -> ExperimentSpec:
    """Return what was asked for.

    Raises:
        CommandError: It makes no sense.
    """
    block_time_s = parameters.pop("block_time_s")
    if parameters["join_at"] is None:
        parameters["join_at"] = MIN_BATCHES * parameters["batch_length"]
    try:
        spec = ExperimentSpec(block_time_ms=round(block_time_s * 1000), **parameters)
        spec.network()
    except ConfigError as error:
        raise CommandError(ExitCode.USAGE, str(error)) from error
    return spec


def _run(spec: ExperimentSpec, timeout_s: float, *, keep: bool) -> Recording:
    """Run it, and leave nothing behind.

    Raises:
        CommandError: It did not come to an end.
        ConfigError: The network is there already, or its files cannot be written.
        ListenError: Not enough free ports.
        SystemExit: A process did not start, or this one was ended by a signal.
    """
    folder, progress = NetworkFolder(all_networks() / spec.name), _Progress()

    def begin(nodes: Sequence[NodeSpec], *, load: Description | None) -> None:
        start(folder, nodes, load=load)

    with _ended_by_signals(), prepared(spec, folder, keep=keep) as description:
        try:
            return run_experiment(spec, folder, description, begin, progress, timeout_s=timeout_s)
        except NotInTimeError as error:
            raise CommandError(ExitCode.NOT_READY, str(error)) from error
        except NewcomerError as error:
            explain(folder, error.node, "the end of its log:")
            raise CommandError(ExitCode.UNEXPECTED, str(error)) from error
        finally:
            progress.end()
            note(
                f"stopping the network, which is {f'kept in {folder.path}' if keep else 'removed'}"
            )


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let a signal that ends other programs at once end this one as an exception does."""
    before = {number: signal.signal(number, _end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(ExitCode.TERMINATED)


def _check_folder(option: str, file: Path | None) -> None:
    """Refuse a file that cannot be written before minutes are spent on what it is to hold.

    Raises:
        CommandError: Its folder does not exist, or is not ours to write to.
    """
    if file is not None and not os.access(file.absolute().parent, os.W_OK):
        reason = f"{option} {file}: its folder does not exist or cannot be written to"
        raise CommandError(ExitCode.USAGE, reason)


def _save(file: Path | None, text: str) -> None:
    if file is None:
        return
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CommandError(ExitCode.UNEXPECTED, f"{file}: {error.strerror}") from error


def _save_picture(file: Path | None, points: Sequence[Point]) -> None:
    if file is not None and not any(curves_of(points).values()):
        note(f"{file} is not written: neither had a state or a target")
    elif file is not None:
        _save(file, picture(points))
