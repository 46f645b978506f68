"""A chain on disk, closed or killed, goes on where it was."""

import subprocess
import sys
from pathlib import Path

import pytest

from node.chain.results import Pushed
from node.storage.disk import DiskStore
from node.storage.store import Store, Table
from protocols.types import Hash32
from tests.build.blocks import transaction
from tests.build.chain import ChainBuilder, contents, light_chain, open_chain
from tests.build.keys import genesis

PUSH_FOR_EVER = """
import sys
from pathlib import Path
from node.storage.disk import DiskStore
from tests.build.chain import ChainBuilder, open_chain
builder = ChainBuilder()
chain = open_chain(builder.genesis, store=DiskStore(Path(sys.argv[1])))
while True:
    chain.push(builder.extend())
    print(chain.head.hash.hex(), flush=True)
"""


@pytest.mark.parametrize("is_light", [True, False])
def test_closed_and_opened_again(tmp_path: Path, is_light: bool) -> None:
    builder = ChainBuilder()
    opened = light_chain if is_light else open_chain
    fork = builder.fork_from(builder.genesis.hash)
    payments = [[transaction(nonce=nonce, validity_start=nonce)] for nonce in range(1, 20)]
    builder.extend(30, payments)
    for start in range(0, 30, 3):
        store = DiskStore(tmp_path)
        chain = opened(builder.genesis, store=store)
        assert chain.head.number == start
        chain.push([*builder.blocks[start : start + 3], fork.make_micro()])
        store.close()

    store = DiskStore(tmp_path)
    assert opened(builder.genesis, store=store).head.hash == builder.head.hash
    memory = opened(builder.genesis)
    builder.push_all(memory)
    assert_same(store, memory._store)
    store.close()


def push_until_killed(folder: Path, blocks: int) -> str:
    """Push in another process, kill it after so many blocks; return the last hash it told of."""
    told = ""
    command = [sys.executable, "-c", PUSH_FOR_EVER, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for _ in range(blocks):
            told = child.stdout.readline().strip()
        child.kill()
    return told


def test_killed_at_any_moment(tmp_path: Path) -> None:
    """What has been told of is there, everything fits together, and the chain goes on."""
    told = push_until_killed(tmp_path, blocks=50)
    store = DiskStore(tmp_path)
    chain = open_chain(genesis(), store=store)
    assert chain.is_on_main_chain(Hash32(bytes.fromhex(told)))
    assert chain.head.number >= 50

    builder = ChainBuilder()
    builder.extend(chain.head.number + 10)
    assert chain.head.hash == builder.block_at(chain.head.number).hash
    assert all(isinstance(result, Pushed) for result in builder.push_all(chain))
    assert chain.head.hash == builder.head.hash
    assert_same(store, builder.chain._store)
    store.close()


def assert_same(one: Store, other: Store) -> None:
    """Compare all tables; among the single values the disk has one of its own."""
    mine, theirs = contents(one), contents(other)
    differing = [table for table in Table if mine[table] != theirs[table]]
    assert differing == [Table.META]
    assert set(theirs[Table.META]) < set(mine[Table.META])
