from collections.abc import Iterator
from pathlib import Path

import pytest

from node.storage.disk import DiskStore
from node.storage.memory import MemoryStore
from node.storage.store import Store


@pytest.fixture(params=["memory", "disk"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    opened: Store = MemoryStore() if request.param == "memory" else DiskStore(tmp_path / "data")
    yield opened
    opened.close()
