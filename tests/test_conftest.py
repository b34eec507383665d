"""The surroundings of the tests keep what they promise, seen from a test run of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from streams.dev.ports import answers
from tests.brokers import require_native
from tests.waiting import eventually

ROOT = Path(__file__).parents[1]

Begin = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def begin(tmp_path: Path) -> Begin:
    """Begin a test run of one file, with the fixtures of this folder."""
    (tmp_path / "conftest.py").write_text("from tests.conftest import *\n")

    own = {"TMPDIR": str(tmp_path)}  # a run that is killed can't tidy up

    def run(program: str, **environ: str) -> subprocess.Popen[str]:
        (tmp_path / "test_it.py").write_text(program)
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "no:cacheprovider",
            "--rootdir",
            str(ROOT),
            "-c",
            "pyproject.toml",
        ]
        return subprocess.Popen(
            [*command, str(tmp_path)],
            cwd=ROOT,
            env={name: value for name, value in os.environ.items() if name not in {"CI", "PYTEST_ADDOPTS"}}
            | own
            | environ,
            stdout=subprocess.PIPE,
            text=True,
        )

    return run


def outcome(begun: subprocess.Popen[str]) -> tuple[int, str]:
    """How a run ended, and what it said."""
    said, _ = begun.communicate(timeout=60)
    return begun.returncode, said


def test_a_swallowed_error_fails_the_test(begin: Begin) -> None:
    """What was logged as an internal error, and went no further, is seen."""
    code, said = outcome(
        begin("import logging\ndef test_it(): logging.getLogger('streams.internal').error('lane lost')\n")
    )

    assert code == 1
    assert "an internal error was swallowed:\nlane lost" in said


def test_a_thread_that_dies_fails_the_test(begin: Begin) -> None:
    """An exception that ended a thread, and went no further, is seen."""
    code, said = outcome(
        begin(
            "import threading\ndef die(): raise ValueError('no offset')\n"
            "def test_it():\n thread = threading.Thread(target=die, name='poll'); thread.start(); thread.join()\n"
        )
    )

    assert code == 1
    assert "poll ended with ValueError: no offset" in said


def test_an_error_that_was_provoked_may_be_cleared(begin: Begin) -> None:
    """A test that looked at the error on purpose passes."""
    code, _ = outcome(
        begin(
            "import logging\ndef test_it(internal_errors):\n"
            " logging.getLogger('streams.internal').error('lane lost')\n"
            " assert internal_errors == ['lane lost']; internal_errors.clear()\n"
        )
    )

    assert code == 0


@pytest.mark.parametrize(("ci", "code", "word"), [("", 0, "1 skipped"), ("true", 1, "1 error")])
def test_a_broker_that_is_absent_is_skipped_at_home_and_fails_on_ci(
    begin: Begin, ci: str, code: int, word: str
) -> None:
    """Nothing may be missing where it counts; at home the reason is shown."""
    ended, said = outcome(begin("def test_it(kafka): ...\n", CI=ci, STREAMS_TEST_KAFKA="container"))

    assert ended == code
    assert word in said
    assert "STREAMS_TEST_KAFKA=container" in said


def test_the_broker_ends_with_a_run_that_is_killed(begin: Begin, tmp_path: Path) -> None:
    """SIGKILL of the test run leaves no broker behind."""
    require_native()
    told = tmp_path / "bootstrap"
    run = begin(
        f"def test_it(kafka):\n open({str(told)!r}, 'w').write(kafka.bootstrap + ';'); input()\n",
        STREAMS_TEST_KAFKA="native",
    )
    eventually(lambda: run.poll() is not None or (told.exists() and told.read_text().endswith(";")), within_s=60)
    port = int(re.findall(r":(\d+);", told.read_text())[0])
    was_there = answers(port)
    run.kill()
    run.communicate()

    assert was_there
    eventually(lambda: not answers(port))
