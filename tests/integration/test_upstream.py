"""What we override or rely on in py-libp2p. A new version that changes it fails here first."""

import inspect
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from libp2p.pubsub.gossipsub import GossipSub
from libp2p.pubsub.pubsub import Pubsub
from libp2p.security.noise.io import NoiseTransportReadWriter
from libp2p.security.secure_session import SecureSession

from node.net.libp2p.pubsub import PubsubHost, SafePubsub
from node.net.libp2p.router import Router

pytestmark = pytest.mark.network

ROOT = Path(__file__).resolve().parents[2]

OVERRIDDEN: list[tuple[type[Any], type[Any], str]] = [
    (Pubsub, SafePubsub, "push_msg"),
    (Pubsub, SafePubsub, "write_msg"),
    (Pubsub, SafePubsub, "get_hello_packet"),
    (GossipSub, Router, "_check_equivocation"),
    (GossipSub, Router, "handle_iwant"),
]

USED = [
    (Pubsub, "_handle_new_peer_with_retry"),
    (Pubsub, "_handle_dead_peer"),
    (Pubsub, "handle_subscription"),
    (Pubsub, "subscribe"),
    (Pubsub, "publish"),
    (GossipSub, "publish"),
    (GossipSub, "handle_rpc"),
    (GossipSub, "send_rpc"),
    (GossipSub, "_check_iwant_rate_limit"),
]


def test_version_is_the_one_that_was_read() -> None:
    assert version("libp2p") == "0.8.1"


@pytest.mark.parametrize(("theirs", "ours", "name"), OVERRIDDEN)
def test_overridden_method_is_still_there(theirs: type[Any], ours: type[Any], name: str) -> None:
    upstream = inspect.signature(getattr(theirs, name))
    assert list(upstream.parameters) == list(inspect.signature(getattr(ours, name)).parameters)
    assert name in vars(ours)


@pytest.mark.parametrize(("owner", "name"), USED)
def test_used_method_is_still_there(owner: type[Any], name: str) -> None:
    assert callable(getattr(owner, name))


def test_overridden_methods_are_still_called() -> None:
    assert "self.push_msg(self.my_id, msg)" in inspect.getsource(Pubsub.publish)
    assert "self.write_msg(stream, rpc)" in inspect.getsource(Pubsub.handle_sending_messages)
    assert "self.get_hello_packet()" in inspect.getsource(Pubsub._handle_new_peer)
    assert "self._check_equivocation(" in inspect.getsource(GossipSub.publish)
    assert "self.handle_iwant(" in inspect.getsource(GossipSub.handle_rpc)


def test_attributes_that_are_replaced_are_still_set() -> None:
    source = inspect.getsource(Pubsub.__init__)
    for name in ("seen_messages", "counter", "peer_queues"):
        assert f"self.{name} = " in source
    source = inspect.getsource(GossipSub.__init__)
    for name in ("scorer", "_pending_messages", "equivocation_detection"):
        assert f"self.{name} = " in source


def test_noise_session_still_holds_its_cipher() -> None:
    assert "self.conn = conn" in inspect.getsource(SecureSession.__init__)
    assert "self.noise_state.encrypt" in inspect.getsource(NoiseTransportReadWriter)


def test_pubsub_asks_no_more_of_its_host() -> None:
    """`PubsubHost` offers what is used there and no more."""
    used: set[str] = set()
    for source in (inspect.getsource(Pubsub), inspect.getsource(GossipSub)):
        used |= {
            piece.split("(")[0].split(".")[0].split(",")[0].strip(")\n ")
            for piece in source.split("host.")[1:]
        }
    methods = {name for name in used if name.startswith(("get_", "set_", "new_"))}
    assert methods <= set(vars(PubsubHost))


def test_import_starts_no_thread_and_a_forked_child_can_run() -> None:
    """Nodes of a local network are forked from one process that has imported everything."""
    program = """
import os, sys, threading
import trio
from node.net.libp2p import Libp2pNetwork
from tests.integration.nodes import make_network, start
network = make_network("forked")
assert threading.active_count() == 1, threading.enumerate()
child = os.fork()
if child:
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
async def main():
    async with trio.open_nursery() as nursery:
        node = await start(nursery, network)
        other = await start(nursery, make_network("other"))
        assert await other.network.connect(node.network.listen_addresses[0])
        nursery.cancel_scope.cancel()
trio.run(main)
"""
    done = subprocess.run([sys.executable, "-c", program], check=False, timeout=60, cwd=ROOT)
    assert done.returncode == 0


def test_nothing_else_imports_libp2p() -> None:
    """It takes a second: commands that need no network must not pay for it."""
    program = "import sys, node.net.network, node.net.scores, node.services; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
    )
    assert "libp2p" not in done.stdout.split()
