"""How much memory a process really takes."""

from pathlib import Path


def proportional_bytes(pid: int) -> int | None:
    """Return the proportional set size of a process: its own pages and its share of common ones.

    Nodes that were forked from one parent share most of their memory, which the resident size
    counts anew for each. None if the process is gone or not ours to look at.
    """
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    sizes = [line.split()[1] for line in lines if line.startswith("Pss:")]
    return int(sizes[0]) * 1024 if sizes else None
