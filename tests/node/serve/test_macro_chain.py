"""Macro-chain requests."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from node.blocks.header import Header
from node.chain.chain import Chain
from node.serve.macro_chain import serve_macro_chain
from protocols.messages.macro_chain import Checkpoint, MacroChainRequest, MacroChainResponse
from protocols.status import Refusal, ResponseStatus
from protocols.types import Hash32
from tests.build.blocks import digest
from tests.build.chain import ChainBuilder, light_chain
from tests.node.serve.chains import TamperedView, epochs, forked


def ask(
    chain: Chain | TamperedView, *locators: Hash32, max_epochs: int = 1000
) -> MacroChainResponse | Refusal:
    return serve_macro_chain(MacroChainRequest(locators=locators, max_epochs=max_epochs), chain)


def answer(*heights: int, checkpoint: int | None = None) -> MacroChainResponse:
    known = epochs()
    newest = None if checkpoint is None else Checkpoint(checkpoint, known.at(checkpoint))
    return MacroChainResponse(epochs=tuple(map(known.at, heights)), checkpoint=newest)


@pytest.mark.parametrize(
    ("locator", "expected"),
    [(0, [12, 24]), (4, [12, 24]), (8, [12, 24]), (12, [24]), (20, [24]), (24, [])],
)
def test_the_elections_after_the_locator_and_the_checkpoint(
    locator: int, expected: list[int]
) -> None:
    known = epochs()

    assert ask(known.chain, known.at(locator)) == answer(*expected, checkpoint=28)


def test_a_light_node_answers_from_any_election_block() -> None:
    known = epochs()
    light = known.light()

    assert ask(light, known.at(0)) == answer(12, 24, checkpoint=28)
    assert ask(light, known.at(12)) == answer(24, checkpoint=28)
    assert ask(light, known.at(24)) == answer(checkpoint=28)


def test_whoever_has_the_newest_macro_block_gets_nothing() -> None:
    known = epochs()

    assert ask(known.chain, known.at(28), known.at(24)) == answer()


def test_no_checkpoint_where_the_newest_macro_block_is_an_election_block() -> None:
    known = forked()
    response = ask(known.chain, known.genesis)

    assert known.chain.macro_head.number == 10
    assert response == MacroChainResponse(epochs=(known.at(10),), checkpoint=None)
    assert ask(known.chain, known.at(10)) == MacroChainResponse(epochs=(), checkpoint=None)


def test_no_checkpoint_while_epochs_are_left_out() -> None:
    known = epochs()

    assert ask(known.chain, known.at(0), max_epochs=1) == answer(12)
    assert ask(known.chain, known.at(0), max_epochs=2) == answer(12, 24, checkpoint=28)
    assert ask(known.chain, known.at(12), max_epochs=1) == answer(24, checkpoint=28)


def test_the_first_known_locator_counts() -> None:
    known = epochs()
    unknown, micro = digest("unknown"), known.at(29)

    assert ask(known.chain, unknown, micro, known.at(12), known.at(0)) == answer(24, checkpoint=28)


def test_unknown_locators_are_named() -> None:
    known = epochs()
    refusal = Refusal(ResponseStatus.UNKNOWN_LOCATORS)

    assert ask(known.chain, digest("unknown")) == refusal
    assert ask(known.chain, known.at(29)) == refusal


def test_a_stored_macro_block_that_is_not_ours_is_no_locator() -> None:
    """Nothing stores one today; an answer from there would lead to another chain."""
    known = epochs()
    other = digest("other")
    view = _Misplaced(known.chain, {other: known.at(12)})

    assert ask(view, other) == Refusal(ResponseStatus.UNKNOWN_LOCATORS)


def test_a_node_that_trusted_its_first_election_block_knows_none_before() -> None:
    known = epochs()
    pico = light_chain(known.builder.genesis)
    pico.adopt_macro_blocks([known.builder.block_at(24)], is_trusted=True)
    assert pico.macro_head.number == 24

    assert ask(pico, known.at(0)) == Refusal(ResponseStatus.UNKNOWN_LOCATORS)
    assert ask(pico, known.at(12), known.at(0)) == Refusal(ResponseStatus.UNKNOWN_LOCATORS)
    assert ask(pico, known.at(24)) == answer()


def test_a_light_node_that_adopted_macro_blocks_serves_them() -> None:
    known = epochs()
    light = light_chain(known.builder.genesis)
    light.adopt_macro_blocks([known.builder.block_at(height) for height in (12, 24, 28)])

    assert ask(light, known.at(0)) == answer(12, 24, checkpoint=28)
    assert ask(light, known.at(8), known.at(0)) == answer(12, 24, checkpoint=28)
    assert ask(light, known.at(24)) == answer(checkpoint=28)


def test_blocks_pushed_meanwhile_do_not_mix_two_answers() -> None:
    builder = ChainBuilder()
    builder.extend(12)
    response = ask(_Growing(builder.chain, builder), builder.genesis.hash)

    assert builder.head.number == 28
    assert response == MacroChainResponse(epochs=(builder.block_at(12).hash,), checkpoint=None)


class _Misplaced(TamperedView):
    """A chain that has stored some blocks under hashes that its index does not know."""

    def __init__(self, chain: Chain, aliases: dict[Hash32, Hash32]) -> None:
        super().__init__(chain)
        self.aliases = aliases

    def header(self, block: Hash32) -> Header | None:
        return super().header(self.aliases.get(block, block))


class _Growing(TamperedView):
    """A chain that grows by an epoch and more right after it was opened."""

    def __init__(self, chain: Chain, builder: ChainBuilder) -> None:
        super().__init__(chain)
        self.builder = builder

    @contextmanager
    def snapshot(self) -> Iterator[Any]:
        with self.chain.snapshot() as snapshot:
            self.builder.extend(16)
            yield snapshot
