"""Ending processes: the right ones, and for good."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from streams.dev.process import Process, guard, spawn, this_process
from tests.waiting import eventually

STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
)
PATIENT = "import time; print('here', flush=True); time.sleep(60)"

Start = Callable[[str], Process]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a Python program and wait until it said something; whatever is left of it ends with the test."""
    started: list[Process] = []

    def run(program: str) -> Process:
        output = tmp_path / f"output-{len(started)}"
        started.append(spawn([sys.executable, "-c", program], output=output))
        eventually(lambda: output.exists() and output.read_text())
        return started[-1]

    yield run
    for process in started:
        process.kill()


def test_a_process_is_named_by_pid_and_birth() -> None:
    """This process runs; one that had its pid before does not."""
    now = this_process()

    assert now.pid == os.getpid()
    assert now.is_running
    assert not replace(now, birth="long ago").is_running


def test_ending_ends(start: Start) -> None:
    """When `end` returns the process is gone."""
    process = start(PATIENT)
    process.end(deadline_s=10)

    assert not process.is_running


def test_a_process_that_ignores_the_request_is_ended_all_the_same(start: Start) -> None:
    """Past the deadline nobody is asked any more."""
    process = start(STUBBORN)
    process.end(deadline_s=0.1)

    assert not process.is_running


def test_a_suspended_process_can_be_ended(start: Start) -> None:
    """One that stands still hears the request."""
    process = start(PATIENT)
    process.send(signal.SIGSTOP)
    process.end(deadline_s=10)

    assert not process.is_running


def test_a_recycled_pid_is_left_alone(start: Start) -> None:
    """Somebody else who has the pid of a process of ours that is gone goes on."""
    stranger = start(PATIENT)
    ours = replace(stranger, birth="an hour ago")
    ours.end(deadline_s=0)
    ours.kill()

    assert stranger.is_running


def test_a_child_that_ended_does_not_run() -> None:
    """A zombie, nobody having asked for its end yet, counts as gone."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    process = replace(this_process(), pid=child.pid)
    child.communicate(b"\n")

    assert not process.is_running


def test_the_guard_ends_the_brokers_when_the_watched_process_is_gone(start: Start, tmp_path: Path) -> None:
    """Whoever the cluster was started for may die as it likes: no broker stays."""
    watched, broker, other = start(PATIENT), start(PATIENT), start(PATIENT)
    roster = tmp_path / "cluster.json"
    roster.write_text(json.dumps({"brokers": [{"process": asdict(broker)}, {"process": None}]}))
    watching = threading.Thread(target=guard, args=(watched, roster))
    watching.start()
    watched.kill()
    watching.join(30)

    assert not broker.is_running
    assert other.is_running


def test_the_guard_goes_when_the_cluster_is_no_more(tmp_path: Path) -> None:
    """Without a roster there is nothing to guard."""
    guard(this_process(), tmp_path / "cluster.json")
