"""Folders for networks of real daemons."""

from collections.abc import Iterator

import pytest

from tests.testnet.running import LocalNetwork, networks


@pytest.fixture
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalNetwork]:
    with networks(tmp_path_factory.mktemp("networks")) as network:
        yield network
