"""A pico answers its user over real libp2p while one of its peers lies."""

from typing import Any

import pytest
import trio

from node.accounts.transaction import Transaction
from node.errors import Fault
from node.net.libp2p import router
from node.net.network import Handler
from node.profiles import Profile
from node.rpc.json_rpc import Call
from node.rpc.methods import call
from node.serve.blocks_proof import serve_blocks_proof
from node.serve.transactions_proof import serve_transactions_proof
from node.serve.trie_proof import serve_trie_proof
from protocols.ids import RequestProtocol
from protocols.messages.blocks_proof import BlocksProofRequest
from protocols.messages.transactions_proof import TransactionsProofRequest
from protocols.messages.trie_proof import TrieProofRequest
from protocols.types import PeerId
from tests.build.keys import address
from tests.integration.live_nodes import Follower, LiveNetwork, Peer
from tests.node.serve.chains import epochs

pytestmark = pytest.mark.network

LENGTH = 30
MACRO_HEAD = 28
OWNER = address(1)
PROOFS = (
    RequestProtocol.TRIE_PROOF,
    RequestProtocol.TRANSACTIONS_PROOF,
    RequestProtocol.BLOCKS_PROOF,
)


@pytest.fixture(autouse=True)
def _quick_heartbeats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(router, "HEARTBEAT_S", 0.05)


def prove(protocol: RequestProtocol, payload: bytes) -> bytes:
    """Prove as an honest peer does."""
    chain = epochs().chain
    match protocol:
        case RequestProtocol.TRIE_PROOF:
            return serve_trie_proof(TrieProofRequest.decode(payload), chain).encode()
        case RequestProtocol.TRANSACTIONS_PROOF:
            request = TransactionsProofRequest.decode(payload)
            return serve_transactions_proof(request, chain).encode()
        case _:
            return serve_blocks_proof(BlocksProofRequest.decode(payload), chain).encode()


def lying_by(protocol: RequestProtocol) -> Handler:
    """Return a handler whose proofs have one bit turned."""

    async def handle(_peer: PeerId, payload: bytes) -> bytes:
        await trio.lowlevel.checkpoint()
        truth = prove(protocol, payload)
        middle = len(truth) // 2
        return truth[:middle] + bytes([truth[middle] ^ 1]) + truth[middle + 1 :]

    return handle


async def ask(follower: Follower, method: str, *params: object) -> dict[str, Any]:
    answer: dict[str, Any] = await call(follower.node, Call(method, list(params)), is_admin=False)
    return answer


async def synced(live: LiveNetwork, profile: Profile, *lying: bool) -> tuple[Follower, list[Peer]]:
    """Return a node at the head of its peers, and these."""
    follower = await live.follower(profile)
    peers = []
    for lies in lying:
        peer = await live.peer(follower, head=LENGTH)
        if lies:
            peer.scripts.update({protocol: lying_by(protocol) for protocol in PROOFS})
        peers.append(peer)
    await follower.until_height(LENGTH)
    assert follower.node.chain.macro_head.number == MACRO_HEAD
    return follower, peers


@pytest.mark.parametrize("profile", [Profile.PICO, Profile.LIGHT])
async def test_an_account_a_transaction_and_a_block(
    profile: Profile, nursery: trio.Nursery
) -> None:
    """Each question is put to the liar first or to the honest one: the answer is the same."""
    known = epochs()
    follower, (liar, honest) = await synced(
        LiveNetwork(nursery, known.builder), profile, True, False
    )
    then = known.builder.fork_from(known.at(MACRO_HEAD)).chain.account(OWNER)
    sent = Transaction.decode(known.transactions(1)[0])
    for _ in range(2):
        account = await ask(follower, "getAccountByAddress", OWNER.hex())
        assert account["data"] == {"address": OWNER.hex(), "balance": then.balance}
        assert account["metadata"]["proof"] == {
            "block": known.at(MACRO_HEAD).hex(),
            "number": MACRO_HEAD,
            "peer": honest.id,
        }
        found = await ask(follower, "getTransactionByHash", sent.hash.hex())
        assert found["data"]["value"] == sent.value
        assert found["metadata"]["proof"]["number"] == 12
        block = await ask(follower, "getBlockByNumber", 2, True)
        assert block["data"]["hash"] == known.at(2).hex()
        assert block["metadata"]["proof"]["peer"] == honest.id
    absent = await ask(follower, "getAccountByAddress", "33" * 20)
    assert absent["data"]["balance"] == 0
    blamed = {peer for peer, _ in follower.network.reports}
    assert blamed == {liar.id}
    assert {fault for _, fault in follower.network.reports} <= {
        Fault.INVALID_BLOCK,
        Fault.MALFORMED,
    }
    nursery.cancel_scope.cancel()


async def test_a_peer_that_leaves_in_the_middle(nursery: trio.Nursery) -> None:
    """The one that is asked goes away without an answer: the other one is asked."""
    known = epochs()
    live = LiveNetwork(nursery, known.builder)
    follower, (leaver, other) = await synced(live, Profile.PICO, False, False)

    async def leave(_peer: PeerId, _payload: bytes) -> bytes:
        leaver.node.scope.cancel()
        await trio.sleep_forever()
        raise AssertionError

    leaver.scripts[RequestProtocol.TRIE_PROOF] = leave
    for _ in range(2):
        account = await ask(follower, "getAccountByAddress", OWNER.hex())
        assert account["metadata"]["proof"]["peer"] == other.id
    assert RequestProtocol.TRIE_PROOF in {protocol for protocol, _ in leaver.network.requests}
    assert follower.network.reports == []
    nursery.cancel_scope.cancel()
