"""Block requests."""

import pytest

from node.blocks.block import Block
from node.serve.block import serve_block
from protocols.messages.block import BlockRequest, BlockResponse
from protocols.status import Refusal, ResponseStatus
from tests.build.blocks import digest
from tests.build.chain import light_chain
from tests.build.keys import genesis
from tests.node.serve.chains import POLICY, TamperedView, encode, forked


@pytest.mark.parametrize("with_body", [True, False])
def test_block_of_the_main_chain_and_of_a_fork(*, with_body: bool) -> None:
    known = forked()

    for block in (known.main[0], known.main[4], known.fork[1]):
        request = BlockRequest(hash=block.hash, with_body=with_body)
        response = serve_block(request, known.chain)
        assert response == BlockResponse(block=encode(block, with_body=with_body))
        assert isinstance(response, BlockResponse)
        assert Block.decode(response.block).hash == block.hash


def test_genesis_is_served() -> None:
    known = forked()
    response = serve_block(BlockRequest(hash=known.genesis, with_body=True), known.chain)

    assert isinstance(response, BlockResponse)
    assert Block.decode(response.block).hash == known.genesis


@pytest.mark.parametrize("with_body", [True, False])
def test_unknown_block(*, with_body: bool) -> None:
    request = BlockRequest(hash=digest("unknown"), with_body=with_body)

    assert serve_block(request, forked().chain) == Refusal(ResponseStatus.NOT_FOUND)


def test_node_without_bodies_names_it() -> None:
    chain = light_chain(genesis(policy=POLICY))
    request = BlockRequest(hash=chain.head.hash, with_body=True)

    assert serve_block(request, chain) == Refusal(ResponseStatus.BODIES_NOT_STORED)


def test_pruned_body_is_another_error_than_an_unknown_block() -> None:
    known = forked()
    view = TamperedView(known.chain, without_body=frozenset({known.at(1)}))

    assert serve_block(BlockRequest(hash=known.at(1), with_body=True), view) == Refusal(
        ResponseStatus.PRUNED
    )
