"""Growing a chain without a network, by whoever has the keys of all its validators.

For chains that are there to be synchronised: every rule holds on them, as if validators had made
them, but nothing is verified again while they grow.
"""

from collections.abc import Callable, Mapping, Sequence

from node.accounts.transaction import Transaction
from node.blocks.block import Block
from node.blocks.body import EMPTY_MICRO_BODY, Body, MicroBody
from node.blocks.header import Header
from node.blocks.justification import ProducerSignature, QuorumSignature
from node.blocks.signing import precommit_message
from node.blocks.validators import SignerSet
from node.blocks.verify import BatchRules
from node.chain.block_store import save_block, set_main
from node.chain.chain import Chain
from node.chain.execution import Executed, execute
from node.chain.finality import finalize
from node.chain.head import ChainHead
from node.chain.proposals import macro_content, micro_header
from node.chain.punished import Absences
from node.crypto import bls
from node.crypto.seeds import next_seed
from node.keys import NodeKeys
from node.storage.store import Writer
from protocols.types import Height

TransactionsAt = Callable[[Height], Sequence[Transaction]]
"""Returns what the micro block at a height holds: valid there, affordable, not used before."""


class GrowingChain(Chain):
    """A chain that keeps state and is alone with its store. Growing it is not thread-safe."""

    def grow_batch(
        self,
        keys: Mapping[bytes, NodeKeys],
        transactions_at: TransactionsAt,
        *,
        durable: bool = True,
    ) -> None:
        """Add the rest of the batch under way, its macro block included, in one transaction.

        Args:
            keys: Of all validators, by their signing keys.
            transactions_at: What the micro blocks hold.
            durable: Wait until the disk has it.

        Raises:
            StorageError: The disk refused. Nothing has happened.
        """
        assert self.keeps_state
        with self._store.write(durable=durable) as writer:
            grower = _Grower(self._head, self._settings.rules_above(self._head), keys)
            last = self.policy.macro_after(self._head.header.number)
            for number in range(self._head.header.number + 1, last):
                grower.add_micro(writer, tuple(transactions_at(number)))
            grower.add_macro(writer)
            accepted = (*grower.head_below.branch[1:], grower.head.header.hash)
            finalize(writer, grower.head.macro, grower.head_below, accepted, self._settings)
            self._note_head(writer, grower.head)
        self._recent.replace(added=(), deleted=())
        self._head = grower.head


class _Grower:
    """Adds block after block of one batch in one transaction."""

    def __init__(self, head: ChainHead, rules: BatchRules, keys: Mapping[bytes, NodeKeys]) -> None:
        self.head = head
        self.head_below = head
        """The head before the last block was added."""
        self._rules = rules
        self._keys = keys

    def add_micro(self, writer: Writer, transactions: tuple[Transaction, ...]) -> None:
        """Add a micro block of its slot owner, on time."""
        parent = self.head.header
        body = MicroBody((), transactions) if transactions else EMPTY_MICRO_BODY
        executed = self._execute(writer, body, parent)
        producer = self._producer(parent)
        seed = next_seed(producer.signing, parent.seed)
        header = micro_header(parent, body, executed, seed, self._on_time(parent))
        signature = ProducerSignature(producer.signing.sign(header.hash))
        self._add(writer, Block(header, signature, body), executed)

    def add_macro(self, writer: Writer) -> None:
        """Add the macro block, proposed in the first round and signed by all."""
        parent = self.head.header
        seed = next_seed(self._producer(parent).signing, parent.seed)
        header, body = macro_content(
            writer,
            parent,
            self._rules,
            Absences(),
            round_=0,
            seed=seed,
            timestamp=self._on_time(parent),
        )
        executed = self._execute(writer, body, parent)
        members = self._rules.validators.members
        message = precommit_message(header.network, header.number, 0, header.hash)
        votes = [self._keys[member.signing_key].voting.sign(message) for member in members]
        justification = QuorumSignature(0, bls.aggregate(votes), SignerSet.of(range(len(members))))
        self._add(writer, Block(header, justification, body), executed)

    def _add(self, writer: Writer, block: Block, executed: Executed) -> None:
        executed.write(writer, block)
        save_block(writer, block)
        set_main(writer, block)
        self.head_below, self.head = self.head, self.head.with_branch(self.head.branch, block)

    def _execute(self, writer: Writer, body: Body, parent: Header) -> Executed:
        unrewarded = Absences().unrewarded(self._rules)
        executed = execute(writer, body, parent, self._rules, unrewarded=unrewarded)
        assert isinstance(executed, Executed), f"transactions that cannot be included: {executed}"
        return executed

    def _producer(self, parent: Header) -> NodeKeys:
        owner = self._rules.slot_owner(parent.seed, parent.number + 1)
        return self._keys[owner.signing_key]

    def _on_time(self, parent: Header) -> int:
        return parent.timestamp + self._rules.policy.block_separation_ms
