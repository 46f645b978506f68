"""Free ports."""

import socket
from pathlib import Path
from random import Random

import pytest

from node.errors import ListenError
from node.testnet import ports
from node.testnet.ports import DEFAULT_EPHEMERAL_START, LOWEST_PORT, ephemeral_start, free_ports


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


@pytest.fixture
def narrow_range(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> range:
    """Let there be ten ports, all free, above which the system keeps the rest to itself."""
    starts = range(LOWEST_PORT, DEFAULT_EPHEMERAL_START, 10)
    lowest = next(start for start in starts if all(map(_is_free, range(start, start + 10))))
    file = tmp_path / "ip_local_port_range"
    file.write_text(f"{lowest + 10}\t65535\n")
    monkeypatch.setattr(ports, "LOWEST_PORT", lowest)
    monkeypatch.setattr(ports, "_RANGE_FILE", file)
    return range(lowest, lowest + 10)


def test_ports_are_below_the_ephemeral_range_and_all_different() -> None:
    found = free_ports(100, Random(1))
    assert len(set(found)) == 100
    assert min(found) >= LOWEST_PORT
    assert max(found) < ephemeral_start()


def test_all_of_them_can_be_bound() -> None:
    for port in free_ports(20, Random(2)):
        with socket.create_server(("127.0.0.1", port)):
            pass


def test_a_seed_gives_the_same_order() -> None:
    assert free_ports(5, Random(3)) == free_ports(5, Random(3))


def test_ports_in_use_are_skipped(narrow_range: range) -> None:
    free = free_ports(len(narrow_range), Random(4))
    with socket.create_server(("127.0.0.1", free[0])):
        left = free_ports(len(narrow_range) - 1, Random(4))
        assert sorted(left) == sorted(free[1:])
        with pytest.raises(ListenError, match="only 9 of 10 TCP ports are free"):
            free_ports(len(narrow_range), Random(4))


def test_nothing_is_kept_after_too_few(narrow_range: range) -> None:
    with pytest.raises(ListenError):
        free_ports(len(narrow_range) + 1, Random(5))
    assert sorted(free_ports(len(narrow_range), Random(5))) == list(narrow_range)


@pytest.mark.parametrize("content", ["", "many\n", None])
def test_a_system_that_does_not_say_its_range(
    content: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "range"
    if content is not None:
        file.write_text(content)
    monkeypatch.setattr(ports, "_RANGE_FILE", file)
    assert ephemeral_start() == DEFAULT_EPHEMERAL_START
