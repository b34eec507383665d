"""`lag`, `status` and `describe` tell what the broker knows of a group."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from confluent_kafka import Consumer

from streams.engine.snapshot import Snapshot, encode
from streams.kafka.admin import Admin
from streams.kafka.offsets import Committed, commit_for_stopped
from streams.kafka.topics import delete_topics
from streams.record import Origin, Partition
from tests.brokers import QUIET, Kafka, Topics
from tests.cli.shell import Shell
from tests.conftest import RUN
from tests.deadletter.burial import Burial
from tests.kafka.logs import write, write_at
from tests.waiting import eventually

Document: TypeAlias = dict[str, Any]


@pytest.fixture(scope="session")
def kafka(request: pytest.FixtureRequest) -> Kafka:
    """A broker with few groups: some of these commands look at all that there are."""
    return request.config.stash[RUN].kafka(QUIET)


@pytest.fixture
def stood(admin: Admin, kafka: Kafka, topic: Topics, group: Callable[..., str]) -> tuple[str, str]:
    """A topic of two partitions with ten records in the first, and a stopped group that has done seven of them."""
    name, team = topic(partitions=2), group()
    write(kafka, name, [b"x"] * 10)
    commit_for_stopped(admin, team, {Partition(name, 0): Committed(4, encode(Snapshot(b"12345678", runs=(2, 3))))})
    return name, team


def test_lag_counts_what_is_not_settled(streams: Shell, stood: tuple[str, str]) -> None:
    """Beyond the committed offset, less what the ledger says is done; partitions never committed count too."""
    name, team = stood
    document = streams(f"lag {team} --json").json
    first, second = document["partitions"]

    assert (document["state"], document["members"], document["outstanding"]) == ("empty", 0, 3)
    assert (first["committed"], first["settled_above"], first["end"], first["outstanding"]) == (4, 3, 10, 3)
    assert (second["committed"], second["outstanding"], second["lag_seconds"]) == (None, 0, None)
    assert name in streams(f"lag {team}").out


def test_lag_in_seconds_is_the_age_of_the_oldest_outstanding_record(
    streams: Shell, admin: Admin, kafka: Kafka, topic: Topics, group: Callable[..., str]
) -> None:
    """By the record's own timestamp: done ones do not count, however old."""
    name, team = topic(), group()
    now_ms = int(time.time() * 1000)
    write_at(kafka, name, (1_000, now_ms - 3_600_000, now_ms))
    commit_for_stopped(admin, team, {Partition(name, 0): Committed(1)})
    document = streams(f"lag {team} --json").json

    assert 3_600 <= document["lag_seconds"] < 4_200


def test_lag_names_the_member(streams: Shell, kafka: Kafka, stood: tuple[str, str]) -> None:
    """Who has which partition."""
    name, team = stood
    settings = kafka.client(group_id=team, group_protocol="consumer", enable_auto_commit=False)
    with closing(Consumer(settings)) as member:
        member.subscribe([name])
        eventually(lambda: member.poll(0.1) or len(member.assignment()) == 2)
        document = eventually(lambda: _with_owners(streams, team))

    assert document["members"] == 1
    assert {one["member"] for one in document["partitions"]} == {member_id(document)}


def member_id(document: Document) -> str:
    """Give the first member that is named."""
    member: str = document["partitions"][0]["member"]
    return member


def _with_owners(streams: Shell, team: str) -> Document:
    document: Document = streams(f"lag {team} --json").json
    return document if all(one["member"] for one in document["partitions"]) else {}


def test_status_shows_groups_of_streams(streams: Shell, kafka: Kafka, stood: tuple[str, str]) -> None:
    """Outstanding and dead letters, topic by topic."""
    name, team = stood
    streams(f"topics create {name} --group {team}")
    Burial(kafka, team).bury(Origin(name, 1, 3, 5))
    (ours,) = [one for one in streams("status --json").json["groups"] if one["group"] == team]

    assert (ours["state"], ours["members"], ours["outstanding"], ours["dead_letters"]) == ("empty", 0, 3, 1)
    assert ours["topics"] == [
        {
            "topic": name,
            "partitions": 2,
            "outstanding": 3,
            "settled_above": 3,
            "expired": 0,
            "waiting": 0,
            "parked": 0,
            "dead_letters": 1,
        }
    ]
    assert streams(f"status {team} --json").json["groups"] == [ours]
    assert team in streams("status").out


def test_status_counts_what_waits_in_the_chain(
    streams: Shell, admin: Admin, kafka: Kafka, stood: tuple[str, str]
) -> None:
    """By the ledgers that are committed for its topics: all beyond the committed offset but what is settled there."""
    name, team = stood
    streams(f"topics create {name} --group {team} --policy park --retry 1m --retry 10m")
    minute, ten_minutes, parked, dlq = (
        Partition(f"{name}.{team}.{end}", 1) for end in ("retry.1m", "retry.10m", "parked", "dlq")
    )
    for place, count in ((minute, 5), (ten_minutes, 2), (parked, 100), (dlq, 3)):
        write(kafka, place.topic, [b"copy"] * count, partition=1)
    ledgers = {
        minute: Committed(3, encode(Snapshot(b"12345678", scan_end=3))),
        parked: Committed(10, encode(Snapshot(b"12345678", runs=(20, 30), scan_end=3))),
        dlq: Committed(1, encode(Snapshot(b"12345678", scan_end=3))),
    }
    commit_for_stopped(admin, team, ledgers)
    (ours,) = streams(f"status {team} --json").json["groups"]
    table = streams(f"status {team}").out.splitlines()
    told = streams(f"describe {team}").out

    assert (ours["waiting"], ours["parked"], ours["dead_letters"]) == (4, 60, 2)
    assert [ours["topics"][0][kind] for kind in ("outstanding", "waiting", "parked", "dead_letters")] == [3, 4, 60, 2]
    assert table[0].split()[-6:] == ["topic", "outstanding", "waiting", "parked", "dead", "letters"]
    assert table[-1].split()[-4:] == ["3", "4", "60", "2"]
    assert "3 outstanding, waiting: 4, parked: 60, dead letters: 2" in told


def test_status_takes_no_topic_of_a_chain_for_a_source(streams: Shell, admin: Admin, stood: tuple[str, str]) -> None:
    """The group commits in its tiers too, and in tiers that are gone; neither is a topic of its backlog."""
    name, team = stood
    streams(f"topics create {name} --group {team} --policy park --retry 1m")
    places = [Partition(f"{name}.{team}.{end}", 0) for end in ("retry.1m", "parked", "dlq")]
    commit_for_stopped(admin, team, dict.fromkeys(places, Committed(0)))
    delete_topics(admin, [places[0].topic])
    (ours,) = streams(f"status {team} --json").json["groups"]

    assert [one["topic"] for one in ours["topics"]] == [name]
    assert (ours["outstanding"], ours["dead_letters"]) == (3, 0)
    assert {one["topic"] for one in streams(f"lag {team} --json").json["partitions"]} == {name}


def test_status_leaves_out_what_is_none_of_ours(
    streams: Shell, admin: Admin, topic: Topics, group: Callable[..., str]
) -> None:
    """A group without ledger and dead letters is shown only when it is named."""
    name, team = topic(), group()
    commit_for_stopped(admin, team, {Partition(name, 0): Committed(0, "another tool's")})

    assert team not in {one["group"] for one in streams("status --json").json["groups"]}
    assert streams(f"status {team} --json").json["groups"][0]["group"] == team


def test_a_deleted_topic_is_nobody_s_backlog(
    streams: Shell, kafka: Kafka, stood: tuple[str, str], topic: Topics
) -> None:
    """Its group is still shown, or forgotten with it, as the broker likes; its records are outstanding no more."""
    (name, team), _other = stood, topic()
    kafka.admin.delete_topics([name])[name].result(30)
    eventually(lambda: name not in kafka.admin.list_topics(timeout=30).topics)
    groups = streams("status --json").json["groups"]

    assert [one["outstanding"] for one in groups if one["group"] == team] in ([], [0])


@pytest.mark.parametrize("command", ["lag", "status", "describe"])
def test_an_unknown_group_is_said(streams: Shell, group: Callable[..., str], command: str) -> None:
    """It ends with 1 and tells how to see which there are."""
    said = streams(f"{command} {group()}", code=1)

    assert "is not known here" in said.err
    assert "streams status" in said.err


def test_describe_shows_members_and_assignment(streams: Shell, kafka: Kafka, stood: tuple[str, str]) -> None:
    """Protocol, assignor, topics, and who has what."""
    name, team = stood
    settings = kafka.client(group_id=team, group_protocol="classic", client_id="till-1", enable_auto_commit=False)
    with closing(Consumer(settings)) as member:
        member.subscribe([name])
        eventually(lambda: member.poll(0.1) or len(member.assignment()) == 2)
        document = eventually(lambda: _stable(streams, team))
        out = streams(f"describe {team}").out

    assert (document["protocol"], document["assignor"]) == ("classic", "range")
    assert document["assignment"][0]["client"] == "till-1"
    assert [one["partition"] for one in document["assignment"][0]["partitions"]] == [0, 1]
    assert f"{name}: 0, 1" in out


def _stable(streams: Shell, team: str) -> Document:
    document: Document = streams(f"describe {team} --json").json
    return document if document["assignment"] and document["assignment"][0]["partitions"] else {}


APP = """
from streams import App, RetryPolicy
app = App("billing", max_in_flight=1234)

class CardError(Exception): ...

patient = RetryPolicy(
    delays=("200ms", "10s", "2m"),
    deadline="1h",
    dead_letter_on=(KeyError,),
    overrides={CardError: RetryPolicy(("1s",))},
)

@app.on("orders", key="order_id", concurrency=4, timeout="30s", tombstones=True, retry=patient, policy="block")
def charge(order: dict) -> None: ...

@app.on("refunds", batch=50, run="inline", policy="block")
def refund(orders: list[dict]) -> None: ...
"""


@pytest.fixture
def described(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """An app in the working directory, `described_app:app`, and no broker anywhere."""
    (tmp_path / "described_app.py").write_text(APP)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return Shell("")


def test_describe_tells_what_an_app_guarantees(described: Shell) -> None:
    """Order, retries, bounds and what happens at them, without a broker."""
    document = described("describe described_app:app --json").json
    charge, refund = document["routes"]

    assert (charge["topic"], charge["handler"], charge["policy"], charge["dead_letters"]) == (
        "orders",
        "charge",
        "block",
        "orders.billing.dlq",
    )
    assert charge["retry"]["schedule"] == [
        "attempt 1 at once",
        "attempt 2 after 200ms",
        "attempt 3 after 10s",
        "attempt 4 after 2m",
        "then the dead-letter topic",
    ]
    assert charge["retry"]["never_retried"] == ["RecordError", "KeyError"]
    assert charge["retry"]["deadline"] == "1h"
    assert charge["retry"]["overrides"]["CardError"][1] == "attempt 2 after 1s"
    assert charge["runs"] == "in up to 4 threads"
    assert refund["runs"] == "on the poll thread, one at a time, in batches of up to 50"
    assert {"setting": "max_in_flight", "value": 1234}.items() <= document["bounds"][0].items()


def test_describe_reads_well(described: Shell) -> None:
    """People get the same in sentences."""
    out = " ".join(described("describe described_app:app").out.split())

    for part in (
        "At least once",
        "one at a time, in the order of the topic",
        "orders.billing.dlq",
        "max_in_flight 1,234",
    ):
        assert part in out


PARKING = """
from streams import App, RetryPolicy
app = App("billing", key_records=77, on_key_full="{full}")
patient = RetryPolicy(("1s", "2m"), max_attempts=4, overrides={{OSError: RetryPolicy(("1h",))}})

@app.on("orders", policy="{policy}", dead_letters="{dead}", retry=patient)
def charge(order: dict) -> None: ...
"""


@pytest.fixture
def parking(described: Shell, tmp_path: Path) -> Callable[..., Document]:
    """Describe an app whose records leave memory."""

    def describe(policy: str, dead: str = "continue", full: str = "stop") -> Document:
        name = f"app_of_{policy}_{dead}_{full}"
        (tmp_path / f"{name}.py").write_text(PARKING.format(policy=policy, dead=dead, full=full))
        document: Document = described(f"describe {name}:app --json").json
        return document | {"out": " ".join(described(f"describe {name}:app").out.split())}

    return describe


@pytest.mark.parametrize(
    ("policy", "ends", "words"),
    [
        ("park", ["retry.2m", "retry.1h", "parked", "dlq"], "wait behind it, in memory or in orders.billing.parked"),
        ("unordered", ["retry.2m", "retry.1h", "dlq"], "the later records of its key overtake it"),
    ],
)
def test_describe_tells_where_records_wait(
    parking: Callable[..., Document], policy: str, ends: list[str], words: str
) -> None:
    """Which waits are spent in which topic, who waits behind whom, and all topics of the chain."""
    document = parking(policy)
    (charge,) = document["routes"]

    assert charge["chain"] == [f"orders.billing.{end}" for end in ends]
    assert charge["retry"]["schedule"][1:4] == [
        "attempt 2 after 1s",
        "attempt 3 after 2m in retry.2m",
        "attempt 4 after 2m in retry.2m",
    ]
    assert charge["retry"]["overrides"]["OSError"][1] == "attempt 2 after 1h in retry.1h"
    for part in (words, "in memory up to 10s, longer in orders.billing.retry.2m", ", ".join(charge["chain"])):
        assert part in document["out"]


@pytest.mark.parametrize(
    ("dead", "words"),
    [
        ("continue", "its key goes on with the next record"),
        ("hold", "stands still until an operator retries or forgets it"),
        ("follow", "become dead letters behind it"),
    ],
)
def test_describe_tells_what_a_dead_letter_means(parking: Callable[..., Document], dead: str, words: str) -> None:
    """For the later records of its key."""
    document = parking("park", dead)

    assert document["routes"][0]["dead_letter_policy"] == dead
    assert words in document["routes"][0]["after_dead_letter"]
    assert f"{dead}: after a dead letter" in document["out"]


@pytest.mark.parametrize(
    ("full", "words"),
    [("stop", "intake stops until half of them ended"), ("dead_letter", "go to the dead-letter topic unrun")],
)
def test_describe_tells_what_a_full_key_leads_to(parking: Callable[..., Document], full: str, words: str) -> None:
    """Each bound of the chain with its effect; without retry topics there are none."""
    bounds = {one["setting"]: one for one in parking("park", full=full)["bounds"]}

    assert bounds["key_records"]["value"] == 77
    assert words in bounds["key_records"]["effect"]
    assert {"chain_records", "chain_history_s", "waiting_records"} <= set(bounds)
    assert "key_records" not in {one["setting"] for one in parking("unordered")["bounds"]}
    assert "chain_records" not in {one["setting"] for one in parking("block")["bounds"]}


def test_describe_masks_secrets(described: Shell) -> None:
    """A password of the environment is not told."""
    said = described("describe described_app:app --json", STREAMS_KAFKA_SASL_PASSWORD="hush-hush")  # noqa: S106  # a test's

    assert said.json["settings"]["kafka"] == {"sasl.password": "***"}
    assert "hush-hush" not in said.out


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("no_such_module:app", "there is no module"),
        ("described_app:nothing", "has no App named 'nothing'; it has app"),
        ("described_app:", "is not of the form module:app"),
    ],
)
def test_an_app_that_is_not_there_is_said(described: Shell, name: str, words: str) -> None:
    """What can't be loaded ends with 2."""
    assert words in described(f"describe {name}", code=2).err
