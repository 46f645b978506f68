"""One node as a process: data folder, listeners, process.json, signals.

starting --every listener bound--> running --signal or shutdown call--> stopping --> ended
                                                              second signal -----------^
"""

import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from math import inf
from random import SystemRandom
from typing import Final

import structlog
import trio

from node.app import Node, NodeParts
from node.chain.genesis import Genesis
from node.config import NodeConfig
from node.errors import ConfigError, DataFolderError, NotSyncedError
from node.event_record import EventRecord
from node.keys import NodeKeys
from node.net.libp2p import Libp2pNetwork, NetworkLimits
from node.process import ProcessRecord, own_start_time
from node.rpc.server import RpcServer, bind, load_token
from node.services.clock import SystemClock
from node.services.workers import let_threads_alternate
from node.storage.disk import DiskStore
from node.version import VERSION
from protocols.messages.handshake import Hello

log = structlog.get_logger("daemon")

STOP_TIMEOUT_S: Final = 8
"""A stop that takes longer is forced. Nothing accepted is lost by that, only good manners."""

TIME_IS_UP: Final = "time is up"
"""Why a node stops that was to end once it is synced, and is not."""

Ready = Callable[[], None]


def run_daemon(config: NodeConfig, ready: Ready, events: EventRecord) -> int:
    """Run a node until it is told to stop, and return the exit code of its process.

    Args:
        config: Settings.
        ready: Called once every listener is bound and process.json is written.
        events: What the log of this process records.

    Raises:
        ConfigError: Genesis or keys cannot be used.
        DataFolderError: Locked, corrupt, or of another network.
        ListenError: A port is taken.
        NotSyncedError: Not synced in time. The node has stopped cleanly.
        StorageError: The disk failed.
    """
    let_threads_alternate()
    genesis = Genesis.load(config.genesis)
    keys = NodeKeys.load(config.keys)
    _check_validator(config, genesis, keys)
    with _data_folder(config) as store:
        return trio.run(_run, config, genesis, keys, store, ready, events)


def _check_validator(config: NodeConfig, genesis: Genesis, keys: NodeKeys) -> None:
    """Refuse a validator that can never be elected: it would wait for ever without a word."""
    candidates = {candidate.signing_key for candidate in genesis.candidates}
    if config.validator and keys.signing.public_key not in candidates:
        raise ConfigError(
            f"{config.keys}: signing: validator is on, but {config.genesis} has no candidate"
            " with this key"
        )


@contextmanager
def _data_folder(config: NodeConfig) -> Iterator[DiskStore]:
    try:
        config.data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataFolderError(f"{config.data_dir}: {error.strerror}") from error
    store = DiskStore(config.data_dir)
    try:
        yield store
    finally:
        store.close()


async def _run(
    config: NodeConfig,
    genesis: Genesis,
    keys: NodeKeys,
    store: DiskStore,
    ready: Ready,
    events: EventRecord,
) -> int:
    clock = SystemClock()

    def make_network(hello: Callable[[], Hello]) -> Libp2pNetwork:
        return Libp2pNetwork(
            keys.peer.seed,
            listen=config.listen,
            genesis=genesis.hash,
            hello=hello,
            clock=clock,
            limits=_limits(config),
        )

    traits = config.profile.traits
    parts = NodeParts(
        profile=config.profile,
        genesis=genesis,
        keys=keys,
        is_validator=config.validator,
        store=store,
        make_network=make_network,
        clock=clock,
        rng=SystemRandom(),
        in_thread=True,
        queue=config.sync.queue_config(genesis.policy, include_body=traits.include_body),
        pinned=config.sync.pinned(genesis.policy),
        min_peers=config.min_peers,
        strategy=config.sync.strategy,
        pivot_interval=config.sync.pivot_interval,
        seeds=config.seeds,
        status_interval_s=config.log.status_s,
        events=events,
    )
    try:
        node = Node(parts)
    except DataFolderError as error:
        # A chain does not know where its store lies.
        raise DataFolderError(f"{config.data_dir}: {error}") from error
    server = RpcServer(node, bind(config.rpc), load_token(config.data_dir))
    return await _run_until_told(node, server, config, ready)


async def _run_until_told(node: Node, server: RpcServer, config: NodeConfig, ready: Ready) -> int:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
        async with trio.open_nursery() as watch:
            async with trio.open_nursery() as nursery:
                await nursery.start(node.run)
                await nursery.start(server.run)
                _record(node, server, config).save(config.data_dir)
                _log_start(node, server, config)
                ready()
                exit_code, reason = await _wait_for_end(node, signals, config)
                log.info("node_stopping", reason=reason)
                watch.start_soon(_force, signals, exit_code)
                nursery.cancel_scope.cancel()
            watch.cancel_scope.cancel()
    signal.alarm(0)
    ProcessRecord.remove(config.data_dir)
    log.info("node_stopped", height=node.chain.head.number)
    if reason == TIME_IS_UP:
        raise NotSyncedError(
            f"not synced after {config.exit_when_synced_timeout:g} s: at height "
            f"{node.chain.head.number}"
        )
    return exit_code


def _log_start(node: Node, server: RpcServer, config: NodeConfig) -> None:
    log.info(
        "node_started",
        profile=config.profile.value,
        peer_id=node.peer_id,
        rpc=server.address,
        listen=list(node.listen_addresses),
        height=node.chain.head.number,
    )


async def _wait_for_end(
    node: Node, signals: AsyncIterator[int], config: NodeConfig
) -> tuple[int, str]:
    """Return the exit code that the first reason to stop asks for, and the reason."""
    end = 0, "shutdown call"

    async def wait_for_signal(scope: trio.CancelScope) -> None:
        nonlocal end
        number = await anext(signals)
        end = 128 + number, signal.Signals(number).name
        scope.cancel()

    async def wait_until_synced(scope: trio.CancelScope) -> None:
        nonlocal end
        with trio.move_on_after(config.exit_when_synced_timeout or inf) as time:
            await node.wait_until_synced()
        end = (1, TIME_IS_UP) if time.cancelled_caught else (0, "synced")
        scope.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait_for_signal, nursery.cancel_scope)
        if config.exit_when_synced:
            nursery.start_soon(wait_until_synced, nursery.cancel_scope)
        await node.wait_for_shutdown()
        nursery.cancel_scope.cancel()
    return end


async def _force(signals: AsyncIterator[int], exit_code: int) -> None:
    """End the process on a second signal, or when stopping takes too long."""
    signal.signal(signal.SIGALRM, lambda _number, _frame: os._exit(exit_code))
    signal.alarm(STOP_TIMEOUT_S)
    await anext(signals)
    os._exit(exit_code)


def _limits(config: NodeConfig) -> NetworkLimits:
    # A quarter of the places is kept for peers that we choose ourselves.
    inbound = max(config.max_peers - config.max_peers // 4, 1)
    events = max(NetworkLimits().events_size, 2 * config.max_peers)
    return NetworkLimits(max_peers=config.max_peers, max_inbound_peers=inbound, events_size=events)


def _record(node: Node, server: RpcServer, config: NodeConfig) -> ProcessRecord:
    return ProcessRecord(
        pid=os.getpid(),
        start_time=own_start_time(),
        peer_id=node.peer_id,
        addresses=node.listen_addresses,
        rpc=server.address,
        network=node.network_name,
        genesis=node.chain.genesis.hex(),
        profile=config.profile.value,
        version=VERSION,
    )
