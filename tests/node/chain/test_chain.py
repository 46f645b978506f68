"""Opening, reading and proposing."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from threading import Event, Thread

import pytest

from node.blocks.header import MacroHeader, MicroHeader
from node.chain.results import BlockError, Pushed
from node.chain.retention import Retention
from node.crypto.seeds import next_seed
from node.errors import DataFolderError, StorageError
from node.storage.memory import MemoryStore
from node.storage.store import Reader, Table, Writer
from tests.build.blocks import digest, transaction
from tests.build.chain import ChainBuilder, contents, light_chain, open_chain
from tests.build.clock import FixedClock
from tests.build.keys import GENESIS_TIMESTAMP, SMALL_POLICY, address, genesis, keys_of
from tests.build.turns import next_owner


def test_new_store_starts_at_genesis() -> None:
    start = genesis()
    chain = open_chain(start)

    assert (chain.head, chain.macro_head, chain.election_head) == (start.block().header,) * 3
    assert chain.block(chain.head.hash, with_body=False) == start.block().without_body()
    assert (chain.genesis, chain.network, chain.policy) == (start.hash, 1, SMALL_POLICY)
    assert chain.block(start.hash, with_body=True) == start.block()
    assert chain.account(address(0)).balance == 1_000_000
    assert chain.account(address(99)).balance == 0
    assert chain.validators == chain.election_head.next_validators


@pytest.mark.parametrize("height", [0, 1, 4, 6, 12, 13, 26])
@pytest.mark.parametrize("is_light", [True, False])
def test_reopened_chain_is_the_same(height: int, is_light: bool) -> None:
    builder, store = ChainBuilder(), MemoryStore()
    builder.extend(max(height - 1, 0))
    fork = builder.fork_from(builder.head.hash)
    builder.extend(height - builder.head.number)
    opened = light_chain if is_light else open_chain
    chain = opened(builder.genesis, store=store)
    builder.push_all(chain)
    if not SMALL_POLICY.is_macro(height):
        chain.push([fork.micro()])

    again = opened(builder.genesis, store=store)
    assert again.head == chain.head
    assert (again.macro_head, again.election_head) == (chain.macro_head, chain.election_head)
    assert (again.validators, again._head.branch) == (chain.validators, chain._head.branch)
    for block in [*builder.blocks, *fork.blocks]:
        assert again.contains(block.hash) == chain.contains(block.hash)
        assert again.is_on_main_chain(block.hash) == chain.is_on_main_chain(block.hash)
    builder.extend(5)
    assert all(isinstance(result, Pushed) for result in builder.push_all(again))
    assert again.head.hash == builder.head.hash


def test_store_of_another_network_is_refused() -> None:
    store = MemoryStore()
    open_chain(genesis(), store=store)
    with pytest.raises(DataFolderError, match="another network"):
        open_chain(genesis(network=2), store=store)


@pytest.mark.parametrize(
    ("retention", "keeps_state"),
    [(Retention.WINDOW, True), (Retention.ALL, False), (Retention.BATCH, False)],
)
def test_store_of_another_profile_is_refused(retention: Retention, keeps_state: bool) -> None:
    store = MemoryStore()
    open_chain(genesis(), store=store)
    with pytest.raises(DataFolderError, match="profile"):
        open_chain(genesis(), store=store, retention=retention, keeps_state=keeps_state)


def test_store_of_an_older_version_is_refused() -> None:
    store = MemoryStore()
    open_chain(genesis(), store=store)
    with store.write() as writer:
        writer.put(Table.META, b"keeps", bytes((1, 1)))
    with pytest.raises(DataFolderError, match="older version"):
        open_chain(genesis(), store=store)


@pytest.mark.parametrize(
    ("table", "key"),
    [
        (Table.META, b"head"),
        (Table.MAIN_CHAIN, (5).to_bytes(4, "big")),
        (Table.HEADERS, "head"),
        (Table.HEADERS, "macro head"),
    ],
)
def test_damaged_stores_are_refused(table: Table, key: bytes | str) -> None:
    builder, store = ChainBuilder(), MemoryStore()
    chain = open_chain(builder.genesis, store=store)
    builder.extend(6)
    builder.push_all(chain)
    named = {"head": chain.head.hash, "macro head": chain.macro_head.hash}
    with store.write() as writer:
        writer.delete(table, key if isinstance(key, bytes) else named[key])

    with pytest.raises(DataFolderError):
        open_chain(builder.genesis, store=store)


def test_damaged_headers_are_refused() -> None:
    builder, store = ChainBuilder(), MemoryStore()
    chain = open_chain(builder.genesis, store=store)
    with store.write() as writer:
        writer.put(Table.HEADERS, chain.head.hash, b"junk")
    with pytest.raises(DataFolderError, match="damaged"):
        open_chain(builder.genesis, store=store)


def test_lookups_by_hash_and_height() -> None:
    builder, store = ChainBuilder(), MemoryStore()
    fork = builder.fork_from(builder.genesis.hash)
    builder.extend(4)
    builder.extend(2)
    side = builder.fork_from(builder.block_at(4).hash)
    side.micro([transaction()])
    chain = open_chain(builder.genesis, store=store)
    builder.push_all(chain)
    chain.push(side.blocks[4:])

    for block in builder.blocks:
        assert chain.header(block.hash) == block.header
        assert chain.block(block.hash, with_body=True) == block
        assert chain.block(block.hash, with_body=False) == block.without_body()
        assert chain.hash_at(block.number) == block.hash
        assert chain.is_on_main_chain(block.hash)
    (forked,) = side.blocks[4:]
    assert chain.contains(forked.hash)
    assert not chain.is_on_main_chain(forked.hash)
    assert chain.block(forked.hash, with_body=True) == forked
    unknown = fork.micro()
    assert not chain.contains(unknown.hash)
    assert not chain.is_on_main_chain(unknown.hash)
    assert chain.header(unknown.hash) is None
    assert chain.block(unknown.hash, with_body=True) is None
    assert chain.hash_at(7) is None


def test_light_chains_have_no_bodies() -> None:
    builder = ChainBuilder()
    chain = light_chain(builder.genesis)
    block = builder.micro([transaction()])
    chain.push((block,))

    assert chain.block(block.hash, with_body=False) == block.without_body()
    assert chain.block(block.hash, with_body=True) is None


def test_validators_of_each_epoch() -> None:
    """They change with the election block, for the blocks above it."""
    builder = ChainBuilder(genesis(13))
    chain = open_chain(builder.genesis)
    elected = [chain.validators]
    for block in builder.extend(25):
        chain.push((block,))
        header = block.header
        if isinstance(header, MacroHeader) and header.next_validators is not None:
            elected.append(header.next_validators)
        assert chain.validators == elected[-1]
    assert len(set(elected)) == 3


def test_clock_decides_what_is_future() -> None:
    builder = ChainBuilder()
    clock = FixedClock(GENESIS_TIMESTAMP)
    chain = open_chain(builder.genesis, clock=clock)
    late = GENESIS_TIMESTAMP + SMALL_POLICY.max_clock_drift_ms + 1
    block = builder.micro(timestamp=late)

    (held,) = chain.push((block,))
    assert getattr(held, "error", None) is BlockError.FROM_FUTURE
    clock.ms += 1
    assert isinstance(chain.push((block,))[0], Pushed)


@dataclass
class RecordingStore:
    """Implements `Store` and notes which writes wait for the disk."""

    below: MemoryStore = field(default_factory=MemoryStore)
    durable: list[bool] = field(default_factory=list)

    def read(self) -> AbstractContextManager[Reader]:
        return self.below.read()

    def write(self, *, durable: bool = True) -> AbstractContextManager[Writer]:
        self.durable.append(durable)
        return self.below.write(durable=durable)

    def close(self) -> None:
        self.below.close()


def test_only_macro_blocks_wait_for_the_disk() -> None:
    builder, store = ChainBuilder(), RecordingStore()
    chain = open_chain(builder.genesis, store=store)
    # The last one says that there is a chain, and takes what came before with it.
    assert store.durable == [False, False, True]
    store.durable.clear()
    builder.extend(5)
    for blocks in (builder.blocks[:2], builder.blocks[2:3], builder.blocks[3:]):
        chain.push(blocks)
    assert store.durable == [False, False, True]


@dataclass
class AfterCommit(MemoryStore):
    """Does something when a commit is done that whoever commits does not know of yet."""

    action: Callable[[], object] = lambda: None
    was_read: Event = field(default_factory=Event)

    def __post_init__(self) -> None:
        super().__init__()

    @contextmanager
    def read(self) -> Iterator[Reader]:
        with super().read() as reader:
            self.was_read.set()
            yield reader

    @contextmanager
    def write(self, *, durable: bool = True) -> Iterator[Writer]:
        with super().write(durable=durable) as writer:
            yield writer
        self.action()


def test_a_proposal_beside_a_commit_stands_above_what_was_committed() -> None:
    builder, store = ChainBuilder(), AfterCommit()
    block = builder.micro()
    chain = open_chain(builder.genesis, store=store)
    made: list[MicroHeader] = []
    proposing = Thread(target=lambda: made.append(chain.propose_micro(bytes(80), 0)[0]))

    def propose() -> None:
        store.was_read.clear()
        proposing.start()
        store.was_read.wait()

    store.action = propose
    chain.push((block,))
    proposing.join()

    assert [header.parent_hash for header in made] == [block.hash]


def test_no_proposal_after_a_commit_that_nobody_can_rely_on() -> None:
    builder, store = ChainBuilder(), AfterCommit()
    chain = open_chain(builder.genesis, store=store)

    def fail() -> None:
        raise StorageError("the disk refused")

    store.action = fail
    with pytest.raises(StorageError, match="refused"):
        chain.push((builder.micro(),))

    with pytest.raises(StorageError, match="ahead"):
        chain.propose_micro(bytes(80), 0)


def test_state_follows_the_transactions() -> None:
    builder = ChainBuilder()
    chain = open_chain(builder.genesis)
    sent = transaction(sender=0, recipient=1, value=100, fee=3)
    builder.micro([sent])
    builder.push_all(chain)

    balances = [chain.account(address(index)).balance for index in range(3)]
    assert balances == [1_000_000 - 103, 1_000_100, 1_000_000]
    assert chain.contains_transaction(sent.hash)


def test_proposals_leave_out_what_cannot_be_included() -> None:
    builder = ChainBuilder()
    chain = builder.chain
    included = transaction(nonce=1)
    builder.micro([included])
    # One of them can be paid twice, but then the next one of this sender cannot.
    good = [transaction(nonce=2, value=400_000), transaction(nonce=3, value=400_000)]
    wanted = [
        included,
        good[0],
        good[0],
        transaction(nonce=4, value=999_990),
        transaction(nonce=5, validity_start=3),
        transaction(nonce=6, network=2),
        good[1],
    ]
    before = contents(builder.chain._store)

    _, body = chain.propose_micro(builder.make_micro().header.seed, 0, wanted)
    assert body.transactions == tuple(good)
    assert contents(builder.chain._store) == before


def test_proposals_fit_the_size_limit() -> None:
    small = replace(SMALL_POLICY, max_body_bytes=1000)
    builder = ChainBuilder(genesis(policy=small))
    wanted = [transaction(nonce=nonce) for nonce in range(1, 20)]
    header, body = builder.chain.propose_micro(builder.make_micro().header.seed, 0, wanted)

    assert 1000 - 200 < len(body.encoded) <= 1000
    builder.add(builder.signed_micro(header, body))


def test_proposals_are_never_before_their_parent() -> None:
    builder = ChainBuilder()
    assert builder.micro(timestamp=0).header.timestamp == GENESIS_TIMESTAMP


def test_checking_proposals() -> None:
    builder, store = ChainBuilder(), MemoryStore()
    chain = open_chain(builder.genesis, store=store)
    builder.extend(3, [[transaction()]])
    builder.push_all(chain)
    before = contents(store)
    good = builder.make_macro(round_=1)
    assert good.body is not None

    def check(**fields: object) -> BlockError | None:
        block = builder.changed(good, **fields)
        assert block.body is not None
        return chain.check_proposal(block.header, block.body)

    assert check() is None
    assert check(state_root=digest("x")) == BlockError.WRONG_STATE_ROOT
    assert check(parent_hash=digest("x")) == BlockError.WRONG_PARENT
    assert check(round=0) == BlockError.WRONG_SEED
    assert check(network=7) == BlockError.WRONG_NETWORK
    assert contents(store) == before


def test_checking_micro_proposals() -> None:
    builder = ChainBuilder()
    block = builder.make_micro([transaction()])
    assert block.body is not None
    assert builder.chain.check_proposal(block.header, block.body) is None
    wrong = replace(block.header, history_root=digest("x"))
    assert builder.chain.check_proposal(wrong, block.body) == BlockError.WRONG_HISTORY_ROOT


def test_proposers_change_with_the_round() -> None:
    builder = ChainBuilder()
    builder.extend(3)
    chain = builder.chain
    proposers = [next_owner(chain, round_) for round_ in range(12)]

    assert sorted(proposers) == sorted(list(range(4)) * 3), "twelve slots, each asked once"
    member = keys_of(chain.validators)[proposers[2]]
    header, body = chain.propose_macro(2, next_seed(member.signing, chain.head.seed), 0)
    assert chain.check_proposal(header, body) is None
