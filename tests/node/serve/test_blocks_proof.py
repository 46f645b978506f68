"""Blocks-proof requests: the headers that are sent are proven by an election block."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from node.blocks.header import MacroHeader
from node.chain.blocks_proof import verify_blocks_proof
from node.chain.chain import Chain
from node.serve.blocks_proof import serve_blocks_proof
from protocols.limits import MAX_RESPONSE_BYTES
from protocols.messages.blocks_proof import BlocksProofRequest, BlocksProofResponse, ProvenBlock
from protocols.status import Refusal, ResponseStatus
from protocols.types import Hash32, Height
from tests.build.blocks import digest
from tests.build.chain import KEY_CACHE
from tests.node.serve.chains import TamperedView, epochs


def ask(
    election_head: Hash32,
    *numbers: Height,
    chain: Chain | TamperedView | None = None,
    max_bytes: int = MAX_RESPONSE_BYTES,
) -> BlocksProofResponse | Refusal:
    request = BlocksProofRequest(election_head=election_head, numbers=numbers)
    return serve_blocks_proof(request, chain or epochs().chain, max_bytes=max_bytes)


def header_at(height: int) -> MacroHeader:
    known = epochs()
    block = known.builder.block_at(height) if height else known.builder.genesis.block()
    assert isinstance(block.header, MacroHeader)
    return block.header


def proven(
    response: BlocksProofResponse, election_head: int, *numbers: Height
) -> list[Hash32] | None:
    headers = verify_blocks_proof(
        response, numbers, header_at(election_head), epochs().chain.policy, KEY_CACHE
    )
    return None if headers is None else [header.hash for header in headers]


@pytest.mark.parametrize(
    ("election_head", "elections", "numbers"),
    [
        (24, [12, 0], [1]),
        (24, [12, 0], [2, 4, 11, 12]),
        (24, [12], [13, 24]),
        (24, [12], [23, 16]),
        (24, [], [25]),
        (24, [], [28, 26]),
        (24, [12, 0], [28, 1, 14]),
        (12, [0], [9]),
        (12, [], [24, 13]),
        (0, [], [12, 5]),
    ],
)
def test_blocks_are_proven(election_head: int, elections: list[int], numbers: list[Height]) -> None:
    known = epochs()
    response = ask(known.at(election_head), *numbers)

    assert isinstance(response, BlocksProofResponse)
    assert response.elections == tuple(header_at(height).encoded for height in elections)
    assert proven(response, election_head, *numbers) == [known.at(number) for number in numbers]
    assert BlocksProofResponse.decode(response.encode()) == response


@pytest.mark.parametrize("election_head", [epochs().at(28), epochs().at(25), digest("unknown")])
def test_only_election_blocks_of_ours_prove(election_head: Hash32) -> None:
    assert ask(election_head, 1) == Refusal(ResponseStatus.NOT_A_MACRO_BLOCK)


@pytest.mark.parametrize(
    ("election_head", "number"), [(24, 29), (24, 2**32 - 1), (12, 25), (0, 13)]
)
def test_blocks_that_it_cannot_prove_are_out_of_range(election_head: int, number: int) -> None:
    refusal = Refusal(ResponseStatus.OUT_OF_RANGE)

    assert ask(epochs().at(election_head), number) == refusal
    assert ask(epochs().at(election_head), 1, number) == refusal


@pytest.mark.parametrize("missing", [0, 12, 16, 15, 14])
def test_what_is_not_stored_is_named(missing: int) -> None:
    known = epochs()
    view = TamperedView(known.chain, missing=frozenset({known.at(missing)}))

    assert ask(known.at(24), 1, 14, chain=view) == Refusal(ResponseStatus.PRUNED)


def test_a_light_node_proves_what_it_has() -> None:
    known = epochs()
    light = known.light()

    assert ask(known.at(24), 28, chain=light) == ask(known.at(24), 28)
    assert ask(known.at(24), 12, chain=light) == ask(known.at(24), 12)
    assert ask(known.at(24), 11, chain=light) == Refusal(ResponseStatus.PRUNED)


def test_a_proof_that_is_too_large_is_named() -> None:
    known = epochs()
    size = len(ask(known.at(24), 1, 14).encode())

    assert ask(known.at(24), 1, 14, max_bytes=size - 1) == Refusal(ResponseStatus.PROOF_TOO_LARGE)
    response = ask(known.at(24), 1, 14, max_bytes=size + 100)
    assert isinstance(response, BlocksProofResponse)


def test_a_proof_of_too_many_links_is_refused_before_they_are_read() -> None:
    """Sixteen neighbouring numbers of a long batch would be megabytes for 54 bytes."""
    known = epochs()
    request = BlocksProofRequest(election_head=known.at(24), numbers=(1, 2, 14))
    whole = serve_blocks_proof(request, known.chain)
    assert isinstance(whole, BlocksProofResponse)
    links = sum(len(block.links) for block in whole.blocks)

    assert serve_blocks_proof(request, known.chain, max_links=links) == whole
    refused = serve_blocks_proof(request, known.chain, max_links=links - 1)
    assert refused == Refusal(ResponseStatus.PROOF_TOO_LARGE)


def damaged(content: bytes) -> Iterator[bytes]:
    """Yield some byte strings that differ."""
    for at in (0, 2, len(content) // 2, len(content) - 1):
        yield content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
    yield content[:-1]
    yield content + b"\x00"


def changed_lists(items: tuple[bytes, ...], junk: bytes) -> Iterator[tuple[bytes, ...]]:
    """Yield some lists that differ: fewer, more, others, in another order."""
    for at, item in enumerate(items):
        yield items[:at] + items[at + 1 :]
        yield (*items[:at], item, *items[at:])
        for bad in (*damaged(item), junk):
            yield (*items[:at], bad, *items[at + 1 :])
    yield (*items, junk)
    yield (junk, *items)
    if len(items) > 1:
        yield items[::-1]


def changed_blocks(block: ProvenBlock, junk: bytes) -> Iterator[ProvenBlock]:
    for bad in (*damaged(block.header), junk, header_at(24).encoded):
        yield replace(block, header=bad)
    for bad in (*damaged(block.justification), junk):
        yield replace(block, justification=bad)
    for links in changed_lists(block.links, junk):
        yield replace(block, links=links)


def changed(true: BlocksProofResponse) -> Iterator[BlocksProofResponse]:
    """Yield answers that differ from a true one in one thing."""
    junk = epochs().builder.block_at(29).header.encoded
    for elections in changed_lists(true.elections, junk):
        yield replace(true, elections=elections)
    blocks = true.blocks
    for at, block in enumerate(blocks):
        yield replace(true, blocks=blocks[:at] + blocks[at + 1 :])
        yield replace(true, blocks=(*blocks[:at], block, *blocks[at:]))
        for bad in changed_blocks(block, junk):
            yield replace(true, blocks=(*blocks[:at], bad, *blocks[at + 1 :]))
    yield replace(true, blocks=blocks[::-1])


def test_whatever_is_changed_is_noticed() -> None:
    true = ask(epochs().at(24), 14, 3, 28)
    assert isinstance(true, BlocksProofResponse)
    assert proven(true, 24, 14, 3, 28) is not None

    answers = list(changed(true))
    assert len(answers) > 60
    for answer in answers:
        assert proven(answer, 24, 14, 3, 28) is None


@pytest.mark.parametrize(
    "numbers", [[14, 3], [14, 3, 27], [3, 14, 28], [15, 3, 28], [14, 3, 28, 28]]
)
def test_an_answer_to_another_question_is_noticed(numbers: list[Height]) -> None:
    true = ask(epochs().at(24), 14, 3, 28)
    assert isinstance(true, BlocksProofResponse)

    assert proven(true, 24, *numbers) is None
    assert proven(true, 12, 14, 3, 28) is None


def test_signatures_of_another_block_prove_nothing() -> None:
    """Not even those of the same validators."""
    true = ask(epochs().at(24), 14, 20)
    assert isinstance(true, BlocksProofResponse)
    first, second = true.blocks
    swapped = replace(
        true,
        blocks=(
            replace(first, justification=second.justification),
            replace(second, justification=first.justification),
        ),
    )

    assert proven(swapped, 24, 14, 20) is None


def test_more_than_it_takes_is_noticed() -> None:
    """True headers all, but one answer has one form."""
    true = ask(epochs().at(24), 14)
    longer, other = ask(epochs().at(24), 9), ask(epochs().at(24), 20)
    assert isinstance(true, BlocksProofResponse)
    assert isinstance(longer, BlocksProofResponse)
    assert isinstance(other, BlocksProofResponse)
    blocks = epochs().builder.blocks
    links = tuple(block.header.encoded for block in reversed(blocks[13:19]))

    assert proven(replace(true, elections=longer.elections), 24, 14) is None
    way_round = replace(other.blocks[0], links=links)
    assert proven(replace(true, blocks=(way_round,)), 24, 14) is None


def test_blocks_above_another_election_block_are_noticed() -> None:
    """A fork keeps the seeds, so the validators of both election blocks are the same."""
    fork = epochs().builder.fork_from(epochs().at(11))
    fork.extend(13)
    own = ask(fork.block_at(24).hash, 14, chain=fork.chain)
    true = ask(epochs().at(24), 14)
    assert isinstance(own, BlocksProofResponse)
    assert isinstance(true, BlocksProofResponse)
    assert true.elections != own.elections

    assert proven(replace(own, elections=true.elections), 24, 14) is None
