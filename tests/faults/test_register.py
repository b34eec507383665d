"""The register of faults names what is there, and leaves none out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from streams.verify.faults import FAULTS as OF_VERIFY
from tests.faults.page import PAGE, injectors
from tests.faults.register import FAULTS, LATER, SHORT

ROOT = Path(__file__).parents[2]


def collected(*options: str) -> set[str]:
    """Give the names of the tests that a run with *options* would run."""
    files = sorted({"tests/" + name.partition("::")[0] for fault in FAULTS.values() for name in fault.tests})
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *options, *files]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return {line.partition("[")[0].removeprefix("tests/") for line in done.stdout.splitlines() if "::" in line}


def test_no_fault_is_missing() -> None:
    """All 42 have a test, but for those whose part of the product is still to come."""
    assert set(range(1, 43)) - set(FAULTS) == LATER
    assert [number for number, fault in FAULTS.items() if not fault.tests] == []


def test_every_fault_of_verify_exists() -> None:
    """The command knows each name."""
    assert {name for fault in FAULTS.values() for name in fault.verify} <= set(OF_VERIFY)


@pytest.fixture(scope="module")
def every_test() -> set[str]:
    """All that can be collected, the long ones too."""
    return collected("-m", "")


def test_every_test_exists(every_test: set[str]) -> None:
    """By the name that the register gives."""
    assert {name for fault in FAULTS.values() for name in fault.tests} - every_test == set()


def test_the_short_ones_are_run_each_time() -> None:
    """Each of them has a test that `make test` runs, at least in one form."""
    run = collected()

    assert [number for number in SHORT if not run & set(FAULTS[number].tests)] == []


def test_the_page_names_every_fault() -> None:
    """What injects it is told as the register has it, and there is a row of figures for it."""
    lines = PAGE.read_text().splitlines(keepends=True)
    counted = [line.split(" | ")[:2] for line in lines]

    assert [line for line in injectors() if line not in lines] == []
    assert [number for number, fault in FAULTS.items() if counted.count([f"| {number}", fault.what]) != 2] == []
