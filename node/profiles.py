"""The profiles of a node: what each stores, asks for, serves and runs. One table for all parts.

            stores          asks for   serves                                  runs
history     bodies, state   bodies     headers, macro chain, bodies, history   mempool, validator
full        window, state   bodies     headers, macro chain, bodies            mempool, validator
light       headers         headers    headers, macro chain                    -
pico        headers         headers    headers                                 -

A Pico that took an election block on trust has none from before it, so it offers no macro chain.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from node.chain.retention import Retention
from protocols.types import Service


class Profile(StrEnum):
    """Kind of node, in the order of what it keeps. The value is the word of settings and labels."""

    HISTORY = "history"
    FULL = "full"
    LIGHT = "light"
    PICO = "pico"

    @property
    def traits(self) -> "ProfileTraits":
        """What a node of this profile does."""
        return PROFILES[self]


class MacroSyncKind(StrEnum):
    """How a node gets to the newest macro block."""

    HISTORY = "history"
    """Every block and transaction from genesis."""
    STATE = "state"
    """As live sync as long as it leads there, else as LIGHT; the state is fetched afterwards."""
    LIGHT = "light"
    """Macro blocks alone, each verified by the validators of the one before."""
    PICO = "pico"
    """The newest macro blocks alone; the first one on trust."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileTraits:
    """One row of the table."""

    retention: Retention
    """Which blocks stay stored."""
    keeps_state: bool
    """Blocks are executed and account state is kept."""
    include_body: bool
    """Blocks are asked for with their bodies."""
    macro_sync: MacroSyncKind
    services: Service
    """What its handshake offers. Nothing is offered that no request serves yet."""
    runs_mempool: bool
    """Takes in and relays transactions: only who can see their senders' balances may relay."""
    may_validate: bool
    """A validator executes what it proposes and signs."""
    max_peers: int
    """Default bound of connections: what it can serve grows with what it keeps."""

    @property
    def keeps_bodies(self) -> bool:
        """Whether blocks are stored with their bodies."""
        return self.retention.has_bodies

    def __post_init__(self) -> None:
        """Refuse a row that cannot work."""
        assert self.include_body or not self.keeps_bodies
        assert self.keeps_bodies or not self.keeps_state
        assert self.keeps_state or not (self.runs_mempool or self.may_validate)


_HISTORY: Final = ProfileTraits(
    retention=Retention.ALL,
    keeps_state=True,
    include_body=True,
    macro_sync=MacroSyncKind.HISTORY,
    services=Service.HEADERS
    | Service.MACRO_CHAIN
    | Service.BODIES
    | Service.STATE
    | Service.HISTORY,
    runs_mempool=True,
    may_validate=True,
    max_peers=100,
)
_FULL: Final = ProfileTraits(
    retention=Retention.WINDOW,
    keeps_state=True,
    include_body=True,
    macro_sync=MacroSyncKind.STATE,
    services=Service.HEADERS | Service.MACRO_CHAIN | Service.BODIES | Service.STATE,
    runs_mempool=True,
    may_validate=True,
    max_peers=100,
)
_LIGHT: Final = ProfileTraits(
    retention=Retention.BATCH,
    keeps_state=False,
    include_body=False,
    macro_sync=MacroSyncKind.LIGHT,
    services=Service.HEADERS | Service.MACRO_CHAIN,
    runs_mempool=False,
    may_validate=False,
    max_peers=50,
)
_PICO: Final = ProfileTraits(
    retention=Retention.BATCH,
    keeps_state=False,
    include_body=False,
    macro_sync=MacroSyncKind.PICO,
    services=Service.HEADERS,
    runs_mempool=False,
    may_validate=False,
    max_peers=25,
)

PROFILES: Final[Mapping[Profile, ProfileTraits]] = MappingProxyType(
    {
        Profile.HISTORY: _HISTORY,
        Profile.FULL: _FULL,
        Profile.LIGHT: _LIGHT,
        Profile.PICO: _PICO,
    }
)
