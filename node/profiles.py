"""The profiles of a node: what each stores, asks for, serves and runs. One table for all parts.

            stores               asks for   serves                     runs
history     bodies, state        bodies     headers, bodies, history   mempool, validator
full        bodies, state        bodies     headers, bodies            mempool, validator
light       headers              headers    headers                    -
pico        headers              headers    headers                    -
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

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


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileTraits:
    """One row of the table."""

    keeps_bodies: bool
    """Blocks are stored with their bodies."""
    keeps_state: bool
    """Blocks are executed and account state is kept."""
    include_body: bool
    """Blocks are asked for with their bodies."""
    services: Service
    """What its handshake offers. Nothing is offered that no request serves yet."""
    runs_mempool: bool
    """Takes in and relays transactions: only who can see their senders' balances may relay."""
    may_validate: bool
    """A validator executes what it proposes and signs."""
    max_peers: int
    """Default bound of connections: what it can serve grows with what it keeps."""

    def __post_init__(self) -> None:
        """Refuse a row that cannot work."""
        assert self.include_body or not self.keeps_bodies
        assert self.keeps_bodies or not self.keeps_state
        assert self.keeps_state or not (self.runs_mempool or self.may_validate)


_HISTORY: Final = ProfileTraits(
    keeps_bodies=True,
    keeps_state=True,
    include_body=True,
    services=Service.HEADERS | Service.BODIES | Service.HISTORY,
    runs_mempool=True,
    may_validate=True,
    max_peers=100,
)
_FULL: Final = ProfileTraits(
    keeps_bodies=True,
    keeps_state=True,
    include_body=True,
    services=Service.HEADERS | Service.BODIES,
    runs_mempool=True,
    may_validate=True,
    max_peers=100,
)
_LIGHT: Final = ProfileTraits(
    keeps_bodies=False,
    keeps_state=False,
    include_body=False,
    services=Service.HEADERS,
    runs_mempool=False,
    may_validate=False,
    max_peers=50,
)
_PICO: Final = ProfileTraits(
    keeps_bodies=False,
    keeps_state=False,
    include_body=False,
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
