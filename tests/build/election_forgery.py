"""Election blocks of somebody who has none of the validators' keys.

    G --- E1 --- E2 --- E3      signed by the validators of the one before
    +---- E1' -- E2' -- E3'     all that needs no signature is right

The genesis block is the same, so E1' has no quorum and nobody who verifies it is deceived. Whoever
takes E3' on trust sees nothing wrong with it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from node.blocks.block import Block
from node.blocks.header import MacroHeader
from node.blocks.justification import QuorumSignature
from node.blocks.signing import precommit_message
from node.blocks.slots import Candidate, draw_validators
from node.blocks.validators import SignerSet
from node.crypto import bls
from node.crypto.seeds import entropy, next_seed
from node.keys import NodeKeys
from protocols.messages.head import HeadResponse
from protocols.messages.macro_chain import Checkpoint
from tests.build.blocks import digest
from tests.build.chain import ChainBuilder

FORGER = NodeKeys.derive("election forgery", "forger")

FORGERS = (
    Candidate(
        address=FORGER.reward_address,
        signing_key=FORGER.signing.public_key,
        voting_key=FORGER.voting.public_key,
        stake=1000,
    ),
)
"""Validators that nobody has named in a genesis."""


@dataclass(frozen=True, slots=True)
class ForgedChain:
    """Macro blocks that hang together, from genesis on."""

    elections: tuple[Block, ...]
    checkpoint: Block | None = None

    @property
    def blocks(self) -> tuple[Block, ...]:
        """All of them, ascending."""
        return self.elections if self.checkpoint is None else (*self.elections, self.checkpoint)

    @property
    def claimed_checkpoint(self) -> Checkpoint | None:
        """The checkpoint as it is claimed."""
        newest = self.checkpoint
        return None if newest is None else Checkpoint(newest.number, newest.hash)

    @property
    def head(self) -> HeadResponse:
        """What its owner says of its head."""
        macro, election = self.blocks[-1], self.elections[-1]
        return HeadResponse(
            number=macro.number,
            hash=macro.hash,
            macro_number=macro.number,
            macro_hash=macro.hash,
            election_number=election.number,
            election_hash=election.hash,
        )


def forged_chain(
    builder: ChainBuilder,
    epochs: int,
    *,
    candidates: Sequence[Candidate] | None = None,
    has_checkpoint: bool = False,
) -> ForgedChain:
    """Forge the macro blocks of a chain anew, with seeds of the forger's choice.

    Args:
        builder: The true chain; it must be long enough.
        epochs: How many elections.
        candidates: Who may be elected, if not those of genesis.
        has_checkpoint: Add the checkpoint after the last election.
    """
    policy = builder.chain.policy
    who = builder.genesis.candidates if candidates is None else candidates
    parent = builder.genesis.block()
    elections: list[Block] = []
    for number in range(1, epochs + 1):
        true = builder.block_at(number * policy.epoch_length)
        seed = next_seed(FORGER.signing, parent.header.seed)
        members = draw_validators(who, entropy(seed), policy.slots).members
        parent = _signed(_above(parent, true, seed=seed, validators=members))
        elections.append(parent)
    if not has_checkpoint:
        return ForgedChain(tuple(elections))
    true = builder.block_at(parent.number + policy.batch_length)
    seed = next_seed(FORGER.signing, parent.header.seed)
    return ForgedChain(tuple(elections), _signed(_above(parent, true, seed=seed)))


def _above(parent: Block, true: Block, **fields: object) -> MacroHeader:
    assert isinstance(true.header, MacroHeader)
    linked = replace(true.header, parent_election=parent.hash, parent_hash=digest("forged"))
    return replace(linked, **fields)  # type: ignore[arg-type]


def _signed(header: MacroHeader) -> Block:
    """Sign with the forger's key alone, as if it were all validators."""
    message = precommit_message(header.network, header.number, header.round, header.hash)
    votes = bls.aggregate([FORGER.voting.sign(message)])
    return Block(header, QuorumSignature(header.round, votes, SignerSet.of([0])), None)
