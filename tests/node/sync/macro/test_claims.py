"""What a claim may say, and what only a liar says."""

import pytest

from node.sync.macro.claims import NoClaim, read_claim, targets_of
from node.sync.macro.fetcher import Claim
from node.sync.macro.target import Target
from protocols.messages.macro_chain import MAX_EPOCHS, Checkpoint, MacroChainResponse
from protocols.types import Hash32
from tests.build.macro_sync import BATCH, EPOCH, chain_of, macro_hashes

AT = EPOCH + 2 * BATCH


def some(number: int) -> Hash32:
    return Hash32(number.to_bytes(32, "big"))


def read(*epochs: Hash32, checkpoint: Checkpoint | None = None, pinned: Target | None = None):  # type: ignore[no-untyped-def]
    chain = chain_of(AT).chain
    response = MacroChainResponse(epochs=epochs, checkpoint=checkpoint)
    return read_claim(response, chain, chain.macro_head.number, pinned)


def test_targets_have_the_heights_of_their_epochs() -> None:
    claim = Claim(start=AT, epochs=(some(1), some(2)), checkpoint=Checkpoint(40, some(3)))

    assert targets_of(claim, chain_of(AT).chain.policy) == (
        Target(24, some(1)),
        Target(36, some(2)),
        Target(40, some(3)),
    )


@pytest.mark.parametrize(
    ("epochs", "checkpoint"),
    [
        ((), None),
        ((), Checkpoint(AT, chain_of(AT).block_at(AT).hash)),
        ((), Checkpoint(AT - BATCH, chain_of(AT).block_at(AT - BATCH).hash)),
    ],
)
def test_what_we_have_is_nothing_new(
    epochs: tuple[Hash32, ...], checkpoint: Checkpoint | None
) -> None:
    assert read(*epochs, checkpoint=checkpoint) is NoClaim.NOTHING_NEW


def test_something_above_our_macro_head_is_a_claim() -> None:
    assert read(some(1)) == Claim(start=AT, epochs=(some(1),), checkpoint=None)


def test_another_final_block_than_ours_is_another_chain() -> None:
    assert read(checkpoint=Checkpoint(AT, some(1))) is NoClaim.OTHER_CHAIN


LIES = {
    "too many epochs": (tuple(some(n) for n in range(1, MAX_EPOCHS + 2)), None),
    "one epoch twice": ((some(1), some(1)), None),
    "checkpoint among the epochs": ((some(1),), Checkpoint(28, some(1))),
    "no macro height": ((), Checkpoint(AT + 1, some(1))),
    "an election height": ((), Checkpoint(24, some(1))),
    "an epoch too far": ((), Checkpoint(28, some(1))),
    "below the last epoch": ((some(1),), Checkpoint(AT, some(2))),
    "beyond all heights": ((), Checkpoint(0xFFFF_FFFC, some(2))),
}


@pytest.mark.parametrize("kind", LIES)
def test_lie(kind: str) -> None:
    epochs, checkpoint = LIES[kind]
    assert read(*epochs, checkpoint=checkpoint) is NoClaim.LIE


def test_what_the_chain_has_reached_meanwhile_is_left_out() -> None:
    chain = chain_of(2 * EPOCH + 1).chain
    hashes = macro_hashes(chain_of(3 * EPOCH))
    response = MacroChainResponse(epochs=tuple(hashes), checkpoint=None)

    claim = read_claim(response, chain, 0)

    assert claim == Claim(start=2 * EPOCH, epochs=(hashes[2],), checkpoint=None)


def test_other_election_block_than_the_pinned_one_is_a_lie() -> None:
    assert read(some(1), pinned=Target(24, some(2))) is NoClaim.LIE
    assert read(some(1), pinned=Target(24, some(1))) == Claim(
        start=AT, epochs=(some(1),), checkpoint=None
    )
