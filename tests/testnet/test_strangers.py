"""Strangers at the port of a node whose network goes on."""

from collections.abc import Iterator
from contextlib import suppress

import pytest

from node.net.libp2p.addresses import parse_address
from node.net.libp2p.failures import ConnectionLostError
from protocols.types import Hash32
from tests.integration import attacks
from tests.integration.attacker import Target
from tests.integration.attacks import Attack
from tests.testnet.running import LocalNetwork, networks

pytestmark = [pytest.mark.network, pytest.mark.slow]

VICTIM = "full-1"


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalNetwork]:
    with networks(tmp_path_factory.mktemp("networks")) as network:
        options = ("--mix", "full=4", "--topology", "mesh", "--block-time", "250ms")
        network.net("up", *options, "--wait", "height>=2")
        yield network
        network.assert_logs_are_clean()


@pytest.mark.parametrize(
    "attack",
    [
        attacks.sends_garbage_to_the_port,
        attacks.resets_the_socket,
        attacks.announces_a_huge_protocol_name,
        attacks.breaks_the_noise_handshake,
        attacks.breaks_the_encryption,
        attacks.sends_garbage_frames,
        attacks.names_a_protocol_in_no_encoding,
        attacks.breaks_the_framing_of_a_request,
        attacks.sends_half_a_frame_and_waits,
    ],
    ids=lambda attack: attack.__name__,
)
async def test_garbage_at_any_stage(attack: Attack, four: LocalNetwork) -> None:
    """The stranger is dropped, in few words; the victim keeps its peers and makes blocks."""
    before = four.reports(VICTIM)[VICTIM].status
    written = four.log(VICTIM).count("\n")
    record = four.record(VICTIM)
    place, peer = parse_address(record.addresses[0])
    assert peer is not None
    target = Target(place=place, peer=peer, genesis=Hash32(bytes.fromhex(record.genesis)))

    try:
        # The same stranger again and again: in the end it is banned, and dropped before it can
        # finish what it tries.
        with suppress(ConnectionLostError):
            await attack(target)
    finally:
        target.hang_up()

    four.until(f"height >= {before['height'] + 2} and peers >= 3 and phase == live")
    assert four.record(VICTIM) == record
    assert four.log(VICTIM).count("\n") - written < 30


def test_afterwards_honest_peers_are_let_in(four: LocalNetwork) -> None:
    """What strangers did on 127.0.0.1 does not count against all others who live there."""
    four.net("stop", "full-2", "full-3", "--kill")
    four.net("start", "full-2", "full-3", "--wait", "peers >= 3 and consensus == yes")
    four.until("peers >= 3 and consensus == yes")
    four.assert_one_chain()
