"""`headway run`. Importing this imports libp2p: nothing but a running node needs it."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from cli.exit_codes import ExitCode, exit_code_of, node_errors
from cli.options import config_option, given_settings, settings_options
from node.config import NodeConfig, load_settings
from node.daemon import run_daemon
from node.errors import NodeError
from node.event_record import EventRecord
from node.log import Recorder, configure_logging
from node.net.libp2p.logs import quiet_libraries


@click.command()
@config_option
@settings_options
@click.pass_context
def run(ctx: click.Context, /, config_file: Path | None, **parameters: Any) -> None:
    """Run a node until SIGINT or SIGTERM.

    A flag wins over its variable HEADWAY_..., that over the settings file, and that over the
    profile's value. Logs go to standard error. A second signal forces the stop.
    """
    flags = given_settings(parameters)
    settings = load_settings(config_file, flags=flags, environment=os.environ)
    ctx.exit(_run(NodeConfig.of(settings), _nobody_waits))


def run_from_file(file: Path, ready: Callable[[], None]) -> int:
    """Run a node from its settings file alone and return the exit code of its process.

    For processes that are forked, where no command is above to report errors.

    Args:
        file: Settings; neither flags nor environment count.
        ready: Called once every listener is bound and process.json is written.
    """
    try:
        return _run(NodeConfig.load(file), ready)
    except (NodeError, BaseExceptionGroup) as error:
        errors = node_errors(error)
        if not errors:
            raise
        for each in errors:
            click.echo(f"headway: {each}", err=True)
        return exit_code_of(errors[0])
    except KeyboardInterrupt:
        # Between the start and the moment when the daemon takes over the signals.
        return ExitCode.INTERRUPTED


def _run(config: NodeConfig, ready: Callable[[], None]) -> int:
    events = EventRecord()
    handler = configure_logging(
        level=config.log.level,
        format_=config.log.format,
        recorder=Recorder(events, time.monotonic),
    )
    quiet_libraries(handler, time.monotonic)
    return run_daemon(config, ready, events)


def _nobody_waits() -> None:
    """Started by hand: the log says when the node is ready."""
