"""From joining to leaving, where no broker answers: a member stops when it is told to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from streams.config import Settings
from streams.dev.ports import free_ports
from streams.engine.ending import Until
from streams.engine.executors.eventloop import AsyncExecutor, EventLoop
from streams.engine.executors.inline import InlineExecutor
from streams.engine.executors.threads import ThreadExecutor
from streams.engine.member import Member, executor_for, stopped_by_signals
from streams.kafka.session import Session
from tests.engine.stage import Heard, plan, route


def charge(order: bytes) -> None:
    """Do nothing."""


async def wait(order: bytes) -> None:
    """Do nothing, later."""


@pytest.fixture
def heard() -> Heard:
    """What the member told."""
    return Heard()


@pytest.fixture
def member(heard: Heard, monkeypatch: pytest.MonkeyPatch) -> Member:
    """A member whose broker went away just after it was asked what operators want."""
    monkeypatch.setattr("streams.engine.member.recorded", lambda _admin, _group: ([], 0))
    settings = Settings(bootstrap=f"127.0.0.1:{free_ports(1)[0]}", group="billing", drain_s=1)
    return Member(
        settings,
        {"orders": route(charge)},
        "classic",
        Session(45, 3),
        plans={"orders": plan(route(charge))},
        observer=heard,
    )


def test_a_member_runs_for_its_time(member: Member, heard: Heard) -> None:
    """When its time is over it leaves in order, and reports that nothing is left."""
    beats: list[int] = []
    member.beat = lambda: beats.append(1)
    report = member.run(Until(max_time_s=0.2))

    assert report.reason == "its time was over"
    assert (report.read, report.left, report.drained, report.committed, report.places) == (0, 0, True, True, ())
    assert beats
    assert len(heard.of("stopping")) == 1


def test_a_member_may_be_stopped_from_any_thread(member: Member) -> None:
    """The first reason counts."""
    threading.Timer(0.1, member.stop, ("enough",)).start()
    threading.Timer(0.1, member.stop, ("more than enough",)).start()

    assert member.run().reason in ("enough", "more than enough")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_a_member(number: signal.Signals, member: Member) -> None:
    """SIGTERM and Ctrl-C are asked to leave in order; afterwards they mean what they meant before."""
    before = signal.getsignal(number)
    with stopped_by_signals(member):
        threading.Timer(0.1, os.kill, (os.getpid(), number)).start()
        report = member.run()

    assert report.reason == number.name
    assert signal.getsignal(number) is before


def test_signals_are_the_main_threads(member: Member) -> None:
    """A member in another thread leaves signals alone."""
    before = signal.getsignal(signal.SIGTERM)
    seen: list[object] = []

    def work() -> None:
        with stopped_by_signals(member):
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    member.run(Until(max_time_s=0))

    assert seen == [before]


def test_a_second_signal_ends_the_process_at_once() -> None:
    """Whoever asks twice does not want to wait."""
    program = (
        "import os, signal; from streams.engine.member import stopped_by_signals\n"
        "class Busy:\n    def stop(self, reason): print(reason, flush=True)\n"
        "with stopped_by_signals(Busy()):\n"
        "    os.kill(os.getpid(), signal.SIGTERM); os.kill(os.getpid(), signal.SIGTERM); print('still there')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)

    assert (done.returncode, done.stdout.split()) == (130, ["SIGTERM"])


@pytest.fixture
def loop() -> Iterator[EventLoop]:
    """A loop for async handlers."""
    loop = EventLoop()
    yield loop
    loop.close()


def test_each_way_of_running_has_its_executor(loop: EventLoop) -> None:
    """A route says where its handlers run."""
    made = [executor_for(route(charge, run="inline"), None), executor_for(route(charge), None)]
    made.append(executor_for(route(wait), loop))
    for one in made:
        one.close()

    assert [type(one) for one in made] == [InlineExecutor, ThreadExecutor, AsyncExecutor]
    assert [one.capacity for one in made] == [1, 16, 1_000]
