"""How fast a chain with many accounts grows when nothing else is to be done."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from node.blocks.block import Block
from node.chain.chain import Chain
from node.chain.results import Pushed
from node.chain.retention import Retention
from node.crypto.bls import KeyCache
from node.services.clock import SystemClock
from node.storage.disk import DiskStore
from node.testnet.zygote import Job
from tests.benchmarks.processes import run_to_the_end
from tests.benchmarks.state_source import genesis_of, later_blocks

BLOCKS: Final = 40
TIMEOUT_S: Final = 300


def apply_rate(source: Path, changed: int) -> float:
    """Return how many of a source's later blocks one process decodes and pushes in a second.

    A chain that grows faster than that cannot be followed, whoever syncs.

    Args:
        source: As `state_source.make_source` has left it.
        changed: Accounts that each of the blocks changes.
    """
    with TemporaryDirectory() as text:
        folder = Path(text)
        shutil.copytree(source / "data", folder / "data")

        def main(ready: Callable[[], None]) -> int:
            rate = _push(source, folder / "data", later_blocks(source, changed)[:BLOCKS])
            (folder / "rate").write_text(str(rate))
            ready()
            return 0

        # In a process of its own: its memory is not to be in that of the nodes forked here.
        run_to_the_end(folder, [Job("chain", folder / "chain.log", main)], TIMEOUT_S)
        return float((folder / "rate").read_text())


def _push(source: Path, data: Path, payloads: list[bytes]) -> float:
    chain = Chain.open(
        DiskStore(data),
        genesis_of(source),
        retention=Retention.ALL,
        keeps_state=True,
        clock=SystemClock(),
        key_cache=KeyCache(),
    )
    begin = time.perf_counter()
    for payload in payloads:
        (result,) = chain.push([Block.decode(payload)])
        assert isinstance(result, Pushed), result
    return len(payloads) / (time.perf_counter() - begin)
