"""The dispatcher: decoding, limits, refusals, threads."""

from collections.abc import Awaitable, Callable

import pytest
import trio
from trio.testing import MockClock

from node.accounts.key_proof import verify_keys
from node.accounts.pages import ROOT
from node.accounts.range_proof import FIRST_ADDRESS, LAST_ADDRESS, RangeAnswer, verify_range
from node.accounts.subtrees import open_root
from node.accounts.transaction import Transaction
from node.chain.chain import Chain
from node.errors import Fault
from node.net.scores import POINTS, ScoreLimits
from node.net.simulated import Hub, LinkConditions, SimulatedNetwork, simulated_address
from node.services.serve import ServeService
from node.services.turns import WAITING_PER_PEER
from protocols.ids import RequestProtocol
from protocols.messages.batch_set import BatchSetRequest, BatchSetResponse
from protocols.messages.block import BlockRequest, BlockResponse
from protocols.messages.blocks_proof import BlocksProofRequest, BlocksProofResponse
from protocols.messages.head import HeadRequest, HeadResponse
from protocols.messages.history_chunk import HistoryChunkRequest, HistoryChunkResponse
from protocols.messages.macro_chain import Checkpoint, MacroChainRequest, MacroChainResponse
from protocols.messages.missing_blocks import MissingBlocksRequest, MissingBlocksResponse
from protocols.messages.state_range import StateRangeRequest, StateRangeResponse
from protocols.messages.subtrees import SubtreesRequest, SubtreesResponse
from protocols.messages.transactions_proof import (
    TransactionsProofRequest,
    TransactionsProofResponse,
)
from protocols.messages.trie_diffs import TrieDiffsRequest, TrieDiffsResponse
from protocols.messages.trie_proof import TrieProofRequest, TrieProofResponse
from protocols.status import Refusal, ResponseStatus
from protocols.types import Direction, Hash32, PeerId
from tests.contract.network_contract import hello
from tests.node.serve.chains import TamperedView, epochs, forked
from tests.node.serve.states import ABSENT, states

HEAD, BLOCK = RequestProtocol.HEAD, RequestProtocol.BLOCK
MISSING_BLOCKS = RequestProtocol.MISSING_BLOCKS
MACRO_CHAIN, BATCH_SET = RequestProtocol.MACRO_CHAIN, RequestProtocol.BATCH_SET
HISTORY_CHUNK = RequestProtocol.HISTORY_CHUNK
TRANSACTIONS_PROOF = RequestProtocol.TRANSACTIONS_PROOF
BLOCKS_PROOF = RequestProtocol.BLOCKS_PROOF
NEVER_FADES = ScoreLimits(fade_per_s=0)
INSTANT = LinkConditions(latency_s=(0, 0))


async def connected(
    nursery: trio.Nursery, chain: Chain | TamperedView, *, in_thread: bool = False
) -> tuple[SimulatedNetwork, SimulatedNetwork]:
    """Return a client and the server that it is connected to."""
    client, _, server = await connected_two(
        nursery, chain, in_thread=in_thread, settled=trio.lowlevel.checkpoint
    )
    return client, server


async def connected_two(
    nursery: trio.Nursery,
    chain: Chain | TamperedView,
    *,
    in_thread: bool,
    settled: Callable[[], Awaitable[None]],
) -> tuple[SimulatedNetwork, SimulatedNetwork, SimulatedNetwork]:
    """Return two clients and the server that they are connected to."""
    hub = Hub(seed=1, conditions=INSTANT)
    client, other, server = [
        SimulatedNetwork(hub, PeerId(name), hello, score_limits=NEVER_FADES) for name in "cos"
    ]
    ServeService(server, chain, in_thread=in_thread, settled=settled).register()
    for network in (client, other, server):
        await nursery.start(network.run)
    for network in (client, other):
        await network.connect(simulated_address(server.peer_id))
    return client, other, server


def missing(target: Hash32, locator: Hash32) -> bytes:
    return MissingBlocksRequest(
        target=target, with_body=True, locators=(locator,), direction=Direction.FORWARD
    ).encode()


async def test_every_request_is_served(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    known = forked()
    client, server = await connected(nursery, known.chain)
    head = await client.request(server.peer_id, HEAD, HeadRequest().encode())
    block_request = BlockRequest(hash=known.at(1), with_body=True)
    block = await client.request(server.peer_id, BLOCK, block_request.encode())
    request = missing(known.at(5), known.at(0))
    blocks = await client.request(server.peer_id, MISSING_BLOCKS, request)

    decoded = HeadResponse.decode(head)
    assert isinstance(decoded, HeadResponse)
    assert decoded.hash == known.at(13)
    (only,) = known.bytes_between(1, 1, with_body=True)
    assert BlockResponse.decode(block) == BlockResponse(block=only)
    assert MissingBlocksResponse.decode(blocks) == MissingBlocksResponse(
        blocks=known.bytes_between(1, 5, with_body=True)
    )
    assert autojump_clock.current_time() < 1
    assert server.peers[client.peer_id].score == 0


async def test_macro_sync_is_served(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    known = epochs()
    client, server = await connected(nursery, known.chain)
    chain_request = MacroChainRequest(locators=(known.at(0),))
    macro_chain = await client.request(server.peer_id, MACRO_CHAIN, chain_request.encode())
    set_request = BatchSetRequest(known.at(24), 0)
    batch_set = await client.request(server.peer_id, BATCH_SET, set_request.encode())
    chunk_request = HistoryChunkRequest(verifier=known.at(24), first=3, limit=8)
    chunk = await client.request(server.peer_id, HISTORY_CHUNK, chunk_request.encode())

    assert MacroChainResponse.decode(macro_chain) == MacroChainResponse(
        epochs=(known.at(12), known.at(24)), checkpoint=Checkpoint(28, known.at(28))
    )
    batches = BatchSetResponse.decode(batch_set)
    assert isinstance(batches, BatchSetResponse)
    assert [each.history_length for each in batches.batches] == [9, 16, 17]
    history = HistoryChunkResponse.decode(chunk)
    assert isinstance(history, HistoryChunkResponse)
    assert list(history.transactions) == known.transactions(2)[3:11]
    assert autojump_clock.current_time() < 1
    assert server.peers[client.peer_id].score == 0


async def test_proofs_are_served(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    known = epochs()
    client, server = await connected(nursery, known.chain)
    wanted = Transaction.decode(known.transactions(1)[0]).hash
    transactions_request = TransactionsProofRequest(transactions=(wanted,)).encode()
    blocks_request = BlocksProofRequest(election_head=known.at(24), numbers=(14,)).encode()
    transactions = await client.request(server.peer_id, TRANSACTIONS_PROOF, transactions_request)
    blocks = await client.request(server.peer_id, BLOCKS_PROOF, blocks_request)

    proven = TransactionsProofResponse.decode(transactions)
    assert isinstance(proven, TransactionsProofResponse)
    assert proven.verifier == known.at(12)
    links = BlocksProofResponse.decode(blocks)
    assert isinstance(links, BlocksProofResponse)
    assert len(links.blocks[0].links) == 2
    assert autojump_clock.current_time() < 1


async def test_the_state_is_served(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    known, peer = states(), PeerId("s")
    target, root = known.at(20), known.header(20).state_root
    client, server = await connected(nursery, known.chain)
    range_request = StateRangeRequest(target=target, start=FIRST_ADDRESS, end=LAST_ADDRESS)
    leaves = await client.request(peer, RequestProtocol.STATE_RANGE, range_request.encode())
    proof_request = TrieProofRequest(target=target, addresses=(ABSENT,))
    proof = await client.request(peer, RequestProtocol.TRIE_PROOF, proof_request.encode())
    diffs_request = TrieDiffsRequest(first=17, target=target)
    diffs = await client.request(peer, RequestProtocol.TRIE_DIFFS, diffs_request.encode())
    nodes_request = SubtreesRequest(target=target, places=(ROOT.key,))
    nodes = await client.request(peer, RequestProtocol.SUBTREES, nodes_request.encode())

    whole = StateRangeResponse.decode(leaves)
    assert isinstance(whole, StateRangeResponse)
    assert whole.answer is not None
    answer = RangeAnswer.decode(whole.answer.leaves, whole.answer.proof)
    assert verify_range(root, FIRST_ADDRESS, LAST_ADDRESS, answer) is not None
    one = TrieProofResponse.decode(proof)
    assert isinstance(one, TrieProofResponse)
    assert verify_keys(root, [ABSENT], one.proof) == {ABSENT: None}
    changes = TrieDiffsResponse.decode(diffs)
    assert isinstance(changes, TrieDiffsResponse)
    assert len(changes.changes) == 4
    subtrees = SubtreesResponse.decode(nodes)
    assert isinstance(subtrees, SubtreesResponse)
    assert subtrees.nodes is not None
    assert open_root(root, subtrees.nodes[0]) is not None
    assert server.peers[client.peer_id].score == 0


@pytest.mark.parametrize(
    "protocol", [each for each in RequestProtocol if each is not RequestProtocol.HANDSHAKE]
)
@pytest.mark.parametrize("garbage", [b"", b"\xc1", b"\x90\x90", b"\x91\x00"])
async def test_garbage_is_named_and_costs_score(
    protocol: RequestProtocol, garbage: bytes, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    client, server = await connected(nursery, forked().chain)
    response = await client.request(server.peer_id, protocol, garbage)

    assert response == Refusal(ResponseStatus.BAD_REQUEST).encode()
    assert server.peers[client.peer_id].score == POINTS[Fault.MALFORMED]
    assert autojump_clock.current_time() < 1


async def test_too_many_locators_are_not_garbage(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    known = forked()
    client, server = await connected(nursery, known.chain)
    request = MissingBlocksRequest(
        target=known.at(5),
        with_body=True,
        locators=(known.at(1),) * 256,
        direction=Direction.FORWARD,
    )
    response = await client.request(server.peer_id, MISSING_BLOCKS, request.encode())

    assert response == Refusal(ResponseStatus.TOO_MANY_LOCATORS).encode()
    assert server.peers[client.peer_id].score == 0
    assert autojump_clock.current_time() < 1


async def test_rate_limit_is_named_then_reported_and_time_heals_it(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    client, server = await connected(nursery, forked().chain)
    limit = HEAD.limits.requests_per_10_s
    statuses = []
    for _ in range(2 * limit + 1):
        response = await client.request(server.peer_id, HEAD, HeadRequest().encode())
        statuses.append(HeadResponse.decode(response))

    assert all(isinstance(status, HeadResponse) for status in statuses[:limit])
    assert statuses[limit:] == [Refusal(ResponseStatus.RATE_LIMITED)] * (limit + 1)
    assert server.peers[client.peer_id].score == POINTS[Fault.FLOODING]
    assert autojump_clock.current_time() < 10 / limit

    await trio.sleep(10 / limit)
    response = await client.request(server.peer_id, HEAD, HeadRequest().encode())
    assert isinstance(HeadResponse.decode(response), HeadResponse)


async def test_limits_are_per_peer_and_protocol(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    known = forked()
    client, server = await connected(nursery, known.chain)
    for _ in range(HEAD.limits.requests_per_10_s):
        await client.request(server.peer_id, HEAD, HeadRequest().encode())
    limited = await client.request(server.peer_id, HEAD, HeadRequest().encode())
    block_request = BlockRequest(hash=known.at(1), with_body=False).encode()
    served = await client.request(server.peer_id, BLOCK, block_request)

    assert limited == Refusal(ResponseStatus.RATE_LIMITED).encode()
    assert isinstance(BlockResponse.decode(served), BlockResponse)
    assert autojump_clock.current_time() < 1


class _Gate(TamperedView):
    """A chain whose blocks cannot be read until a test lets them."""

    def __init__(self, chain: Chain) -> None:
        super().__init__(chain)
        self.reading = 0
        self.opened = trio.Event()

    def block_bytes(self, block: Hash32, *, with_body: bool) -> bytes | None:
        self.reading += 1
        trio.from_thread.run(self.opened.wait)
        return super().block_bytes(block, with_body=with_body)


async def test_large_answers_are_built_in_bounded_threads(nursery: trio.Nursery) -> None:
    """A burst of one peer beyond its bound is refused at once; the rest is answered in turn."""
    known = forked()
    gate = _Gate(known.chain)
    client, server = await connected(nursery, gate, in_thread=True)
    request = missing(known.at(1), known.at(0))
    answers: list[bytes] = []

    async def ask() -> None:
        answers.append(await client.request(server.peer_id, MISSING_BLOCKS, request))

    async with trio.open_nursery() as asking:
        for _ in range(1 + WAITING_PER_PEER + 3):
            asking.start_soon(ask)
        while len(answers) < 3 or not gate.reading:
            await trio.lowlevel.checkpoint()
        assert answers == [Refusal(ResponseStatus.BUSY).encode()] * 3
        assert gate.reading == 1
        gate.opened.set()

    whole = MissingBlocksResponse(blocks=known.bytes_between(1, 1, with_body=True)).encode()
    assert answers[3:] == [whole] * (1 + WAITING_PER_PEER)
    assert await client.request(server.peer_id, MISSING_BLOCKS, request) == whole


async def test_what_costs_most_waits_for_changes_and_what_followers_ask_for_does_not(
    nursery: trio.Nursery,
) -> None:
    known, over, begun = states(), trio.Event(), trio.Event()
    target, answers = known.at(20), list[bytes]()

    async def settled() -> None:
        begun.set()
        await over.wait()

    client, other, server = await connected_two(
        nursery, known.chain, in_thread=True, settled=settled
    )
    costly = StateRangeRequest(target=target, start=FIRST_ADDRESS, end=LAST_ADDRESS).encode()

    async def ask() -> None:
        answers.append(await client.request(server.peer_id, RequestProtocol.STATE_RANGE, costly))

    async with trio.open_nursery() as asking:
        asking.start_soon(ask)
        await begun.wait()
        block_request = BlockRequest(hash=target, with_body=True).encode()
        block = await other.request(server.peer_id, BLOCK, block_request)
        assert isinstance(BlockResponse.decode(block), BlockResponse)
        assert answers == []
        over.set()
    assert isinstance(StateRangeResponse.decode(answers[0]), StateRangeResponse)
