"""A run of everything that breaks things on purpose: `make chaos` loads this into pytest.

It has every fault of the register injected, those too that `make test` injects
each time, and writes the figures of the run into one file, a line a test.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any, Final, TextIO

import pytest

from tests.chaos.seeds import BASE
from tests.faults.figures import HIT, RUN
from tests.faults.register import FAULTS

VARIABLE: Final = "STREAMS_CHAOS_FIGURES"
"""Names the file."""


class Run:
    """The file of one run, written by the process that the user started."""

    def __init__(self, file: TextIO) -> None:
        """Write to *file*."""
        self._file = file
        self._began = time.monotonic()
        self._calls: dict[str, pytest.TestReport] = {}
        self._line({"seed": BASE, "cores": os.cpu_count()})

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Write what a test told, once it has ended wholly."""
        if report.when == "call":
            self._calls[report.nodeid] = report
        elif report.when == "teardown" and (call := self._calls.pop(report.nodeid, None)):
            told: dict[str, list[Any]] = {HIT: [], RUN: []}
            for name, value in report.user_properties:
                if name in told:
                    told[name].append(value)
            failed = "\n".join(one.longreprtext for one in (call, report) if one.failed)
            line = {"test": report.nodeid, "passed": not failed, "seconds": round(call.duration, 1), **told}
            self._line(line | ({"failed": failed} if failed else {}))

    def pytest_sessionfinish(self) -> None:
        """Say how long it took."""
        self._line({"wall_s": round(time.monotonic() - self._began)})
        self._file.close()

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say where the figures are, and how to have the same again."""
        terminalreporter.section("faults")
        terminalreporter.line(f"figures: {self._file.name}; again: make chaos SEED={BASE}")

    def _line(self, said: dict[str, Any]) -> None:
        self._file.write(json.dumps(said) + "\n")
        self._file.flush()


def pytest_configure(config: pytest.Config) -> None:
    """Open the file, but not in a process that only takes part in the run."""
    if VARIABLE in os.environ and not hasattr(config, "workerinput"):
        path = Path(os.environ[VARIABLE])
        path.parent.mkdir(parents=True, exist_ok=True)
        config.pluginmanager.register(Run(path.open("w")))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have the tests of the register run, wherever they stand."""
    named = {name for fault in FAULTS.values() for name in fault.tests}
    for item in items:
        if item.nodeid.partition("[")[0].removeprefix("tests/") in named:
            item.add_marker("chaos")
