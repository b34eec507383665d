"""`streams verify` on a real Kafka: the sound engine keeps the promise, and each broken one is found out."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.brokers import Kafka, require_native
from tests.cli.shell import Shell

APP = "verify examples.orders:app --json"
OF_MEMBERS = "sigkill,sigterm,sigstop,rebalance"
_MINUTES = 600


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


def test_the_promise_holds(streams: Shell, here: str, kafka: Kafka) -> None:
    """A kill and a rebalance with records in flight: every invariant holds, and nothing is left behind."""
    said = streams(f"{APP} {here} --records 3000 --members 2 --seed 11 --faults sigkill,rebalance")
    document = said.json

    assert document["kept"], document
    assert {row["name"] for row in document["invariants"]} >= {"no loss", "order", "progress", "commit safety"}
    assert all(row["looked_at"] for row in document["invariants"] if row["name"] != "duplicates bounded")
    assert [fault["injected"] for fault in document["faults"]] == [1, 1]
    assert all(fault["in_flight"] and fault["members"] for fault in document["faults"])
    assert document["history"] is None
    assert not [name for name in kafka.admin.list_topics(timeout=30).topics if name.startswith("streams-verify-")]


def test_work_that_is_committed_too_early_is_found(streams: Shell, here: str) -> None:
    """The command names what was lost, keeps the history and ends with 1."""
    options = "--records 2000 --members 2 --seed 12 --faults sigkill --break commit-before-work"
    document = streams(f"{APP} {here} {options}", code=1).json
    folder = Path(document["history"])
    history, journals = (folder / "history.jsonl").read_bytes(), list(folder.glob("*/*.journal"))
    shutil.rmtree(folder)

    assert {"no loss", "commit safety"} <= set(document["violated"])
    assert "neither done nor dead" in document["invariants"][0]["examples"][0]
    assert b'"violated":"lost"' in history
    assert len(journals) == 3


@pytest.mark.kafka
def test_the_promise_holds_when_the_network_breaks(streams_alone: Shell) -> None:
    """Connections are reset, and a member that is cut off goes on as a zombie."""
    document = streams_alone(f"{APP} --records 1500 --members 2 --seed 21 --failing 0 --faults reset,cutoff").json

    assert document["kept"], document
    assert {fault["fault"]: fault["injected"] for fault in document["faults"]} == {"reset": 1, "cutoff": 1}
    assert all(fault["in_flight"] and fault["members"] for fault in document["faults"])


@pytest.mark.chaos
@pytest.mark.timeout(_MINUTES)
@pytest.mark.parametrize("faults", ["reset,cutoff", "delay", "coordinator", "halfopen", "suspend", "outage"])
def test_the_promise_holds_while_brokers_are_out_of_reach(faults: str, streams_alone: Shell) -> None:
    """For all members or one, with retries under way."""
    assert streams_alone(f"{APP} --records 6000 --times 2 --faults {faults}").json["kept"]


@pytest.mark.chaos
@pytest.mark.timeout(_MINUTES)
def test_a_zombie_without_a_lease_is_found(streams_alone: Shell) -> None:
    """Cut off, it goes on with what it has read, while others do the same."""
    options = "--records 2000 --members 2 --seed 5 --faults cutoff --break no-lease"
    document = streams_alone(f"{APP} {options}", code=1).json
    shutil.rmtree(document["history"])

    assert "duplicates bounded" in document["violated"]


@pytest.mark.chaos
@pytest.mark.timeout(_MINUTES)
@pytest.mark.parametrize(
    ("broken", "options", "invariant"),
    [
        ("settle-before-ack", "--faults sigkill", "no loss"),
        ("no-index", "--faults none", "order"),
        ("reverse-order", "--faults none", "order"),
        ("no-lease", "--faults sigstop", "duplicates bounded"),
        ("no-fence", "--faults sigstop --failing 0.5", "commit safety"),
    ],
)
def test_a_broken_engine_is_found(broken: str, options: str, invariant: str, streams: Shell, here: str) -> None:
    """Each turns its own invariant red."""
    document = streams(f"{APP} {here} --records 2000 --seed 5 --break {broken} {options}", code=1).json
    shutil.rmtree(document["history"])

    assert invariant in document["violated"]


@pytest.mark.chaos
@pytest.mark.timeout(_MINUTES)
@pytest.mark.parametrize("protocol", ["consumer", "classic"])
def test_the_promise_holds_under_every_fault_of_members(streams: Shell, here: str, protocol: str) -> None:
    """Kills, stops, zombies and newcomers, twice each."""
    options = f"--records 10000 --times 2 --faults {OF_MEMBERS} --protocol {protocol}"

    assert streams(f"{APP} {here} {options}").json["kept"]


@pytest.mark.chaos
@pytest.mark.timeout(_MINUTES)
def test_the_promise_holds_when_brokers_die(streams_alone: Shell) -> None:
    """On three brokers of its own, which end with it."""
    document = streams_alone(f"{APP} --records 20000 --faults sigkill,rebalance,broker").json

    assert document["kept"], document
    assert {fault["fault"] for fault in document["faults"]} == {"sigkill", "rebalance", "broker"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--faults sigkill,flood", "'flood' is none of sigkill"),
        ("--break nothing", "'nothing' is none of"),
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
