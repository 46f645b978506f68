"""Which macro sync a node runs, and what its peers must serve for it."""

from typing import Final, TypeAlias

from node.chain.view import ChainView
from node.profiles import MacroSyncKind
from node.sync.live.config import QueueConfig
from node.sync.live.voting_keys import VotingKeys
from node.sync.macro.catch_up import CatchUp
from node.sync.macro.light import LightFetcher
from node.sync.macro.macro_sync import MacroSync
from node.sync.macro.pico import PicoSync
from node.sync.macro.target import Target
from protocols.types import Service

AnyMacroSync: TypeAlias = MacroSync | PicoSync


def services_for(kind: MacroSyncKind) -> Service:
    """Return what a peer must serve to lead us; others may still be followed live."""
    return _SERVICES[kind]


def make_macro_sync(
    kind: MacroSyncKind,
    chain: ChainView,
    config: QueueConfig,
    voting_keys: VotingKeys,
    pinned: Target | None,
) -> AnyMacroSync:
    """Put a macro sync together.

    Args:
        kind: Of the profile.
        chain: Read only.
        config: Bounds.
        voting_keys: Shared with the live sync.
        pinned: The election block that the operator vouches for.
    """
    if kind is MacroSyncKind.HISTORY:
        catch_up = CatchUp(chain, config, voting_keys)
        return MacroSync(chain, config, catch_up, pinned=pinned)
    fetcher = LightFetcher(chain, timeout_s=config.request_timeout_s)
    light = MacroSync(chain, config, fetcher, pinned=pinned)
    if kind is MacroSyncKind.LIGHT:
        return light
    return PicoSync(chain, config, light, pinned=pinned)


_SERVICES: Final = {
    MacroSyncKind.HISTORY: Service.BODIES | Service.MACRO_CHAIN,
    MacroSyncKind.LIGHT: Service.MACRO_CHAIN,
    MacroSyncKind.PICO: Service.MACRO_CHAIN,
}
