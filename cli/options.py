"""Options that several commands share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from cli.output import Output
from node.config import SETTINGS
from node.duration import parse_duration
from node.errors import ConfigError
from node.settings import Kind, Setting, Value

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


class Duration(click.ParamType[float]):
    """A length of time such as `500ms`, `10s` or `2m`; without a unit, seconds. Value: seconds."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Read the text."""
        if isinstance(value, float):
            return value
        try:
            return parse_duration(str(value))
        except ConfigError as error:
            self.fail(str(error), param, ctx)


def output_option(command: Decorated) -> Decorated:
    """Add `-o`."""
    option = click.option(
        "-o",
        "--output",
        type=click.Choice([each.value for each in Output]),
        default=Output.TABLE.value,
        show_default=True,
        callback=lambda _ctx, _param, value: Output(value),
        help="How to print the data.",
    )
    return option(command)


def timeout_option(default_s: float, help_: str) -> Callable[[Decorated], Decorated]:
    """Add `--timeout`, in seconds for the command."""
    return click.option(
        "--timeout",
        "timeout_s",
        type=Duration(),
        default=default_s,
        show_default=f"{default_s:g}s",
        callback=_above_zero if default_s else None,
        help=help_,
    )


def _above_zero(_context: click.Context, _parameter: click.Parameter, value: float) -> float:
    if not value:
        raise click.BadParameter("it must be more than 0")
    return value


def config_option(command: Decorated) -> Decorated:
    """Add `--config`."""
    option = click.option(
        "-c",
        "--config",
        "config_file",
        type=click.Path(path_type=Path),
        help="Settings file.  [default: $HEADWAY_CONFIG or ~/.headway/node/config.toml]",
    )
    return option(command)


def settings_options(command: Decorated) -> Decorated:
    """Add one flag for each setting. `given_settings` picks up those that were given."""
    for setting in reversed(SETTINGS):
        command = _option(setting)(command)
    return command


def given_settings(parameters: dict[str, Any]) -> dict[str, Value]:
    """Take the flags of `settings_options` out of a command's parameters: values by key."""
    given = {}
    for setting in SETTINGS:
        value = parameters.pop(_parameter(setting))
        if value is not None and value != ():
            given[setting.key] = value
    return given


def _option(setting: Setting) -> Callable[[Decorated], Decorated]:
    flag = setting.flag
    if setting.kind is Kind.BOOLEAN:
        flag = f"{flag}/--no-{flag.removeprefix('--')}"
    return click.option(
        flag,
        _parameter(setting),
        type=_type(setting),
        default=None,
        multiple=setting.kind is Kind.LIST,
        metavar="MULTIADDR" if setting.kind is Kind.LIST else None,
        help=setting.help,
    )


def _parameter(setting: Setting) -> str:
    return "setting_" + setting.key.replace(".", "_")


def _type(setting: Setting) -> Any:
    match setting.kind:
        case Kind.BOOLEAN:
            return None
        case Kind.INTEGER:
            return click.IntRange(_whole(setting.minimum), _whole(setting.maximum))
        case Kind.NUMBER:
            return click.FloatRange(setting.minimum, setting.maximum)
        case Kind.PATH:
            return click.Path()
        case Kind.TEXT if setting.choices:
            return click.Choice(setting.choices)
        case Kind.TEXT | Kind.LIST:
            return str


def _whole(number: float | None) -> int | None:
    return None if number is None else int(number)
