"""`streams verify` on a real Kafka: the sound engine keeps the promise, and each broken one is found out."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.brokers import Kafka, require_native
from tests.chaos.seeds import seeded
from tests.cli.shell import Shell
from tests.verify.conftest import Told
from tests.waiting import eventually

APP = "verify examples.orders:app --json"
OF_MEMBERS = "sigkill,sigterm,sigterm2,sigstop,rebalance,storm,foreign"
_MINUTES = 600


HERE = pytest.mark.xdist_group("verify_here")
"""On the broker that all tests share: one after the other, as one of them looks whether anything was left behind."""


@pytest.fixture
def streams(kafka: Kafka) -> Shell:
    """The `streams` command."""
    return Shell(kafka.bootstrap)


@pytest.fixture
def streams_alone() -> Shell:
    """The same, for runs that have a cluster of their own."""
    require_native()
    return Shell("127.0.0.1:1")


@pytest.fixture
def here(kafka: Kafka) -> str:
    """The options that have it run on the broker that all tests share."""
    return f"--bootstrap {kafka.bootstrap} --yes"


def _left(kafka: Kafka) -> list[str]:
    """The topics of runs that are over: a broker may hear of their end a moment after the controller."""
    return [name for name in kafka.admin.list_topics(timeout=30).topics if name.startswith("streams-verify-")]


def violated(lines: Iterable[str]) -> list[str]:
    """Give what runs on clusters of their own found violated, all of them together; they run side by side."""
    require_native()
    running = [started(line) for line in lines]
    said = [process.communicate() for process in running]
    assert {process.returncode for process in running} <= {0, 1}, said
    documents = [json.loads(out) for out, _ in said]
    for document in documents:
        if document["history"] is not None:
            shutil.rmtree(document["history"])
    return [name for document in documents for name in document["violated"]]


@HERE
def test_the_promise_holds(streams: Shell, here: str, kafka: Kafka, told: Told) -> None:
    """A kill and a rebalance with records in flight: every invariant holds, and nothing is left behind."""
    options = f"--records 3000 --members 2 --seed {seeded(11)} --faults sigkill,rebalance"
    document = told(streams(f"{APP} {here} {options}").json)

    assert document["kept"], document
    assert {row["name"] for row in document["invariants"]} >= {"no loss", "order", "progress", "commit safety"}
    assert all(row["looked_at"] for row in document["invariants"] if row["name"] != "duplicates bounded")
    assert [fault["injected"] for fault in document["faults"]] == [1, 1]
    assert all(fault["in_flight"] and fault["members"] for fault in document["faults"])
    assert document["history"] is None
    eventually(lambda: not _left(kafka))


BROKEN = {
    "reverse-order": ("--keys 40 --failing 0 --faults none", "order"),
    "no-index": ("--keys 40 --failing 0.1 --faults none", "order"),
    "early-retry": ("--keys 40 --failing 0.1 --faults none", "retry"),
    "settle-before-ack": ("--failing 0 --faults sigkill", "no loss"),
    "commit-before-work": ("--failing 0 --faults sigkill", "no loss"),
}
"""What is broken on purpose: a short run that shows it, and the invariant that turns red."""


@HERE
def test_each_broken_engine_is_found(here: str) -> None:
    """Each turns its own invariant red and keeps its history; they run side by side, as most of the time they wait."""
    small = f"{here} --records 100 --members 2 --seed 5"
    running = {name: started(f"{APP} {small} --break {name} {options}") for name, (options, _) in BROKEN.items()}
    said = {name: process.communicate() for name, process in running.items()}
    codes = {name: process.returncode for name, process in running.items()}

    assert codes == dict.fromkeys(BROKEN, 1), {name: err for name, (_, err) in said.items() if codes[name] != 1}
    documents = {name: json.loads(out) for name, (out, _) in said.items()}
    lost = documents["commit-before-work"]
    folder = Path(lost["history"])
    history, journals = (folder / "history.jsonl").read_bytes(), list(folder.glob("*/*.journal"))
    for document in documents.values():
        shutil.rmtree(document["history"])
    for name, (_, invariant) in BROKEN.items():
        assert invariant in documents[name]["violated"], documents[name]
    assert "neither done nor dead" in lost["invariants"][0]["examples"][0]
    assert b'"violated":"lost"' in history
    assert len(journals) == 3


def started(line: str) -> subprocess.Popen[str]:
    """Start `streams` with *line*, as a process of its own."""
    command = [sys.executable, "-m", "streams", *line.split()]
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.kafka
def test_the_promise_holds_when_the_network_breaks(streams_alone: Shell, told: Told) -> None:
    """Connections are reset, and a member that is cut off goes on as a zombie."""
    options = f"--records 1500 --members 2 --seed {seeded(21)} --failing 0 --faults reset,cutoff"
    document = told(streams_alone(f"{APP} {options}").json)

    assert document["kept"], document
    assert {fault["fault"]: fault["injected"] for fault in document["faults"]} == {"reset": 1, "cutoff": 1}
    assert all(fault["in_flight"] and fault["members"] for fault in document["faults"])


@pytest.mark.chaos
@pytest.mark.timeout(_MINUTES)
@pytest.mark.parametrize(
    "faults", ["reset,cutoff", "delay", "coordinator", "halfopen", "suspend", "outage", "failover", "rolling"]
)
def test_the_promise_holds_while_brokers_are_out_of_reach(faults: str, streams_alone: Shell, told: Told) -> None:
    """For all members or one, with retries under way."""
    options = f"--records 6000 --times 2 --seed {seeded(22)} --faults {faults}"

    assert told(streams_alone(f"{APP} {options}", STREAMS_KAFKA_DEBUG="cgrp").json)["kept"]


@pytest.mark.chaos
@pytest.mark.timeout(3 * _MINUTES)
@pytest.mark.parametrize(
    ("broken", "options", "invariant"),
    [
        ("no-lease", "--records 2000 --faults cutoff", "duplicates bounded"),
        ("no-fence", "--records 500 --faults cutoff --times 2 --failing 0.5 --keys 4000", "commit safety"),
    ],
)
def test_a_zombie_of_a_broken_engine_is_found(broken: str, options: str, invariant: str) -> None:
    """Cut off, it goes on with what it has read, and what it had sent on its way arrives late: within a few seeds.

    Who owns what afterwards is the group's choice: every other run shows nothing.
    """
    line = f"{APP} --members 2 --break {broken} {options}"
    pairs = [[f"{line} --seed {seed}" for seed in (first, first + 1)] for first in range(5, 15, 2)]

    assert any(invariant in violated(pair) for pair in pairs)


@pytest.mark.chaos
@pytest.mark.timeout(_MINUTES)
@pytest.mark.parametrize(
    ("broken", "options", "invariant"),
    [
        ("changed-only", "--faults foreign --failing 0.2 --keys 2000", "commit safety"),
    ],
)
def test_a_broken_engine_is_found_in_the_long_run(
    broken: str, options: str, invariant: str, streams: Shell, here: str
) -> None:
    """Each turns its own invariant red."""
    document = streams(f"{APP} {here} --records 2000 --seed 5 --break {broken} {options}", code=1).json
    shutil.rmtree(document["history"])

    assert invariant in document["violated"]


@pytest.mark.chaos
@pytest.mark.timeout(_MINUTES)
@pytest.mark.parametrize("static", ["", "--static"])
@pytest.mark.parametrize("protocol", ["consumer", "classic"])
def test_the_promise_holds_under_every_fault_of_members(
    streams: Shell, here: str, protocol: str, static: str, told: Told
) -> None:
    """Kills, stops, zombies and newcomers, twice each; with names that outlast members too."""
    options = f"--records 10000 --times 2 --seed {seeded(23)} --faults {OF_MEMBERS} --protocol {protocol} {static}"

    assert told(streams(f"{APP} {here} {options}").json)["kept"]


@pytest.mark.chaos
@pytest.mark.timeout(_MINUTES)
def test_the_promise_holds_while_nobody_can_commit(streams_alone: Shell, told: Told) -> None:
    """The coordinator is out of reach of all members for a minute."""
    assert told(streams_alone(f"{APP} --records 6000 --seed {seeded(24)} --faults headless").json)["kept"]


@pytest.mark.chaos
@pytest.mark.timeout(_MINUTES)
def test_a_long_run_shows_whether_members_stay_level(streams_alone: Shell, told: Told) -> None:
    """Faults come now and then until the time is over; one member lives through all of them, and is judged."""
    document = told(streams_alone(f"{APP} --soak 2.5 --seed {seeded(25)} --faults sigkill,rebalance").json)
    level = {row["name"]: row for row in document["invariants"]}["resources"]

    assert document["kept"], document
    assert level["looked_at"] > 100
    assert 1 in document["resources"]["members_judged"]
    assert sum(fault["injected"] for fault in document["faults"]) > 2


@pytest.mark.chaos
@pytest.mark.timeout(_MINUTES)
def test_the_promise_holds_when_brokers_die(streams_alone: Shell, told: Told) -> None:
    """On three brokers of its own, which end with it."""
    options = f"--records 20000 --seed {seeded(26)} --faults sigkill,rebalance,broker"
    document = told(streams_alone(f"{APP} {options}").json)

    assert document["kept"], document
    assert {fault["fault"] for fault in document["faults"]} == {"sigkill", "rebalance", "broker"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--faults sigkill,flood", "'flood' is none of sigkill"),
        ("--break nothing", "'nothing' is none of"),
        ("--faults all,sigkill", "'all' is none of sigkill"),
        ("--bootstrap 127.0.0.1:1", "Add --yes"),
        ("--bootstrap 127.0.0.1:1 --yes --faults broker", "only where they are the run's own"),
        ("--bootstrap 127.0.0.1:1 --yes --faults cutoff,sigkill", "or cutoff of --faults"),
        ("--payload invoices=bodies.jsonl", "the app has no topic 'invoices'"),
        ("--payload there-is-no-such-file", "can't be read"),
    ],
)
def test_what_can_not_be_meant_is_said(options: str, words: str) -> None:
    """It ends with 2, and nothing was started."""
    assert words in Shell("127.0.0.1:1")(f"{APP} {options}", code=2).err


@pytest.mark.parametrize("command", ["verify", "bench", "run"])
def test_examples_stand_as_they_are(command: str) -> None:
    """The help shows the line to copy, and no sign that was meant for the formatter."""
    said = Shell("127.0.0.1:1")(f"{command} --help").out

    assert f"  Example: streams {command} " in said
    assert "\\b" not in said
