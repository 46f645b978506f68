"""What stays in the store when a batch is final, and who is punished and paid."""

from node.accounts.account import REWARD_POT
from node.blocks.body import MacroBody
from node.blocks.validators import SignerSet
from node.chain.history_lengths import load_history_length
from node.chain.history_tree import EMPTY_ROOT as EMPTY_HISTORY_ROOT
from node.storage.memory import MemoryStore
from node.storage.store import Table
from tests.build.blocks import transaction
from tests.build.chain import ChainBuilder, contents, light_chain, open_chain
from tests.build.keys import SMALL_POLICY
from tests.build.turns import next_owner


def test_undo_data_is_kept_until_final() -> None:
    builder, store = ChainBuilder(), MemoryStore()
    chain = open_chain(builder.genesis, store=store)
    builder.extend(5, [[transaction(nonce=nonce)] for nonce in range(1, 6)])

    chain.push(builder.blocks[:3])
    assert len(contents(store)[Table.UNDO]) == 3
    chain.push(builder.blocks[3:])
    assert [key[:4] for key, _ in contents(store)[Table.UNDO]] == [(5).to_bytes(4, "big")]


def test_transactions_are_remembered_for_a_window() -> None:
    """A window is 8 blocks: one of block 1 may be repeated in block 9 at the latest."""
    builder, store = ChainBuilder(), MemoryStore()
    chain = open_chain(builder.genesis, store=store)
    first, second = transaction(nonce=1), transaction(nonce=2)
    builder.extend(16, [[first], [], [], [second]])
    assert SMALL_POLICY.validity_window_blocks == 8

    known = []
    for block in builder.blocks:
        chain.push((block,))
        known.append(
            (chain.contains_transaction(first.hash), chain.contains_transaction(second.hash))
        )
    # The second is in block 5, because block 4 is a macro block.
    assert known == [(True, False)] * 4 + [(True, True)] * 7 + [(False, True)] * 4 + [
        (False, False)
    ]
    assert contents(store)[Table.TRANSACTIONS] == ()


def test_skipped_slots_are_punished_in_the_next_batch_and_not_paid() -> None:
    builder = ChainBuilder()
    chain = builder.chain
    producer = next_owner(chain)
    builder.skip()
    builder.extend(2)
    checkpoint = builder.macro()

    punished = chain.macro_head.punished
    assert [chain.validators.owner_index(slot) for slot in punished.indices()] == [producer]
    assert isinstance(checkpoint.body, MacroBody)
    paid = {reward.recipient: reward.value for reward in checkpoint.body.rewards}
    share = SMALL_POLICY.batch_reward // 11
    for index, member in enumerate(chain.validators.members):
        assert paid[member.address] == (2 if index == producer else 3) * share
    assert chain.account(REWARD_POT).balance == SMALL_POLICY.batch_reward % 11
    # Once only: the slot had nothing to do in the batch that follows, and earned nothing.
    pot = chain.account(REWARD_POT).balance
    *_, next_checkpoint = builder.extend(4)
    assert chain.macro_head.punished == SignerSet(0)
    assert isinstance(next_checkpoint.body, MacroBody)
    paid = {reward.recipient: reward.value for reward in next_checkpoint.body.rewards}
    share = (SMALL_POLICY.batch_reward + pot) // 11
    assert sorted(paid.values()) == [2 * share, 3 * share, 3 * share, 3 * share]


def test_election_blocks_punish_nobody() -> None:
    builder = ChainBuilder()
    builder.extend(8)
    builder.skip()
    builder.extend(3)
    assert builder.chain.election_head.number == 12
    assert builder.chain.macro_head.punished == SignerSet(0)


def test_skips_of_another_branch_do_not_count() -> None:
    builder = ChainBuilder()
    chain = open_chain(builder.genesis)
    fork = builder.fork_from(builder.genesis.hash)
    fork.skip()
    builder.extend(4)
    fork.push_all(chain)
    builder.push_all(chain)
    assert chain.head.hash == builder.head.hash
    assert chain.macro_head.punished == SignerSet(0)


def test_each_epoch_starts_a_new_history() -> None:
    builder = ChainBuilder()
    builder.extend(13, [[transaction(nonce=1)]])
    roots = [block.header.history_root for block in builder.blocks]

    assert len(set(roots[:12])) == 1
    assert roots[0] != EMPTY_HISTORY_ROOT
    assert roots[12] == EMPTY_HISTORY_ROOT
    builder.extend(1, [[transaction(nonce=1, validity_start=9)]])
    assert builder.head.history_root not in {roots[0], EMPTY_HISTORY_ROOT}


def test_history_lengths_are_noted_at_macro_blocks() -> None:
    """Macro blocks at 4, 8, 12 (election), 16: the next epoch counts from nothing."""
    builder, full, light = ChainBuilder(), MemoryStore(), MemoryStore()
    some = iter(transaction(nonce=nonce, validity_start=8) for nonce in range(1, 7))
    builder.extend(8)
    builder.extend(8, [[next(some), next(some)], [next(some)], [], [next(some)]])
    builder.push_all(open_chain(builder.genesis, store=full))
    builder.push_all(light_chain(builder.genesis, store=light))

    with full.read() as reader:
        assert {height: load_history_length(reader, height) for height in range(0, 21, 4)} == {
            0: 0,
            4: 0,
            8: 0,
            12: 3,
            16: 1,
            20: None,
        }
    assert contents(light)[Table.HISTORY_LENGTHS] == ()


def test_a_branch_that_lost_adds_nothing_to_the_history_length() -> None:
    builder, store = ChainBuilder(), MemoryStore()
    chain = open_chain(builder.genesis, store=store)
    fork = builder.fork_from(builder.genesis.hash)
    fork.extend(2, [[transaction(nonce=1)], [transaction(nonce=2)]])
    builder.extend(4, [[], [], [transaction(nonce=1)]])
    fork.push_all(chain)
    builder.push_all(chain)

    with store.read() as reader:
        assert load_history_length(reader, 4) == 1
