"""Macro blocks onto the chain without what lies between them, inside one store transaction.

    number <= macro head         -> Known or Ignored
    breaks a rule                -> InvalidBlock
    else                         -> the new macro head          -> Extended

    E --- ... --- C --- b --- b       before: head above the macro head C
    E --- ... --- C ................. E' ................. C'     after E' and C'

Only where there is no state. A quorum of an epoch's validators signs a macro block, and an election
block names the validators of the next epoch: that chain of signatures, from genesis on, is all that
is needed to know the newest macro block. Parent, seed and punished slots of a macro block hang from
its hash and are not checked again. What the old macro head's batch holds is deleted: a part of a
batch that is not the current one is of no use.
"""

from node.blocks.block import Block
from node.blocks.header import MacroHeader
from node.blocks.justification import QuorumSignature
from node.blocks.slots import draw_validators
from node.blocks.verify import BatchRules, verify_alone
from node.chain.block_store import (
    delete_block,
    has_block,
    hashes_between,
    load_block,
    save_block,
    set_main,
    unset_main,
)
from node.chain.head import ChainHead
from node.chain.pruning import prune
from node.chain.quorums import QuorumChecks
from node.chain.results import (
    BlockError,
    ChainEvent,
    EpochFinalized,
    Finalized,
    InvalidBlock,
    Pushed,
    PushOutcome,
    PushResult,
)
from node.chain.settings import ChainSettings
from node.crypto import vrf
from node.crypto.seeds import entropy
from node.storage.store import Writer
from protocols.types import Hash32, Height


class Adopter:
    """A transaction that adopts macro blocks. What it has learnt counts once committed."""

    def __init__(
        self,
        settings: ChainSettings,
        writer: Writer,
        head: ChainHead,
        now_ms: int,
        quorums: QuorumChecks,
    ) -> None:
        self._settings = settings
        self._writer = writer
        self._now_ms = now_ms
        self._quorums = quorums
        self.head = head
        """The head as this transaction has it."""
        self.added: dict[Hash32, Block] = {}
        """The macro blocks that it has stored, without bodies. Nobody asks for others soon."""
        self.deleted: set[Hash32] = set()

    def _is_closed(self, macro: Block) -> Pushed | None:
        """Say so of a block that is not above our macro head."""
        if macro.number > self.head.macro.number:
            return None
        is_known = has_block(self._writer, macro.hash)
        return Pushed(PushOutcome.KNOWN if is_known else PushOutcome.IGNORED)


class MacroAdopter(Adopter):
    """Adopts macro blocks without what lies between them."""

    def adopt(self, block: Block, *, is_trusted: bool = False) -> PushResult:
        """Adopt one macro block. Unless the result is `Pushed`, nothing has happened.

        Args:
            block: An election block of the epoch after our election head, or a checkpoint in it.
            is_trusted: Take an election block of any epoch without its quorum. Ignored once a
                macro block above genesis is known: from there on everything can be proven.
        """
        closed = self._is_closed(block)
        if closed is not None:
            return closed
        block = block.without_body()
        is_trusted = is_trusted and self.head.macro.number == 0
        error = verify_macro(
            block,
            self.head,
            self._settings,
            now_ms=self._now_ms,
            quorums=None if is_trusted else self._quorums,
        )
        if error is not None:
            return InvalidBlock(error, block.hash)
        return Pushed(PushOutcome.EXTENDED, self._adopt(block))

    def _adopt(self, block: Block) -> tuple[ChainEvent, ...]:
        macro = block.header
        assert isinstance(macro, MacroHeader)
        rejected = self._clear_batch(block)
        save_block(self._writer, block)
        set_main(self._writer, block)
        self.added[block.hash] = block
        self.deleted.discard(block.hash)
        self.head = self.head.with_branch((), block)
        for pruned in prune(self._writer, macro.number, self._settings):
            self.added.pop(pruned, None)
            self.deleted.add(pruned)
        final = Finalized(macro.hash, macro.number, (macro.hash,), rejected)
        if macro.validators is None:
            return (final,)
        return final, EpochFinalized(macro.hash, macro.number)

    def _clear_batch(self, macro: Block) -> tuple[Hash32, ...]:
        """Delete what is above the old macro head; return what is known to be on other branches."""
        first = self.head.macro.number + 1
        end = self._settings.policy.macro_after(self.head.macro.number) + 1
        stored = tuple(hashes_between(self._writer, first, end))
        known_from, ancestors = self._ancestors(macro)
        for number, block_hash in stored:
            delete_block(self._writer, number, block_hash)
            unset_main(self._writer, number)
            self.deleted.add(block_hash)
        return tuple(
            block_hash
            for number, block_hash in stored
            if number >= known_from and block_hash not in ancestors
        )

    def _ancestors(self, macro: Block) -> tuple[Height, frozenset[Hash32]]:
        """Return the stored blocks below a macro block, and from which height on they are known."""
        known_from, found = macro.number, set()
        parent = load_block(self._writer, macro.parent_hash)
        while parent is not None and parent.number > self.head.macro.number:
            known_from = parent.number
            found.add(parent.hash)
            parent = load_block(self._writer, parent.parent_hash)
        return known_from, frozenset(found)


def verify_macro(
    block: Block,
    head: ChainHead,
    settings: ChainSettings,
    *,
    now_ms: int,
    quorums: QuorumChecks | None,
) -> BlockError | None:
    """Check a macro block above a macro head by all that does not need the blocks between them.

    Args:
        block: Any block, without its body.
        head: Its election block's validators must have signed, as a quorum.
        settings: Of the chain.
        now_ms: Our clock, milliseconds since the Unix epoch.
        quorums: Checks that it is signed. None for an election block of any epoch that is taken on
            trust: nobody need have signed it.
    """
    is_trusted = quorums is None
    rules = settings.rules_above(head)
    error = verify_alone(block, rules, now_ms=now_ms, with_body=False)
    if error is not None:
        return error
    header = block.header
    if not isinstance(header, MacroHeader):
        return BlockError.WRONG_TYPE
    if is_trusted and header.validators is None:
        return BlockError.WRONG_VALIDATORS
    error = None if is_trusted else _check_place(header, head.election, rules)
    error = error or _check_content(header, head.macro, rules) or _check_round(block)
    if error is not None or quorums is None or quorums.has_quorum(block, rules):
        return error
    return BlockError.NO_QUORUM


def _check_place(
    header: MacroHeader, election: MacroHeader, rules: BatchRules
) -> BlockError | None:
    """Check that our validators are those who sign at this height."""
    if header.parent_election != rules.election:
        return BlockError.WRONG_PARENT_ELECTION
    last = rules.policy.election_after(election.number)
    return BlockError.WRONG_NUMBER if header.number > last else None


def _check_content(
    header: MacroHeader, before: MacroHeader, rules: BatchRules
) -> BlockError | None:
    """Check what can be checked of a macro header without the blocks below it.

    Producers of later blocks are found with its seed and its punished slots: a quorum that cannot
    be trusted, after an election block that was taken on trust, must not break that.
    """
    if header.timestamp < before.timestamp:
        return BlockError.WRONG_TIMESTAMP
    if vrf.proof_to_hash(header.seed) is None:
        return BlockError.WRONG_SEED
    if header.validators is None:
        are_slots = header.punished.bits >> rules.policy.slots == 0
        return None if are_slots else BlockError.WRONG_PUNISHED_SET
    if header.punished.bits:
        return BlockError.WRONG_PUNISHED_SET
    elected = draw_validators(rules.candidates, entropy(header.seed), rules.policy.slots)
    return None if header.validators == elected.members else BlockError.WRONG_VALIDATORS


def _check_round(block: Block) -> BlockError | None:
    header, proof = block.header, block.justification
    assert isinstance(header, MacroHeader)
    assert isinstance(proof, QuorumSignature)
    return BlockError.WRONG_ROUND if proof.round < header.round else None
