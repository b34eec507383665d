"""Small runs on a real broker: the order check sees what it must, and speed is measured of whole runs only."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from streams.bench.ground import BenchError, Ground
from streams.bench.latency import measure_latency
from streams.bench.processes import all_settled
from streams.bench.promise import check_order
from streams.bench.race import Race, complete, run_race
from streams.bench.records import numbered_records, produce_all
from streams.bench.task import MODES, Task
from streams.config import Settings
from streams.kafka.admin import Admin
from streams.kafka.offsets import ends
from streams.record import Partition
from tests.brokers import Kafka, Topics, unique

RECORDS = 3_000
FEW = 500
PARTITIONS = 3


def silent(_step: str) -> None:
    """Hear of a step, and keep it."""


@pytest.fixture
def place(kafka: Kafka) -> Ground:
    """The shared broker, as a bench's own."""
    return Ground(Settings(bootstrap=kafka.bootstrap, group="bench"), unique("bench"))


@pytest.fixture
def race(place: Ground, topic: Topics) -> Race:
    """A few records, and every mode."""
    name = topic(partitions=PARTITIONS)
    produce_all(place.settings, name, numbered_records(RECORDS))
    return Race(topic=name, partitions=PARTITIONS, records=RECORDS, repeat=1, modes=MODES, handlers=["noop"])


@pytest.fixture
def few(place: Ground, topic: Topics) -> Race:
    """Fewer records still, on even keys, for what takes time."""
    name = topic(partitions=PARTITIONS)
    produce_all(place.settings, name, numbered_records(FEW, spread="uniform"))
    return Race(topic=name, partitions=PARTITIONS, records=FEW, repeat=1, modes=["threads"], handlers=["noop"])


def test_the_order_of_each_key_is_kept_in_every_mode_and_a_broken_engine_is_seen(place: Ground, race: Race) -> None:
    """Every record comes once and in order; of the engine that reverses batches the same check says it does not."""
    verdicts = check_order(place, race, silent)

    assert [verdict.mode for verdict in verdicts] == list(MODES)
    assert all(verdict.is_kept for verdict in verdicts), [verdict.sound.examples for verdict in verdicts]
    assert all(verdict.is_seen for verdict in verdicts)


def test_every_run_stands_between_two_of_the_control(place: Ground, race: Race) -> None:
    """Each mode is measured over all records, and the control once more than the engine."""
    chosen = Race(
        topic=race.topic, partitions=PARTITIONS, records=RECORDS, repeat=1, modes=["inline", "batch"], handlers=["json"]
    )

    result = run_race(place, chosen, silent)

    assert len(result.controls["json"]) == 3
    assert all(run.records >= RECORDS and run.rate > 0 for run in result.controls["json"])
    assert set(result.figures()) == {("json", "inline"), ("json", "batch")}


def test_waits_on_the_event_loop_are_measured_of_whole_runs(place: Ground, few: Race) -> None:
    """Every record has been waited for when the clock stops."""
    task = few.task("wait1", "asyncio", f"{place.name}-wait")

    assert complete(place.run(task), task).settled == FEW


def test_a_service_and_its_control_send_an_event_for_each_record(place: Ground, few: Race, topic: Topics) -> None:
    """The bare loop does by hand what the handler does: what either sent is acknowledged when its clock stops."""
    events = topic("events")
    race = replace(few, events=events)
    task = race.task("real", "threads", f"{place.name}-real")

    complete(place.run(task), task)
    place.run(race.task("real"))

    with Admin(place.settings) as admin:
        assert ends(admin, [Partition(events, 0)])[Partition(events, 0)] == 2 * FEW


def test_order_is_kept_where_records_fail_once_and_come_back(place: Ground, few: Race) -> None:
    """Every record settles in the end, none before an older one of its key, though some went through a retry topic."""
    task = replace(few, failures=1.0).task("checked", "batch", f"{place.name}-failing")

    outcome = complete(place.run(task), task)

    assert (outcome.checked, outcome.violations) == (FEW, 0), outcome.examples


def test_several_processes_settle_every_record_once_between_them(place: Ground, few: Race) -> None:
    """Members under the supervisor divide the records, whoever joined when, and end when all is done."""
    task = replace(few, turns=100).task("cpu50", "threads", f"{place.name}-crew")

    outcomes = all_settled(place.run_crew(task, 2), task)

    assert len(outcomes) == 2
    assert [outcome.marks[-1][1] for outcome in outcomes if outcome.marks] == [
        outcome.settled for outcome in outcomes if outcome.marks
    ]


def test_a_run_in_which_records_are_missing_is_refused(place: Ground, race: Race) -> None:
    """No rate is quoted of a run that settled fewer records than there are."""
    task = Task(
        topic=race.topic, partitions=PARTITIONS, mode="inline", group=f"{place.name}-half", records=RECORDS // 2
    )
    outcome = msgspec.structs.replace(place.run(task), settled=RECORDS // 2 - 1)

    with pytest.raises(BenchError, match=r"1,499 of 1,500 records settled"):
        complete(outcome, task)


def test_a_run_that_fails_tells_why(place: Ground) -> None:
    """A run that can't start ends the bench with the run's own last words."""
    task = Task(topic="there-is-no-such-topic", partitions=1, mode="inline", group=f"{place.name}-none", records=1)

    with pytest.raises(BenchError, match="there-is-no-such-topic"), place.started(task) as process:
        place.finished(process)


def test_latency_is_told_of_every_record_after_the_warm_up(place: Ground) -> None:
    """The control and each mode give one age for each record that counts, never a negative one."""
    latencies = measure_latency(place, ["inline"], partitions=1, seconds=1, say=silent)

    assert [(one.mode, one.records) for one in latencies] == [(None, 1_000), ("inline", 1_000)]
    assert all(0 <= one.p50_ms <= one.p99_ms <= one.worst_ms for one in latencies)
