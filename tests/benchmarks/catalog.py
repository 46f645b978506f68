"""All benchmarks by name."""

from tests.benchmarks import (
    catch_up,
    gossip,
    idle,
    loop_stall,
    macro_join,
    network,
    pipeline,
    start,
    state_proofs,
    state_sync,
    static_vs_dynamic,
)
from tests.benchmarks.measure import Benchmark

_ALL = [
    Benchmark("sync_blocks_empty", "follow 1000 empty blocks", catch_up.sync_blocks_empty),
    Benchmark("sync_blocks_100tx", "follow 180 full blocks", catch_up.sync_blocks_100tx),
    Benchmark("macro_join", "join a chain of 100,000 blocks", macro_join.macro_join),
    Benchmark("sync_state", "fetch 1 and 4 million accounts", state_sync.sync_state),
    Benchmark("sync_state_live", "fetch a million that blocks change", state_sync.sync_state_live),
    Benchmark("sync_resume", "fetch a million, killed half way", state_sync.sync_resume),
    Benchmark(
        static_vs_dynamic.NAME,
        "join busy chains with both strategies",
        static_vs_dynamic.sync_static_vs_dynamic,
    ),
    Benchmark("block_apply", "push blocks of 0..1000 transactions", pipeline.block_apply),
    Benchmark("macro_verify", "check a quorum of 512 validators", pipeline.macro_verify),
    Benchmark("store_commit", "commit 1000 puts durably", pipeline.store_commit),
    Benchmark("decode_bomb", "refuse 10 MB of empty arrays", pipeline.decode_bomb),
    Benchmark("chunk_verify", "verify 1000 accounts of a range", state_proofs.chunk_verify),
    Benchmark("help_time", "run headway --help", start.help_time),
    Benchmark("start_time", "start 1, 8 and 20 nodes until height 3", start.start_time),
    Benchmark("gossip_16", "reach 16 nodes with 1 KB and 100 KB", gossip.gossip_16),
    Benchmark("request_rate", "ask on new streams, 1 to 64 at once", network.request_rate),
    Benchmark("loop_stall", "wake in time beside full blocks", loop_stall.loop_stall),
    Benchmark("idle_cost", "follow one block per second", idle.idle_cost),
]

BENCHMARKS = {benchmark.name: benchmark for benchmark in _ALL}
