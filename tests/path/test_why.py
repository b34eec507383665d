"""`streams why` tells of each record where it is, from the broker alone: with all members dead, too."""

from __future__ import annotations

import re
import time
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
import pytest
from confluent_kafka import TopicPartition

from streams import App, DeadLetter, Record, RetryPolicy
from streams.engine.chain import copy_headers, dlq_topic, parked_topic, retry_topic, unpack
from streams.envelope import Envelope
from streams.outcome import Outcome
from tests.brokers import Topics
from tests.cli.shell import Shell
from tests.path.clocks import LateClock
from tests.path.members import Bench, headers_of

HOUR_S = 3_600
AN_HOUR = RetryPolicy(delays=("1h",), memory_up_to="50ms")


class Place(NamedTuple):
    """A topic on which one of each kind waits, and the group that left it so."""

    orders: str
    group: str


class RefusedError(Exception):
    """The service says no."""


@pytest.fixture
def streams(bench: Bench) -> Shell:
    """The `streams` command."""
    return Shell(bench.bootstrap)


def declare(app: App, orders: str, failed: set[int]) -> None:
    """Have record 0 fail once, and what says so be given up."""

    @app.on(orders, policy="park", retry=AN_HOUR)
    def handle(record: Record) -> Outcome | None:
        if record.value == b"bad":
            return DeadLetter(RefusedError("not ours"))
        if record.offset == 0 and not failed:
            failed.add(0)
            raise RefusedError("try later")
        return None


@pytest.fixture
def clock() -> LateClock:
    """One that goes right until it is put."""
    return LateClock()


@pytest.fixture
def place(bench: Bench, topic: Topics, app: App, clock: LateClock) -> Place:
    """One waits, one is done, one is parked, one is dead; two came after the member had gone."""
    orders = topic()
    declare(app, orders, set())
    traced = Envelope.new("order.placed", "/shop").to_headers()
    bench.write(orders, [(b"slow", b"", [*traced, ("traceparent", f"00-{'ab' * 16}-{'cd' * 8}-01".encode())])])
    bench.write(orders, [(b"quick", b""), (b"slow", b""), (b"worse", b"bad")])
    member = bench.run(app, clock=clock)
    member.until(lambda: {kind for _, kind, _ in member.ear.heard("relocated")} >= {"tier", "parked"})
    member.until(lambda: member.ear.heard("dead_lettered"))
    member.passed()
    member.stop()
    bench.write(orders, [(b"late", b""), (b"slow", b"")])
    return Place(orders, app.group)


def about(streams: Shell, place: Place, offset: int) -> Any:
    """What machines are told of one record."""
    return streams(f"why {place.group} --record {place.orders}/0/{offset} --json").json


def test_every_record_can_be_asked_for_its_state(streams: Shell, place: Place) -> None:
    """Each is in one, though nobody lives who could be asked."""
    states = [about(streams, place, offset)["state"] for offset in range(7)]

    assert states == ["waiting", "done", "parked", "dead-lettered", "due", "due", "absent"]


def test_who_waits_says_until_when(streams: Shell, place: Place) -> None:
    """The copy that is its place now, when that is due, what has failed, and the trace that it belongs to."""
    told = about(streams, place, 0)
    due_s = datetime.fromisoformat(told["here"]["due"]).timestamp()
    said = streams(f"why {place.group} --record {place.orders}/0/0").out

    assert told["here"]["topic"] == retry_topic(place.orders, place.group, HOUR_S)
    assert (told["here"]["hop"], told["here"]["attempts"], told["key"]) == (1, 1, "slow")
    assert abs(due_s - time.time() - HOUR_S) < 120
    assert told["trace_id"] == "ab" * 16
    assert [step["what"] for step in told["steps"]] == [
        "accepted",
        "an attempt failed: RefusedError",
        "moved here to wait 1h",
    ]
    assert f"{place.orders}/0/0 of {place.group}: WAITING in {told['here']['topic']}/0/0 until" in said
    assert re.search(r", (59\.\d m|60\.0 m|1\.0 h) more\. Group", said)


def test_who_is_parked_says_behind_whom(streams: Shell, place: Place) -> None:
    """The oldest record of its key, and what that one waits for."""
    told = about(streams, place, 2)
    said = streams(f"why {place.group} --record {place.orders}/0/2").out

    assert told["here"]["topic"] == parked_topic(place.orders, place.group)
    assert told["behind"]["offset"] == 0
    assert told["behind"]["copy"]["kind"] == "tier"
    assert f"behind {place.orders}/0/0, which waits in {told['behind']['copy']['topic']}/0/0 until" in said


def test_a_dead_letter_says_why(streams: Shell, place: Place) -> None:
    """And which command shows it whole."""
    told = about(streams, place, 3)
    said = streams(f"why {place.group} --record {place.orders}/0/3").out

    assert told["here"]["topic"] == dlq_topic(place.orders, place.group)
    assert "RefusedError: not ours" in told["here"]["error"]
    assert f"streams dlq show {place.group} {place.orders}/0/3" in said


def test_of_a_key_all_that_is_not_done_is_told(streams: Shell, place: Place) -> None:
    """Oldest first, each with its place; of a key with nothing to do, that."""
    (queue,) = streams(f"why {place.group} --key slow --json").json["queues"]
    said = streams(f"why {place.group} --key slow").out
    nothing = streams(f"why {place.group} --key quick").out

    assert [(one["offset"], one["state"]) for one in queue["records"]] == [(0, "waiting"), (2, "parked"), (5, "due")]
    assert queue["is_whole"]
    assert f"3 record(s) not done; the oldest, {place.orders}/0/0, waits in" in said
    assert ", and the others wait for it." in said
    assert "Nothing of key quick waits" in nothing


def test_of_many_copies_of_a_key_the_oldest_that_wait_are_told(
    streams: Shell, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The head says what all others wait for; that they are not all is said too."""
    monkeypatch.setattr("streams.monitor.trail.MOST", 1)
    monkeypatch.setattr("streams.monitor.queue.MOST", 1)
    (queue,) = streams(f"why {place.group} --key slow --json").json["queues"]
    said = streams(f"why {place.group} --key slow")

    assert queue["records"][0]["offset"] == 0
    assert queue["records"][0]["state"] == "waiting"
    assert not queue["is_whole"]
    assert "may be of this key" in said.err


def test_of_a_group_it_is_told_what_stands_still_and_what_for(streams: Shell, place: Place) -> None:
    """By partition in numbers, and in sentences with what to do."""
    told = streams(f"why {place.group} --json").json
    (partition,) = told["partitions"]
    said = streams(f"why {place.group}").out

    assert told["members"] == 0
    assert {name: partition[name] for name in ("outstanding", "waiting", "waiting_due", "parked", "dead_letters")} == {
        "outstanding": 2,
        "waiting": 1,
        "waiting_due": 0,
        "parked": 1,
        "dead_letters": 1,
    }
    assert (partition["member"], partition["unknown"]) == (None, 0)
    assert "2 due, and nobody works on them" in said
    assert "1 wait in retry topics for another attempt, the first for" in said
    assert f"1 are parked behind an earlier record of their key: streams why {place.group} --key KEY" in said
    assert f"1 dead letter(s) that nobody has decided about: streams dlq list {place.group}" in said


def test_what_was_worked_off_is_done_and_its_way_is_still_told(
    streams: Shell, place: Place, bench: Bench, app: App, clock: LateClock
) -> None:
    """A record that has waited keeps its journey for as long as its copies stay in the log."""
    clock.put(time.time() + 2 * HOUR_S)
    member = bench.run(app, clock=clock)
    member.settled()
    member.passed()
    member.stop()
    states = [about(streams, place, offset)["state"] for offset in range(6)]
    told = about(streams, place, 0)
    said = streams(f"why {place.group}").out

    assert states == ["done", "done", "done", "dead-lettered", "done", "done"]
    assert told["here"] is None
    assert told["copies"][0]["counts"] == "no"
    assert "1 dead letter(s)" in said
    assert "due" not in said.partition("\n\n")[2]


def test_what_retention_took_is_told_apart_from_what_was_saved_before(
    streams: Shell, place: Place, bench: Bench
) -> None:
    """With the source's log gone, what the chain holds waits on, what was settled is done, and the rest is expired."""
    everything = TopicPartition(place.orders, 0, 6)
    bench.kafka.admin.delete_records([everything])[everything].result(30)
    states = [about(streams, place, offset)["state"] for offset in range(7)]
    told = about(streams, place, 2)

    assert states == ["waiting", "done", "parked", "dead-lettered", "expired", "expired", "absent"]
    assert (told["key"], told["behind"]["offset"], told["trace_id"]) == ("slow", 0, None)
    assert "EXPIRED: retention removed it" in streams(f"why {place.group} --record {place.orders}/0/4").out


def test_a_copy_that_counts_for_nothing_is_shown_as_such(streams: Shell, place: Place, bench: Bench) -> None:
    """What a former owner appended late is no place of its record, and the journey says so."""
    (copy,) = bench.read(retry_topic(place.orders, place.group, HOUR_S))
    forged = msgspec.structs.replace(unpack(headers_of(copy)), assignment_id=b"ANOTHER!", offset=1, hop=3)
    ours: Any = copy_headers([], forged, None)
    bench.write(retry_topic(place.orders, place.group, HOUR_S), [(b"quick", b"", ours)], partition=0)
    told = about(streams, place, 1)
    said = streams(f"why {place.group} --record {place.orders}/0/1").out

    assert (told["state"], told["here"]) == ("done", None)
    assert told["copies"][0]["why"].startswith("fenced")
    assert "moved here to wait 1h; fenced: appended late" in said


def test_nothing_stands_still_where_all_is_done(streams: Shell, bench: Bench, topic: Topics, app: App) -> None:
    """Which is said in one line, with who is there."""
    orders = topic()
    declare(app, orders, {0})
    bench.write(orders, [(b"a", b""), (b"b", b"")])
    member = bench.run(app)
    member.passed()
    said = streams(f"why {app.group}").out

    assert said.startswith(f"Nothing stands still: all that {app.group} has accepted is done.")
    assert "with 1 member(s)" in said


@pytest.mark.parametrize(
    ("asked", "code", "says"),
    [
        ("--key a --record orders/0/1", 2, "choose one"),
        ("--record orders", 2, "TOPIC/PARTITION/OFFSET"),
        ("--key hex:zz", 2, "hexadecimal"),
        ("--record no.such.topic/0/1", 1, "does not read topic 'no.such.topic'; it reads: orders-"),
    ],
)
def test_what_can_not_be_told_is_said(streams: Shell, place: Place, asked: str, code: int, says: str) -> None:
    """In words, with the exit code of its kind."""
    assert says in streams(f"why {place.group} {asked}", code=code).err


def test_a_partition_that_is_not_there_is_told(streams: Shell, place: Place) -> None:
    """Of a topic that the group does read."""
    assert (
        f"there is no partition {place.orders}/7"
        in streams(f"why {place.group} --record {place.orders}/7/1", code=1).err
    )


def test_an_unknown_group_is_told(streams: Shell) -> None:
    """As other commands tell it."""
    assert "not known here" in streams("why nobody.at.all", code=1).err
