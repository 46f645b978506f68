"""Networks of real daemons for tests: started by the program, ended by process id in any case."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from node.process import ProcessRecord
from node.rpc.client import RpcClient
from node.testnet import control
from node.testnet.control import NodeReport, Watch
from node.testnet.expression import parse
from node.testnet.layout import Description, NetworkFolder, NodeFolder
from node.testnet.processes import kill_processes
from node.testnet.spec import NodeSpec

HEADWAY = Path(sys.executable).with_name("headway")

BOUND_S = 90.0
"""For what takes seconds on an idle machine, so that only a hang fails."""

SEEN = ("state", "height", "finalized", "head", "phase", "peers")


@dataclass(frozen=True)
class LocalNetwork:
    """One network, as its operator has it."""

    home: Path
    """What HEADWAY_NETWORKS says. Its processes are known by it."""
    name: str = "testnet"

    @property
    def folder(self) -> NetworkFolder:
        return NetworkFolder(self.home / self.name)

    @property
    def description(self) -> Description:
        return Description.load(self.folder)

    @property
    def specs(self) -> tuple[NodeSpec, ...]:
        return self.description.spec.nodes

    def files(self, node: str) -> NodeFolder:
        return self.folder.node(node)

    def headway(self, *arguments: str, code: int = 0) -> "subprocess.CompletedProcess[str]":
        """Run a command, which must end with this exit code and without a traceback."""
        done = subprocess.run(
            [str(HEADWAY), *arguments],
            env=environment(self.home),
            capture_output=True,
            text=True,
            timeout=BOUND_S,
            check=False,
        )
        assert done.returncode == code, (arguments, done)
        assert "Traceback" not in done.stderr
        return done

    def net(self, *arguments: str, code: int = 0) -> "subprocess.CompletedProcess[str]":
        return self.headway("net", *arguments, code=code)

    def until(self, condition: str, *names: str) -> None:
        """Wait until a condition holds on these nodes, or all."""
        watch = Watch(self.folder, self._chosen(names))
        holds = watch.wait_for(parse(condition), BOUND_S)
        watch.close()
        assert holds, (condition, self._explain(watch.reports.values()))

    def comes_true(self, condition: str, *names: str, within_s: float) -> bool:
        """Tell whether a condition comes to hold within a time that must pass otherwise."""
        watch = Watch(self.folder, self._chosen(names))
        holds = watch.wait_for(parse(condition), within_s)
        watch.close()
        return holds

    def reports(self, *names: str) -> dict[str, NodeReport]:
        found = control.report(self.folder, self._chosen(names))
        return {report.node.name: report for report in found}

    def record(self, node: str) -> ProcessRecord:
        record = ProcessRecord.load(self.files(node).data)
        assert record is not None, f"{node} does not run"
        return record

    def kill(self, *names: str) -> None:
        """End nodes with SIGKILL, all in the same moment."""
        pids = {name: self.record(name).pid for name in names}
        kill_processes(pids, timeout_s=BOUND_S)

    def call(self, node: str, method: str, *params: object) -> Any:
        with RpcClient(self.record(node).rpc, timeout_s=BOUND_S) as client:
            return client.call(method, params)["data"]

    def hash_at(self, node: str, height: int) -> str:
        return str(self.call(node, "getBlockByNumber", height, False)["hash"])

    def assert_one_chain(self) -> None:
        """All running nodes have the same final blocks, and each has a final one."""
        reports = [each for each in self.reports().values() if each.state == "running"]
        final = min(int(report.status["finalized"]) for report in reports)
        names = [report.node.name for report in reports]
        assert len({self.hash_at(name, final) for name in names}) == 1

    def log(self, node: str) -> str:
        return self.files(node).log.read_text(encoding="utf-8")

    def assert_logs_are_clean(self) -> None:
        """No node has met an error of ours."""
        for spec in self.specs:
            assert "Traceback" not in self.log(spec.name), spec.name
            assert "[error" not in self.log(spec.name), spec.name

    def _chosen(self, names: Sequence[str]) -> list[NodeSpec]:
        return [spec for spec in self.specs if not names or spec.name in names]

    def _explain(self, reports: "Iterator[NodeReport] | Any") -> str:
        lines = []
        for report in reports:
            lines.append(f"{report.node.name}: { {name: report.facts.get(name) for name in SEEN} }")
            lines += [f"    {line}" for line in self.log(report.node.name).splitlines()[-5:]]
        return "\n".join(lines)


@contextmanager
def networks(home: Path) -> Iterator[LocalNetwork]:
    """Lend a folder for networks, and end every process that was started with it."""
    try:
        yield LocalNetwork(home)
    finally:
        kill_processes({str(pid): pid for pid in _processes_of(home)}, timeout_s=BOUND_S)


def environment(home: Path) -> dict[str, str]:
    """Return the variables of a shell that knows nothing but this folder of networks."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    return {**kept, "HOME": str(home), "HEADWAY_NETWORKS": str(home)}


def _processes_of(home: Path) -> list[int]:
    """Return the processes that have this folder in their environment, which forks keep."""
    marker = f"HEADWAY_NETWORKS={home}".encode()
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal():
            continue
        try:
            variables = (folder / "environ").read_bytes().split(b"\0")
        except OSError:
            # Gone meanwhile, or not ours.
            continue
        if marker in variables:
            found.append(int(folder.name))
    return found
