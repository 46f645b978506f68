"""What follows a chain without being a whole node: it serves it, and syncs by its peers."""

import trio

from node.chain.chain import Chain
from node.clock import WallClock
from node.config import SyncConfig
from node.crypto.bls import KeyCache
from node.net.libp2p import Libp2pNetwork
from node.profiles import MacroSyncKind
from node.services.chain_writer import ChainWriter
from node.services.serve import ServeService
from node.services.sync import SyncService


class Follower:
    """A chain with bodies behind a network that does not run yet."""

    def __init__(
        self, network: Libp2pNetwork, chain: Chain, *, keys: KeyCache, clock: WallClock
    ) -> None:
        self._network = network
        self.writer = ChainWriter(chain, in_thread=True)
        ServeService(network, chain, in_thread=True).register()
        self.sync = SyncService(
            network,
            chain,
            self.writer,
            SyncConfig().queue_config(chain.policy, include_body=True),
            min_peers=1,
            clock=clock,
            keys=keys,
            in_thread=True,
            kind=MacroSyncKind.HISTORY,
        )

    async def start(self, nursery: trio.Nursery) -> None:
        """Run until the nursery ends."""
        await nursery.start(self.sync.run)
        await nursery.start(self._network.run)
