"""Subtrees requests: each node proves itself from the target's state root down."""

import pytest

from node.accounts.pages import ROOT
from node.accounts.subtrees import Branch, Page, open_root, open_subtree
from node.chain.chain import Chain
from node.serve.subtrees import serve_subtrees
from protocols.messages.subtrees import SubtreesRequest, SubtreesResponse
from protocols.status import Refusal, ResponseStatus
from protocols.types import Hash32
from tests.build.blocks import digest
from tests.node.serve.states import LENGTH, OLDEST, states


def ask(
    target: Hash32, places: tuple[bytes, ...] = (ROOT.key,), chain: Chain | None = None
) -> SubtreesResponse | Refusal:
    return serve_subtrees(SubtreesRequest(target=target, places=places), chain or states().chain)


@pytest.mark.parametrize("height", [OLDEST, 17, LENGTH])
def test_all_nodes_of_every_state_that_is_kept_are_sent(height: int) -> None:
    header, found = states().header(height), dict[bytes, bytes]()
    response = ask(header.hash)
    assert isinstance(response, SubtreesResponse)
    assert response.nodes is not None
    root = open_root(header.state_root, response.nodes[0])
    assert isinstance(root, Branch)

    below = tuple(ROOT.child(nibble) for nibble in range(16))
    response = ask(header.hash, tuple(place.key for place in below))
    assert isinstance(response, SubtreesResponse)
    assert response.nodes is not None
    for child, node in zip(root.children, response.nodes, strict=True):
        page = open_subtree(child, node)
        assert isinstance(page, Page)
        found.update(page.records)
    assert found == states().accounts[height]
    assert SubtreesResponse.decode(response.encode()) == response


@pytest.mark.parametrize(
    "target",
    [
        states().at(OLDEST - 1),
        states().builder.genesis.hash,
        digest("unknown"),
        states().fork.hash,
    ],
)
def test_for_other_states_there_are_heights_alone(target: Hash32) -> None:
    response = ask(target)
    assert response == SubtreesResponse(oldest=OLDEST, newest=LENGTH, nodes=None)
    assert SubtreesResponse.decode(response.encode()) == response


def test_a_node_without_state_says_so() -> None:
    assert ask(states().at(24), chain=states().light()) == Refusal(ResponseStatus.STATE_NOT_STORED)
