"""Options of `headway net`, read in full before anything is done."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

import click

from cli.options import Duration, timeout_option
from node.errors import ConfigError
from node.testnet.expression import Condition, parse
from node.testnet.layout import DEFAULT_NAME
from node.testnet.spec import (
    MAX_ACCOUNTS,
    MAX_PIVOT_INTERVAL,
    STRATEGIES,
    Topology,
    parse_late,
    parse_load,
    parse_mix,
)

ValueT = TypeVar("ValueT")
Decorated = TypeVar("Decorated", bound=Callable[..., Any])


class Parsed(click.ParamType[Any], Generic[ValueT]):
    """A text that one function reads. What it refuses is a mistake of the command line."""

    def __init__(self, name: str, read: Callable[[str], ValueT]) -> None:
        self.name = name
        self._read = read

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> ValueT:
        """Read the text."""
        try:
            return self._read(str(value))
        except ConfigError as error:
            self.fail(str(error), param, ctx)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A condition and how it was written."""

    text: str
    condition: Condition


def _wanted(text: str) -> Wanted:
    return Wanted(text, parse(text))


CONDITION: Final = Parsed("condition", _wanted)

name_option: Final = click.option(
    "--name",
    envvar="HEADWAY_NET",
    help=f"Which network. Default: the only one, or {DEFAULT_NAME!r}.",
)
wait_option: Final = click.option(
    "--wait", "wanted", type=CONDITION, help="Return when this holds, as 'height>=3'."
)
wait_timeout_option: Final = timeout_option(60.0, "How long to wait, as 90s or 5m.")
nodes_argument: Final = click.argument("nodes", nargs=-1, metavar="[NODE]...")

sync_option: Final = click.option(
    "--sync",
    type=click.Choice(STRATEGIES),
    help=f"While Full nodes fetch the state: follow the chain, or wait [{STRATEGIES[0]}].",
)
pivot_interval_option: Final = click.option(
    "--pivot-interval",
    type=click.IntRange(1, MAX_PIVOT_INTERVAL),
    help="Blocks between two targets of a state sync.",
)

_NETWORK_OPTIONS: Final = (
    click.option("-n", "--nodes", "count", type=click.IntRange(1, 500), help="How many nodes [8]."),
    click.option(
        "--mix", type=Parsed("mix", parse_mix), help="Profiles, as history=2,full=3,light=2,pico=1."
    ),
    click.option("--validators", type=click.IntRange(1, 500), help="How many of them validate."),
    click.option(
        "--late",
        multiple=True,
        type=Parsed("late", parse_late),
        help="More nodes that join at a height, as pico=1@200; may be repeated.",
    ),
    click.option("--seed", type=click.IntRange(0, 2**63), help="Gives keys and connections [1]."),
    click.option("--block-time", "block_time_s", type=Duration(), help="Between two blocks [1s]."),
    click.option(
        "--batch-length",
        type=click.IntRange(2, 1024),
        help="Blocks in a batch; the last one makes them final [20].",
    ),
    click.option(
        "--batches-per-epoch",
        type=click.IntRange(1, 1024),
        help="Batches in an epoch; the last one ends with an election [4].",
    ),
    click.option(
        "--topology",
        type=click.Choice([each.value for each in Topology]),
        help=f"Who is connected to whom [{Topology.RANDOM}].",
    ),
    sync_option,
    pivot_interval_option,
    click.option(
        "--accounts",
        type=click.IntRange(1, MAX_ACCOUNTS),
        help="With coins at the start, as 200000 [those that the load needs].",
    ),
    click.option(
        "--load",
        "load_tps",
        type=Parsed("rate", parse_load),
        help="Transactions per second to send, as 50tps.",
    ),
    click.option("--name", help=f"What to call the network [{DEFAULT_NAME}]."),
)


def network_options(command: Decorated) -> Decorated:
    """Add what a new network can be made of."""
    for option in reversed(_NETWORK_OPTIONS):
        command = option(command)
    return command
