"""Which macro sync a node runs, and what its peers must serve for it."""

from typing import Final, TypeAlias

from node.chain.view import ChainView
from node.profiles import MacroSyncKind
from node.sync.live.config import QueueConfig
from node.sync.macro.history import HistorySync
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
    pinned: Target | None,
) -> AnyMacroSync:
    """Put a macro sync together.

    Args:
        kind: Of the profile.
        chain: Read only.
        config: Bounds.
        pinned: The election block that the operator vouches for.
    """
    if kind is MacroSyncKind.HISTORY:
        return MacroSync(chain, config, HistorySync(chain), pinned=pinned)
    fetcher = LightFetcher(chain, timeout_s=config.request_timeout_s)
    light = MacroSync(chain, config, fetcher, pinned=pinned)
    if kind is MacroSyncKind.STATE:
        return MacroSync(chain, config, fetcher, pinned=pinned, is_last_resort=True)
    if kind is MacroSyncKind.LIGHT:
        return light
    return PicoSync(chain, config, light, pinned=pinned)


_SERVICES: Final = {
    # A Full has the newest epochs, and all of a young network. What it has pruned it refuses.
    MacroSyncKind.HISTORY: Service.MACRO_CHAIN | Service.BODIES,
    MacroSyncKind.STATE: Service.MACRO_CHAIN,
    MacroSyncKind.LIGHT: Service.MACRO_CHAIN,
    MacroSyncKind.PICO: Service.MACRO_CHAIN,
}
