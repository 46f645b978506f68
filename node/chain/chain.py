"""The chain of one node: what is stored, what may be pushed, what may be proposed.

Pushes are serialised and change the store in one transaction each. Everything else reads: the head
is one immutable value that is replaced after the commit, lookups use a snapshot of the store.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, Self, TypeAlias

from node.accounts.state_history import begin
from node.accounts.transaction import Transaction
from node.blocks.block import Block
from node.blocks.body import Body, EquivocationProof, MacroBody, MicroBody
from node.blocks.header import Header, MacroHeader, MicroHeader
from node.blocks.justification import ProducerSignature, QuorumSignature
from node.blocks.validators import SignerSet
from node.blocks.verify import BatchRules, Lineage, verify_alone, verify_links
from node.chain.adoption import MacroAdopter
from node.chain.batch_adoption import BatchAdopter
from node.chain.block_operations import BlockOperationQueue
from node.chain.block_store import load_block, save_block, set_main
from node.chain.branches import site_above
from node.chain.engine_hooks import hooks_of
from node.chain.execution import execute_block
from node.chain.fetched import FetchedBatch
from node.chain.genesis import Genesis
from node.chain.head import ChainHead, load_head
from node.chain.proposals import macro_content, micro_content, skip_content
from node.chain.punished import Absences
from node.chain.push import BlockPusher
from node.chain.quorums import QuorumChecks
from node.chain.reset import clear_above_genesis
from node.chain.results import BlockError, Pushed, PushResult
from node.chain.retention import Retention
from node.chain.settings import ChainSettings
from node.chain.state_mode import begin_syncing, executed_header
from node.chain.state_progress import keep_accounts
from node.chain.state_sync import HEAD_KEY, StateSyncChain
from node.clock import WallClock
from node.crypto.bls import KeyCache
from node.errors import DataFolderError, StorageError
from node.storage.store import Reader, Store, Table, Writer
from protocols.types import BLS_SIGNATURE_BYTES, ED25519_SIGNATURE_BYTES, Hash32

BeforeCommit: TypeAlias = Callable[[int, PushResult], None]
"""Called with position and result of each block that was looked at, before the commit."""

_GENESIS_KEY: Final = b"genesis"
_KEEPS_KEY: Final = b"keeps"
_UNSIGNED: Final = ProducerSignature(bytes(ED25519_SIGNATURE_BYTES))


class Chain(StateSyncChain):
    """A chain that can be read, pushed to and proposed for."""

    def __init__(
        self,
        store: Store,
        genesis: Genesis,
        settings: ChainSettings,
        clock: WallClock,
        head: ChainHead,
    ) -> None:
        super().__init__(store, genesis.hash, settings, head)
        self._clock = clock

    @classmethod
    def open(
        cls,
        store: Store,
        genesis: Genesis,
        *,
        retention: Retention,
        keeps_state: bool,
        clock: WallClock,
        key_cache: KeyCache,
        starts_without_state: bool = False,
    ) -> Self:
        """Start from what is stored, or from the genesis block in an empty store.

        Args:
            store: Of this chain alone.
            genesis: Of the network.
            retention: Which final blocks stay stored.
            keeps_state: Whether blocks are executed.
            clock: Ours.
            key_cache: Decoded voting keys.
            starts_without_state: Where the store is empty and the state is kept, begin without one:
                it will be fetched.

        Raises:
            ConfigError: The file of the genesis accounts is missing, or is another one.
            DataFolderError: The store is of another network, keeps something else, or lacks blocks
                that it must have.
        """
        settings = ChainSettings(
            policy=genesis.policy,
            network=genesis.network,
            candidates=genesis.candidates,
            keys=key_cache,
            retention=retention,
            keeps_state=keeps_state,
        )
        with store.read() as reader:
            is_empty = reader.get(Table.META, _GENESIS_KEY) is None
        if is_empty:
            if keeps_state and not starts_without_state:
                genesis.store_accounts(store)
            with store.write() as writer:
                _create(writer, genesis, settings, without_state=starts_without_state)
        with store.read() as reader:
            head = _load(reader, genesis, settings)
        return cls(store, genesis, settings, clock, head)

    def push(
        self, blocks: Sequence[Block], *, before_commit: BeforeCommit | None = None
    ) -> tuple[PushResult, ...]:
        """Push blocks in order, in one transaction; stop after the first that is not `Pushed`.

        May take long: it verifies signatures and executes. Called from one thread at a time, which
        may not be one that `before_commit` has to wait for. If `before_commit` raises, nothing has
        happened.

        The commit waits for the disk when a macro block is among the blocks. Without, it is still
        atomic and survives a kill of the process; only a power cut may take back micro blocks,
        which are not final and which other nodes have.

        Raises:
            StorageError: The disk refused. Nothing has happened.
        """
        results: list[PushResult] = []
        is_durable = any(block.is_macro for block in blocks)
        with self._pushing:
            with self._store.write(durable=is_durable) as writer:
                pusher = BlockPusher(
                    self._settings,
                    writer,
                    self._head,
                    self._recent,
                    self._clock.now_ms(),
                    hooks_of(writer),
                )
                for index, block in enumerate(blocks):
                    results.append(pusher.push(block))
                    if before_commit is not None:
                        before_commit(index, results[-1])
                    if not isinstance(results[-1], Pushed):
                        break
                self._note_head(writer, pusher.head)
            self._recent.replace(added=pusher.added.values(), deleted=pusher.deleted)
            self._head = pusher.head
        return tuple(results)

    def adopt_macro_blocks(
        self, blocks: Sequence[Block], *, is_trusted: bool = False
    ) -> tuple[PushResult, ...]:
        """Adopt macro blocks without what lies between them; stop after the first that is wrong.

        Only where not all history is kept. One durable commit for all of them, under the same
        conditions as `push`. What lies between is not known, so where state is kept it is no longer
        there: a state sync begins with what is stored, or goes on with what it has.

        Args:
            blocks: Ascending: election blocks of consecutive epochs after our election head, then
                at most one checkpoint in the epoch after the last.
            is_trusted: The first is an election block that is taken without its quorum. Counts
                only while the macro head is genesis.

        Raises:
            StorageError: The disk refused. Nothing has happened.
        """
        assert not self.keeps_history
        with self._pushing:
            with (
                QuorumChecks(blocks, self._head, self._settings) as quorums,
                self._store.write() as writer,
            ):
                now_ms = self._clock.now_ms()
                above = self._head.branch[1:] if self.keeps_state else ()
                branch = [load_block(writer, each) for each in above]
                executed = executed_header(writer)
                adopter = MacroAdopter(self._settings, writer, self._head, now_ms, quorums)
                results = _until_failure(
                    adopter.adopt(block, is_trusted=is_trusted and index == 0)
                    for index, block in enumerate(blocks)
                )
                if self.keeps_state and adopter.head is not self._head:
                    keep_accounts(writer, executed, self._head.macro, branch)
                    begin_syncing(writer)
                    BlockOperationQueue(writer).clear()
                self._note_head(writer, adopter.head)
            self._recent.replace(added=adopter.added.values(), deleted=adopter.deleted)
            self._has_state = self._has_state and adopter.head is self._head
            self._head = adopter.head
        return results

    def adopt_batches(self, batches: Sequence[FetchedBatch]) -> tuple[PushResult, ...]:
        """Adopt whole batches that a history sync has fetched; stop after the first that is wrong.

        Only where state is kept. One durable commit for all of them, under the same conditions as
        `push`. What is verified is in `node.chain.batch_plan`.

        Args:
            batches: Consecutive, from the one above our macro head.

        Raises:
            StorageError: The disk refused. Nothing has happened.
        """
        assert self.keeps_state
        assert self.has_state
        macro_blocks = [batch.macro for batch in batches]
        with self._pushing:
            with (
                QuorumChecks(macro_blocks, self._head, self._settings) as quorums,
                self._store.write() as writer,
            ):
                now_ms = self._clock.now_ms()
                adopter = BatchAdopter(self._settings, writer, self._head, now_ms, quorums)
                results = _until_failure(adopter.adopt(batch) for batch in batches)
                self._note_head(writer, adopter.head)
            self._recent.replace(added=adopter.added.values(), deleted=adopter.deleted)
            self._head = adopter.head
        return results

    def reset_to_genesis(self) -> None:
        """Forget all blocks above genesis. Only where no state is kept.

        For a node that took an election block on trust and finds that it was false. Pushes wait,
        and those that come later find their parents missing.

        Raises:
            StorageError: The disk refused. Nothing has happened.
        """
        assert not self.keeps_state
        with self._pushing:
            with self._store.write() as writer:
                genesis = load_block(writer, self._genesis)
                assert genesis is not None
                deleted = clear_above_genesis(writer, genesis)
                writer.put(Table.META, HEAD_KEY, genesis.hash)
                head = load_head(writer, genesis.hash, self.policy)
            self._recent.replace(added=(genesis,), deleted=deleted)
            self._head = head

    def propose_micro(
        self,
        seed: bytes,
        timestamp: int,
        transactions: Iterable[Transaction] = (),
        extra_data: bytes = b"",
        *,
        equivocation_proofs: Sequence[EquivocationProof] = (),
    ) -> tuple[MicroHeader, MicroBody]:
        """Make the content of a micro block above the head. Only where state is kept.

        Of the transactions, whose signatures are taken for good, those that cannot be included are
        left out. Nothing changes, and it may run beside a push.
        """
        with self._state_after_head() as (reader, head):
            return micro_content(
                reader,
                head.header,
                self._settings.rules_above(head),
                seed=seed,
                timestamp=timestamp,
                transactions=transactions,
                equivocation_proofs=equivocation_proofs,
                extra_data=extra_data,
            )

    def propose_skip(self) -> tuple[MicroHeader, MicroBody]:
        """Make the content of the skip block above the head. Also where no state is kept."""
        head = self._head
        return skip_content(head.header, self._settings.rules_above(head))

    def propose_macro(
        self, round_: int, seed: bytes, timestamp: int, extra_data: bytes = b""
    ) -> tuple[MacroHeader, MacroBody]:
        """Make the content of a macro block above the head. Only where state is kept."""
        with self._state_after_head() as (reader, head):
            rules = self._settings.rules_above(head)
            return macro_content(
                reader,
                head.header,
                rules,
                self._absences(head, rules),
                round_=round_,
                seed=seed,
                timestamp=timestamp,
                extra_data=extra_data,
            )

    def check_proposal(self, header: Header, body: Body) -> BlockError | None:
        """Check everything of a block above the head, or above its equal, but who has signed it.

        Only where state is kept. A proposal above a block that is not stored, or that loses to the
        head, is `WRONG_PARENT`: it may be good, but whoever cannot execute it cannot vote for it.
        """
        block = Block(header, _unjustified(header), body)
        with self._state_after_head() as (reader, head):
            rules = self._settings.rules_above(head)
            error = verify_alone(block, rules, now_ms=self._clock.now_ms(), with_body=True)
            if error is not None:
                return error
            site = site_above(reader, head, header.parent_hash, rules)
            if isinstance(site, BlockError):
                return site
            is_macro = isinstance(header, MacroHeader)
            punished = site.absences.punished_at(header.number, rules) if is_macro else None
            lineage = Lineage.of(header, site.parent, rules, punished)
            error = verify_links(block, lineage, rules)
            if error is not None:
                return error
            executed = execute_block(site.state, block, site.parent, rules, site.absences)
            return executed if isinstance(executed, BlockError) else None

    @contextmanager
    def _state_after_head(self) -> Iterator[tuple[Reader, ChainHead]]:
        """Open a snapshot of the state and the head that it belongs to.

        Raises:
            NoStateError: The state is not complete.
            StorageError: A push has failed after its commit: which head the disk has is not known.
        """
        head = self._head
        while True:
            with self._store.read() as reader:
                self._check_state(reader)
                if reader.get(Table.META, HEAD_KEY) == head.header.hash:
                    yield reader, head
                    return
            # A push in another thread has committed. It replaces the head when the disk has it all.
            with self._pushing:
                before, head = head, self._head
            if head is before:
                raise StorageError("the store is ahead of the chain")

    def _note_head(self, writer: Writer, head: ChainHead) -> None:
        if head is not self._head:
            writer.put(Table.META, HEAD_KEY, head.header.hash)

    def _absences(self, head: ChainHead, rules: BatchRules) -> Absences:
        blocks = (self._find(block_hash) for block_hash in head.branch[1:])
        return Absences.of((block for block in blocks if block and block.is_skip), rules)


def _until_failure(results: Iterable[PushResult]) -> tuple[PushResult, ...]:
    """Take results one by one up to the first that is not `Pushed`."""
    taken: list[PushResult] = []
    for result in results:
        taken.append(result)
        if not isinstance(result, Pushed):
            break
    return tuple(taken)


def _create(
    writer: Writer, genesis: Genesis, settings: ChainSettings, *, without_state: bool
) -> None:
    block = genesis.block()
    if settings.keeps_state and without_state:
        begin_syncing(writer)
    elif settings.keeps_state:
        begin(writer, block.number)
    save_block(writer, block if settings.needs_bodies else block.without_body())
    set_main(writer, block)
    writer.put(Table.META, _GENESIS_KEY, block.hash)
    writer.put(Table.META, _KEEPS_KEY, _keeps(settings))
    writer.put(Table.META, HEAD_KEY, block.hash)


def _load(reader: Reader, genesis: Genesis, settings: ChainSettings) -> ChainHead:
    stored = reader.get(Table.META, _GENESIS_KEY)
    if stored != genesis.hash:
        found = "nothing" if stored is None else stored.hex()[:16]
        raise DataFolderError(
            f"the store is of another network: genesis {found}, not {genesis.hash.hex()[:16]}"
        )
    if reader.get(Table.META, _KEEPS_KEY) != _keeps(settings):
        raise DataFolderError(
            "the store was made by a profile that keeps other things, or by an older version"
        )
    head_hash = reader.get(Table.META, HEAD_KEY)
    if head_hash is None:
        raise DataFolderError("the store does not say which block is its head")
    return load_head(reader, Hash32(head_hash), settings.policy)


def _keeps(settings: ChainSettings) -> bytes:
    kept = "state" if settings.keeps_state else "blocks"
    return f"{settings.retention.value} {kept}".encode()


def _unjustified(header: Header) -> ProducerSignature | QuorumSignature:
    """Return a justification of the right kind that says nothing."""
    if isinstance(header, MacroHeader):
        return QuorumSignature(header.round, bytes(BLS_SIGNATURE_BYTES), SignerSet(0))
    return _UNSIGNED
