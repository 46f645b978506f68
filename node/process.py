"""process.json: where a running daemon can be reached.

Written after every listener is bound and removed on a clean exit. A record whose process is gone
is what a crash leaves behind; the start time tells a process from a later one of the same id.
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Self

FILE_NAME: Final = "process.json"

_START_TIME_FIELD: Final = 19
"""Of /proc/PID/stat, counted after the command name: clock ticks between boot and start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessRecord:
    """One daemon's process and addresses."""

    pid: int
    start_time: int
    """Clock ticks since boot, as the kernel counts them."""
    peer_id: str
    addresses: tuple[str, ...]
    """Multiaddrs with peer id that it listens on."""
    rpc: str
    """`host:port` of the JSON-RPC listener."""
    network: str
    """Name in the genesis."""
    genesis: str
    """Hash of block 0, hex."""
    profile: str
    version: str

    @classmethod
    def load(cls, folder: Path) -> Self | None:
        """Read the record of a data folder; None where there is none that can be read."""
        try:
            content = json.loads((folder / FILE_NAME).read_text(encoding="utf-8"))
            return cls(**{**content, "addresses": tuple(content["addresses"])})
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def save(self, folder: Path) -> None:
        """Write the record so that a reader sees all of it or nothing."""
        path = folder / FILE_NAME
        unfinished = path.with_name(f".{FILE_NAME}.{self.pid}")
        unfinished.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")
        unfinished.replace(path)

    @staticmethod
    def remove(folder: Path) -> None:
        """Remove the record; a missing one is fine."""
        (folder / FILE_NAME).unlink(missing_ok=True)

    def is_alive(self) -> bool:
        """Tell whether the very process that wrote the record still runs."""
        return start_time_of(self.pid) == self.start_time


def start_time_of(pid: int) -> int | None:
    """Return when a process started, in clock ticks since boot; None if it is gone or a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The command name is in parentheses and may hold anything, so count from its end.
    after_name = stat.rpartition(")")[2].split()
    if after_name[0] in {"Z", "X"}:
        return None
    return int(after_name[_START_TIME_FIELD])


def own_start_time() -> int:
    """Return when this process started."""
    start_time = start_time_of(os.getpid())
    assert start_time is not None
    return start_time
