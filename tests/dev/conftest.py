"""A cluster that the tests of this room share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.dev import DevCluster
from tests.brokers import require_native


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevCluster]:
    """A cluster of one, started as `streams dev up` starts it; a test leaves it running."""
    require_native()
    cluster = DevCluster.start(tmp_path_factory.mktemp("shared") / "dev")
    yield cluster
    cluster.down()


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    """A folder for a cluster; whatever runs in it ends with the test."""
    require_native()
    yield tmp_path / "dev"
    DevCluster(tmp_path / "dev").down()
