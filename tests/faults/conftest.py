"""What the tests of faults share: a broker with members at hand, and the count of what was hit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.dev import DevCluster, this_process
from tests.brokers import require_native
from tests.path.conftest import app, bench

__all__ = ["app", "bench"]

_FIGURES = "faults"


@pytest.fixture
def cluster1(tmp_path: Path) -> Iterator[DevCluster]:
    """A broker of this test alone, whose files it may damage."""
    require_native()
    cluster = DevCluster.start(tmp_path / "kafka", brokers=1, lives_with=this_process())
    yield cluster
    cluster.down()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what was hit."""
    reports = [one for kind in ("passed", "failed") for one in terminalreporter.getreports(kind) if one.when == "call"]
    told = [(one.nodeid, value) for one in reports for name, value in one.user_properties if name == _FIGURES]
    if told:
        terminalreporter.section("what the faults hit")
    for name, line in told:
        terminalreporter.line(f"{name.rpartition('::')[2]}: {line}")
