"""The states after the last blocks stay provable, whatever became of the blocks."""

from itertools import count

from node.accounts import trie
from node.accounts.diff import DIFF_DOMAIN, decode_changes
from node.chain.chain import Chain
from node.chain.results import Pushed, PushOutcome
from node.chain.retention import STATE_BATCHES
from node.crypto.hashes import hash32
from node.storage.memory import MemoryStore
from node.storage.store import Table
from tests.build.blocks import transaction
from tests.build.chain import ChainBuilder, contents, light_chain, open_chain, push_one
from tests.build.fetched import fetched_batches
from tests.build.keys import genesis

BATCH = 4

STATE_TABLES = (Table.DIFFS, Table.OLD_ACCOUNTS, Table.OLD_BRANCHES)


def new_builder() -> ChainBuilder:
    """Start a chain with enough accounts for branches."""
    return ChainBuilder(genesis(account_count=100))


def grown(builder: ChainBuilder, blocks: int) -> ChainBuilder:
    """Add blocks with different numbers of transactions, some without."""
    nonces = count(1000 * builder.next_height)
    for height in range(builder.next_height, builder.next_height + blocks):
        some = [
            transaction(nonce=next(nonces), sender=index % 3, validity_start=max(height - 4, 0))
            for index in range(height % 3)
        ]
        builder.extend(1, [some])
    return builder


def check(chain: Chain, builder: ChainBuilder, oldest: int) -> None:
    """See that exactly these states are there, and that they and the changes are the headers'."""
    with chain.snapshot() as snapshot:
        states = snapshot.states()
        newest = chain.head.number
        assert (states.oldest, states.newest) == (oldest, newest)
        assert [n for n in range(newest + 9) if states.has(n)] == list(range(oldest, newest + 1))
        for height in range(oldest, newest + 1):
            header = builder.block_at(height).header if height else builder.genesis.block().header
            assert trie.root(states.at(height)) == header.state_root
            if height > oldest:
                changes = states.changes(height)
                assert hash32(DIFF_DOMAIN + changes) == header.diff_root
                assert len(decode_changes(changes)) > 0 or not changes


def test_from_genesis_on_until_there_are_enough() -> None:
    builder = new_builder()
    check(builder.chain, builder, 0)
    grown(builder, STATE_BATCHES * BATCH + 3)
    check(builder.chain, builder, 0)
    grown(builder, BATCH)
    check(builder.chain, builder, BATCH)
    grown(builder, BATCH)
    check(builder.chain, builder, 2 * BATCH)


def test_blocks_that_change_nothing_leave_genesis_provable() -> None:
    builder = new_builder()
    builder.extend(2)
    check(builder.chain, builder, 0)


def test_what_is_older_is_stored_no_more() -> None:
    store = MemoryStore()
    builder = grown(new_builder(), (STATE_BATCHES + 3) * BATCH)
    chain = open_chain(builder.genesis, store=store)
    builder.push_all(chain)
    rows = contents(store)
    assert rows[Table.OLD_BRANCHES]
    assert all(int.from_bytes(key, "big") > 3 * BATCH for key, _ in rows[Table.DIFFS])


def test_after_a_rebranch() -> None:
    builder = grown(new_builder(), 9)
    ours = builder.fork_from(builder.block_at(9).hash)
    theirs = builder.fork_from(builder.block_at(9).hash)
    ours.micro([transaction(sender=50, recipient=60, validity_start=9)])
    theirs.extend(2)
    chain = open_chain(builder.genesis)
    ours.push_all(chain)
    check(chain, ours, 0)
    result = None
    for block in theirs.blocks[9:]:
        result = push_one(chain, block)
    assert isinstance(result, Pushed)
    assert result.outcome is PushOutcome.REBRANCHED
    check(chain, theirs, 0)
    grown(theirs, 5)
    theirs.push_all(chain)
    check(chain, theirs, 0)


def test_adopted_batches_leave_the_state_at_their_end_alone() -> None:
    builder = grown(new_builder(), 6 * BATCH)
    chain = open_chain(builder.genesis)
    chain.adopt_batches(fetched_batches(builder.blocks[: 5 * BATCH]))
    check(chain, builder, 5 * BATCH)
    builder.push_all(chain)
    check(chain, builder, 5 * BATCH)


def test_after_a_restart() -> None:
    store = MemoryStore()
    builder = grown(new_builder(), 7)
    builder.push_all(open_chain(builder.genesis, store=store))
    check(open_chain(builder.genesis, store=store), builder, 0)


def test_a_store_of_before_states_were_kept_begins_with_its_next_block() -> None:
    store = MemoryStore()
    builder = grown(new_builder(), 5)
    builder.push_all(open_chain(builder.genesis, store=store))
    with store.write() as writer:
        writer.delete(Table.META, b"oldest_state")
        for table in STATE_TABLES:
            for key in [key for key, _ in writer.scan(table)]:
                writer.delete(table, key)
    chain = open_chain(builder.genesis, store=store)
    check(chain, builder, 5)
    grown(builder, 2)
    builder.push_all(chain)
    # Block 6 changes no account, so nothing was noted before block 7.
    check(chain, builder, 6)


def test_a_light_node_keeps_none() -> None:
    builder = grown(new_builder(), 9)
    store = MemoryStore()
    builder.push_all(light_chain(builder.genesis, store=store))
    rows = contents(store)
    assert all(rows[table] == () for table in STATE_TABLES)
