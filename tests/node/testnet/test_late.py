"""Starting nodes when the network has come to their height."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from node.process import ProcessRecord
from node.testnet.late import run_late, waiting_nodes
from node.testnet.layout import Description, NetworkFolder, NodePorts
from node.testnet.spec import NetworkSpec, NodeGroup, NodeSpec, groups_of, nodes_of
from tests.node.testnet.test_load import FakeNode

LATE = [
    NodeGroup(profile="pico", count=2, start_at=6),
    NodeGroup(profile="light", count=1, start_at=9),
]
NODES = nodes_of([*groups_of({"full": 1}), *LATE], 1)


@dataclass
class Starter:
    """Starts nodes by making their data folders, and lets the chain grow."""

    folder: NetworkFolder
    node: FakeNode
    started: list[tuple[int, list[str]]] = field(default_factory=list)

    def __call__(self, nodes: Sequence[NodeSpec]) -> None:
        assert ProcessRecord.load(self.folder.late) is not None
        self.started.append((self.node.height, [node.name for node in nodes]))
        self.node.height += 3


def test_each_is_started_once_at_its_height(tmp_path: Path) -> None:
    folder = NetworkFolder(tmp_path / "demo")
    folder.late.mkdir(parents=True)
    node = FakeNode(height=6)
    starter = Starter(folder, node)
    ready: list[bool] = []
    with node.served() as address:
        ports = {each.name: NodePorts(p2p=1, rpc=1) for each in NODES}
        ports["full-1"] = NodePorts(p2p=1, rpc=int(address.rpartition(":")[2]))
        description = Description(spec=NetworkSpec(name="demo", seed=1, nodes=NODES), ports=ports)

        assert run_late(folder, description, starter, lambda: ready.append(True)) == 0

    # Nothing was there to see of those that it started: it still starts none twice.
    assert starter.started == [(6, ["pico-1", "pico-2"]), (9, ["light-1"])]
    assert ready == [True]
    assert ProcessRecord.load(folder.late) is None


def test_whoever_has_a_data_folder_no_longer_waits(tmp_path: Path) -> None:
    folder = NetworkFolder(tmp_path / "demo")
    assert [node.name for node in waiting_nodes(folder, NODES)] == ["pico-1", "pico-2", "light-1"]

    folder.node("pico-2").data.mkdir(parents=True)

    assert [node.name for node in waiting_nodes(folder, NODES)] == ["pico-1", "light-1"]
