"""The mempool beside a chain that grows, rebranches and ends batches."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from node.chain.chain import Chain
from node.gossip.transactions import Refusal
from node.net.hub import Hub
from node.net.simulated import SimulatedNetwork, simulated_address
from node.services.chain_writer import ChainWriter
from node.services.mempool import MempoolService
from protocols.ids import Topic
from protocols.types import PeerId
from tests.build.blocks import transaction
from tests.build.chain import ChainBuilder, open_chain
from tests.build.fetched import fetched_batches
from tests.contract.network_contract import hello

ONE, TWO, THREE = (transaction(nonce=nonce) for nonce in (1, 2, 3))


@dataclass
class Parts:
    """One node with a mempool, and one more on its network."""

    builder: ChainBuilder
    chain: Chain
    writer: ChainWriter
    service: MempoolService
    network: SimulatedNetwork
    other: SimulatedNetwork
    heard: trio.MemoryReceiveChannel[object]

    def waiting(self) -> set[int]:
        """Return which of the three transactions wait."""
        pool = self.service.mempool
        return {n for n, each in enumerate((ONE, TWO, THREE), start=1) if each.hash in pool}


@pytest.fixture
async def parts(autojump_clock: MockClock, nursery: trio.Nursery) -> AsyncIterator[Parts]:
    assert autojump_clock.current_time() == 0
    builder = ChainBuilder()
    chain = open_chain(builder.genesis)
    writer = ChainWriter(chain, in_thread=False)
    hub = Hub(seed=1)
    network, other = (SimulatedNetwork(hub, PeerId(name), hello) for name in "ab")
    heard = other.subscribe(Topic.TRANSACTIONS)
    service = MempoolService(network=network, chain=chain, writer=writer)
    await nursery.start(service.run)
    await nursery.start(network.run)
    await nursery.start(other.run)
    await network.connect(simulated_address(other.peer_id))
    yield Parts(builder, chain, writer, service, network, other, heard)
    nursery.cancel_scope.cancel()


async def _push(parts: Parts, *builders: ChainBuilder) -> None:
    for builder in builders or (parts.builder,):
        missing = [b for b in builder.blocks if not parts.chain.contains(b.hash)]
        await parts.writer.push(missing)
    await wait_all_tasks_blocked()


async def test_a_submitted_transaction_waits_and_is_announced(parts: Parts) -> None:
    assert await parts.service.submit(ONE) is None
    assert await parts.service.submit(ONE) is Refusal.KNOWN

    await trio.sleep(1)

    assert parts.waiting() == {1}
    message = parts.heard.receive_nowait()
    assert getattr(message, "payload", None) == ONE.encode()
    with pytest.raises(trio.WouldBlock):
        parts.heard.receive_nowait()


async def test_a_refused_transaction_is_not_announced(parts: Parts) -> None:
    assert await parts.service.submit(transaction(network=9)) is Refusal.WRONG_NETWORK

    await trio.sleep(1)

    with pytest.raises(trio.WouldBlock):
        parts.heard.receive_nowait()


async def test_announced_transactions_wait_and_junk_costs_score(parts: Parts) -> None:
    await parts.other.publish(Topic.TRANSACTIONS, TWO.encode())
    await trio.sleep(1)
    assert parts.waiting() == {2}
    assert parts.network.peers[parts.other.peer_id].score == 0

    await parts.other.publish(Topic.TRANSACTIONS, b"junk")
    await trio.sleep(1)
    assert parts.network.peers[parts.other.peer_id].score > 0
    assert parts.network.unresolved == ()


async def test_included_transactions_wait_no_longer(parts: Parts) -> None:
    for each in (ONE, TWO):
        await parts.service.submit(each)
    parts.builder.micro([ONE])

    await _push(parts)

    assert parts.waiting() == {2}


async def test_reverted_transactions_wait_again(parts: Parts) -> None:
    """A skip block replaces the block that had them; what the new branch has is included."""
    for each in (ONE, TWO, THREE):
        await parts.service.submit(each)
    fork = ChainBuilder(parts.builder.genesis)
    parts.builder.micro([ONE, TWO])
    await _push(parts)
    assert parts.waiting() == {3}

    fork.skip()
    fork.micro([TWO])
    await _push(parts, fork)

    assert parts.chain.head.hash == fork.head.hash
    assert parts.waiting() == {1, 3}


async def test_reverted_transactions_wait_also_if_they_never_did(parts: Parts) -> None:
    """They came inside a block, and the pool was empty."""
    fork = ChainBuilder(parts.builder.genesis)
    parts.builder.micro([ONE, TWO])
    await _push(parts)
    assert parts.waiting() == set()

    fork.skip()
    fork.micro([TWO])
    await _push(parts, fork)

    assert parts.waiting() == {1}


async def test_a_whole_batch_takes_what_waits(parts: Parts) -> None:
    """The blocks are final before the first event is read."""
    for each in (ONE, TWO):
        await parts.service.submit(each)
    parts.builder.micro()
    parts.builder.micro([ONE])
    parts.builder.extend(2)

    await _push(parts)

    assert parts.chain.macro_head.hash == parts.builder.head.hash
    assert parts.waiting() == {2}


async def test_reverted_by_a_macro_block_they_wait_again(parts: Parts) -> None:
    """By the time that the event is read their block is deleted."""
    await parts.service.submit(ONE)
    fork = ChainBuilder(parts.builder.genesis)
    parts.builder.skip()
    parts.builder.micro([ONE])
    await _push(parts)
    assert parts.waiting() == set()

    fork.extend(4)
    await parts.writer.push(fork.blocks)
    await wait_all_tasks_blocked()

    assert parts.chain.head.hash == fork.head.hash
    assert parts.waiting() == {1}


async def test_adopted_batches_take_and_give_back(parts: Parts) -> None:
    """One was in a block that stood there before, one is in both, one only waited."""
    fork = ChainBuilder(parts.builder.genesis)
    parts.builder.micro([ONE, TWO])
    await _push(parts)
    await parts.service.submit(THREE)
    fork.skip()
    fork.micro([TWO])
    fork.micro([THREE])
    fork.macro()

    await parts.writer.adopt_batches(fetched_batches(fork.blocks))
    await wait_all_tasks_blocked()

    assert parts.chain.head.hash == fork.head.hash
    assert parts.waiting() == {1}


async def test_expired_transactions_go(parts: Parts) -> None:
    await parts.service.submit(ONE)
    window = parts.chain.policy.validity_window_blocks
    parts.builder.extend(window)

    await _push(parts)

    assert parts.waiting() == set()
