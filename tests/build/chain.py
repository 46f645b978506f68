"""Chains for tests: real blocks that every node accepts, made with all validators' keys.

A builder owns a full chain in memory and makes the next block on top of it. What it has made is in
`blocks`, genesis left out, ready to be pushed to the chain under test. `fork_from` gives a second
builder that goes on from an earlier block; its blocks differ from the first one's by their extra
data.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count
from typing import Any, Self

from node.accounts.transaction import Transaction
from node.blocks.block import Block
from node.blocks.body import Body, EquivocationProof
from node.blocks.header import Header, MacroHeader, MicroHeader
from node.blocks.justification import ProducerSignature, QuorumSignature, SkipProof
from node.blocks.signing import precommit_message, skip_message
from node.blocks.validators import SignerSet, Validators
from node.chain.chain import Chain
from node.chain.genesis import Genesis
from node.chain.results import Pushed, PushOutcome, PushResult
from node.chain.retention import Retention
from node.crypto import bls
from node.crypto.bls import KeyCache
from node.crypto.seeds import next_seed
from node.keys import NodeKeys
from node.storage.memory import MemoryStore
from node.storage.store import Store, Table
from protocols.types import Hash32, Height
from tests.build.clock import FixedClock
from tests.build.keys import genesis as default_genesis
from tests.build.keys import keys_of
from tests.build.turns import next_owner

KeysOf = Callable[[Validators], Sequence[NodeKeys]]
"""Finds the secrets of an epoch's validators, in their order."""

KEY_CACHE = KeyCache()
"""One for all tests: decoded keys are facts."""


def open_chain(
    genesis: Genesis,
    *,
    store: Store | None = None,
    retention: Retention = Retention.ALL,
    keeps_state: bool = True,
    clock: FixedClock | None = None,
) -> Chain:
    """Open a chain over a new memory store, or over the given one."""
    return Chain.open(
        store or MemoryStore(),
        genesis,
        retention=retention,
        keeps_state=keeps_state,
        clock=clock or FixedClock(),
        key_cache=KEY_CACHE,
    )


def light_chain(genesis: Genesis, *, store: Store | None = None) -> Chain:
    """Open a chain that keeps neither bodies nor state, as Light and Pico do."""
    return open_chain(genesis, store=store, retention=Retention.BATCH, keeps_state=False)


def push_one(chain: Chain, block: Block) -> PushResult:
    """Push a single block."""
    (result,) = chain.push((block,))
    return result


def contents(store: Store) -> dict[Table, tuple[tuple[bytes, bytes], ...]]:
    """Return everything that a store holds, to compare it byte by byte."""
    with store.read() as reader:
        return {table: tuple(reader.scan(table)) for table in Table}


OLD_STATES = frozenset({Table.DIFFS, Table.OLD_ACCOUNTS, Table.OLD_BRANCHES})
"""Tables of what blocks have changed in the state. They are pruned in groups of blocks."""


def contents_now(store: Store) -> dict[Table, tuple[tuple[bytes, bytes], ...]]:
    """Return what `contents` does without older states: adopted batches bring none of them."""
    rows = contents(store)
    rows[Table.META] = tuple(row for row in rows[Table.META] if row[0] != b"oldest_state")
    return {table: kept for table, kept in rows.items() if table not in OLD_STATES}


class ChainBuilder:
    """Makes blocks on top of one branch.

    Args:
        genesis: Its validators' keys are known to `keys_of`.
        keys_of: Those of `tests.build.keys` unless told otherwise.
    """

    def __init__(
        self, genesis: Genesis | None = None, *, keys_of: KeysOf = keys_of, mark: bytes = b""
    ) -> None:
        self.genesis = genesis or default_genesis()
        self.chain = open_chain(self.genesis)
        self.blocks: list[Block] = []
        """All blocks of this branch above genesis, ascending, with bodies."""
        self._keys_of = keys_of
        self._mark = mark
        self._forks = count(1)

    @property
    def head(self) -> Header:
        """Newest block of this branch."""
        return self.chain.head

    @property
    def next_height(self) -> Height:
        """Height of the block to come."""
        return self.head.number + 1

    def extend(
        self, blocks: int = 1, transactions: Sequence[Sequence[Transaction]] = ()
    ) -> tuple[Block, ...]:
        """Add that many blocks, each of the kind that its height asks for.

        Args:
            blocks: How many.
            transactions: For the first, second, ... micro block; the others are empty.
        """
        waiting = list(transactions)
        made = []
        for _ in range(blocks):
            if self.chain.policy.is_macro(self.next_height):
                made.append(self.macro())
            else:
                made.append(self.micro(waiting.pop(0) if waiting else ()))
        return tuple(made)

    def micro(
        self,
        transactions: Sequence[Transaction] = (),
        *,
        timestamp: int | None = None,
        equivocation_proofs: Sequence[EquivocationProof] = (),
    ) -> Block:
        """Add a micro block, signed by the slot owner."""
        return self.add(self.make_micro(transactions, timestamp, equivocation_proofs))

    def skip(self) -> Block:
        """Add a skip block, signed by all validators."""
        return self.add(self.make_skip())

    def macro(self, *, round_: int = 0, voted_round: int | None = None) -> Block:
        """Add a checkpoint or election block, proposed in one round and voted for there or later.

        All validators sign it.
        """
        return self.add(self.make_macro(round_=round_, voted_round=voted_round))

    def make_micro(
        self,
        transactions: Sequence[Transaction] = (),
        timestamp: int | None = None,
        equivocation_proofs: Sequence[EquivocationProof] = (),
    ) -> Block:
        """Make what `micro` adds without adding it."""
        header, body = self.chain.propose_micro(
            next_seed(self._producer.signing, self.head.seed),
            self._on_time if timestamp is None else timestamp,
            transactions,
            self._mark,
            equivocation_proofs=equivocation_proofs,
        )
        assert len(body.transactions) == len(transactions), "a transaction cannot be included"
        return self.signed_micro(header, body)

    def make_skip(self) -> Block:
        """Make what `skip` adds without adding it."""
        return self.signed_skip(*self.chain.propose_skip())

    def make_macro(self, *, round_: int = 0, voted_round: int | None = None) -> Block:
        """Make what `macro` adds without adding it."""
        proposer = self._members[next_owner(self.chain, round_)]
        seed = next_seed(proposer.signing, self.head.seed)
        header, body = self.chain.propose_macro(round_, seed, self._on_time, self._mark)
        return self.signed_macro(header, body, voted_round)

    def signed_micro(self, header: MicroHeader, body: Body | None) -> Block:
        """Sign any header with the key of the next slot owner."""
        return Block(header, ProducerSignature(self._producer.signing.sign(header.hash)), body)

    def signed_skip(self, header: MicroHeader, body: Body | None) -> Block:
        """Sign the skipping of the next slot owner, whatever the header says."""
        message = skip_message(header.network, header.number, self.head.seed)
        return Block(header, SkipProof(*self.signed_by_all(message)), body)

    def signed_macro(
        self, header: MacroHeader, body: Body | None, voted_round: int | None = None
    ) -> Block:
        """Sign any macro header with the votes of all validators."""
        round_ = header.round if voted_round is None else voted_round
        message = precommit_message(header.network, header.number, round_, header.hash)
        return Block(header, QuorumSignature(round_, *self.signed_by_all(message)), body)

    def signed_by_all(self, message: bytes) -> tuple[bytes, SignerSet]:
        """Return the votes of all validators for a message, and who they are."""
        signatures = [who.voting.sign(message) for who in self._members]
        return bls.aggregate(signatures), SignerSet.of(range(len(signatures)))

    def changed(self, block: Block, **fields: Any) -> Block:
        """Return a block for the next height with other header fields, signed again.

        A `body` among the fields replaces the body, and the body root too unless that is given.
        """
        body = fields.pop("body", block.body)
        if body is not block.body and body is not None:
            fields = {"body_root": body.root} | fields
        header, justification = block.header, block.justification
        if isinstance(header, MacroHeader):
            assert isinstance(justification, QuorumSignature)
            return self.signed_macro(replace(header, **fields), body, justification.round)
        if block.is_skip:
            return self.signed_skip(replace(header, **fields), body)
        return self.signed_micro(replace(header, **fields), body)

    def add(self, block: Block) -> Block:
        """Add a block that extends this branch."""
        result = push_one(self.chain, block)
        assert isinstance(result, Pushed), result
        assert result.outcome is PushOutcome.EXTENDED
        self.blocks.append(block)
        return block

    def fork_from(self, block: Hash32) -> Self:
        """Return a builder that goes on from a block of this branch, or from genesis."""
        mark = self._mark + bytes((next(self._forks),))
        fork = type(self)(self.genesis, keys_of=self._keys_of, mark=mark)
        while fork.head.hash != block:
            fork.add(self.blocks[fork.head.number])
        return fork

    def block_at(self, height: Height) -> Block:
        """Return a block of this branch by its height above 0."""
        return self.blocks[height - 1]

    def push_all(self, chain: Chain) -> tuple[PushResult, ...]:
        """Push the whole branch to another chain."""
        return chain.push(self.blocks)

    @property
    def _members(self) -> Sequence[NodeKeys]:
        return self._keys_of(self.chain.validators)

    @property
    def _producer(self) -> NodeKeys:
        return self._members[next_owner(self.chain)]

    @property
    def _on_time(self) -> int:
        return self.head.timestamp + self.chain.policy.block_separation_ms
