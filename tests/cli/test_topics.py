"""Topics and their chain are made as wanted, listed, described, checked and mended."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.kafka.admin import Admin
from streams.kafka.topics import find_topics, set_config
from tests.brokers import Kafka, Topics, unique
from tests.cli.shell import Shell
from tests.kafka.logs import write

APP = """
from streams import App
app = App("{group}")

@app.on("{topic}")
def take(order: dict) -> None: ...
"""
PARKING = """
from streams import App, RetryPolicy
app = App("{group}")

@app.on("{topic}", policy="park", retry=RetryPolicy(("1s", "2m", "1h")))
def take(order: dict) -> None: ...
"""


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> tuple[str, str, str]:
    """An app in the working directory: its path for commands, its topic, its group."""
    module, topic, group = unique("app").replace("-", "_"), unique("orders"), unique("billing")
    (tmp_path / f"{module}.py").write_text(getattr(request, "param", APP).format(group=group, topic=topic))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return f"{module}:app", topic, group


def test_a_topic_is_made_with_its_chain(streams: Shell, admin: Admin) -> None:
    """The dead-letter topic has the source's partitions, keeps for ever, and takes larger records."""
    name = unique("orders")
    said = streams(
        f"topics create {name} --partitions 3 --group billing --policy block --config max.message.bytes=2000000"
    )

    dlq = f"{name}.billing.dlq"
    found = find_topics(admin, [name, dlq], with_config=True)
    assert (found[name].partitions, found[dlq].partitions) == (3, 3)
    wanted = {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1", "max.message.bytes": "2065536"}
    assert {key: found[dlq].config[key] for key in wanted} == wanted
    assert said.out.count("made") == 2


def chain(name: str, *ends: str) -> list[str]:
    """Names of the topics of billing beside *name*."""
    return [f"{name}.billing.{end}" for end in ends]


@pytest.mark.parametrize(
    ("options", "ends"),
    [
        ("--policy park --retry 10m --retry 60s", ("retry.1m", "retry.10m", "parked", "dlq")),
        ("--policy unordered --retry 500ms", ("retry.500ms", "dlq")),
        ("--policy park", ("retry.1m", "retry.10m", "parked", "dlq")),
        ("--policy park --retry none", ("parked", "dlq")),
        ("--policy block", ("dlq",)),
    ],
)
def test_a_policy_has_its_topics_made(streams: Shell, admin: Admin, options: str, ends: tuple[str, ...]) -> None:
    """Tiers in the form of their names, whatever the form they were asked for in; check finds nothing wrong."""
    name = unique("orders")
    made = streams(f"topics create {name} --partitions 2 --group billing {options} --json").json["topics"]
    found = find_topics(admin, chain(name, *ends), with_config=True)

    assert [one["name"] for one in made] == [name, *chain(name, *ends)]
    assert {topic.partitions for topic in found.values()} == {2}
    assert {at for at, topic in found.items() if topic.config["message.timestamp.type"] == "LogAppendTime"} == {
        at for at in found if ".retry." in at
    }
    assert streams(f"topics check {name} --group billing {options} --json").json["faults"] == []


def test_what_exists_as_wanted_is_fine(streams: Shell) -> None:
    """Making the same again changes nothing and ends with 0."""
    name = unique("orders")
    streams(f"topics create {name} --partitions 2 --group billing --policy block")
    said = streams(f"topics create {name} --partitions 2 --group billing --policy block --json")

    assert [one["result"] for one in said.json["topics"]] == ["exists, as wanted"] * 2


@pytest.mark.parametrize("other", ["--partitions 3", "--partitions 2 --config retention.ms=7"])
def test_what_exists_otherwise_is_left_alone(streams: Shell, other: str) -> None:
    """Another shape is a failure that says the difference."""
    name = unique("orders")
    streams(f"topics create {name} --partitions 2")

    assert "exists already and has" in streams(f"topics create {name} {other}", code=1).err


def test_a_new_topic_needs_its_partitions(streams: Shell) -> None:
    """Without a number of partitions nothing is made, and the words give the command."""
    name = unique("orders")

    assert f"streams topics create {name} --partitions" in streams(f"topics create {name}", code=1).err


def test_an_app_names_its_topics(streams: Shell, admin: Admin, app: tuple[str, str, str]) -> None:
    """With --app, sources and chain come from its code; check then finds nothing wrong."""
    path, topic, group = app
    streams(f"topics create --app {path} --partitions 2")

    assert set(find_topics(admin, [topic, f"{topic}.{group}.dlq"])) == {topic, f"{topic}.{group}.dlq"}
    assert streams(f"topics check {path} --json").json["faults"] == []


def test_a_plan_is_printed_and_nothing_made(streams: Shell, admin: Admin) -> None:
    """--print gives commands for the cluster's own tools."""
    name = unique("orders")
    said = streams(f"topics create {name} --partitions 2 --group billing --policy block --print")

    first, second = said.out.splitlines()
    assert f"--create --topic {name} --partitions 2" in first
    assert f"--topic {name}.billing.dlq --partitions 2" in second
    assert "--config retention.ms=-1" in second
    assert find_topics(admin, [name]) == {}


def test_a_chain_is_printed_for_people_who_make_topics_elsewhere(streams: Shell, admin: Admin, topic: Topics) -> None:
    """What is there already is left out; settings are told in full, as commands and as data."""
    name = topic(partitions=3, config={"min.insync.replicas": "1", "max.message.bytes": "2000000"})
    streams(f"topics create {name} --group billing --policy block")
    line = f"topics create {name} --group billing --policy park --retry 90s --print"
    tier, parked = streams(line).out.splitlines()
    document = streams(f"{line} --json").json["topics"]

    assert tier == (
        f"kafka-topics.sh --bootstrap-server {admin.settings.bootstrap} --create --topic {name}.billing.retry.90s"
        f" --partitions 3 --replication-factor 1 --config cleanup.policy=delete --config retention.ms=-1"
        f" --config retention.bytes=-1 --config max.message.bytes=2065536 --config min.insync.replicas=1"
        f" --config message.timestamp.type=LogAppendTime"
    )
    assert f"--topic {name}.billing.parked " in parked
    assert [(one["name"], one["partitions"]) for one in document] == [
        (at, 3) for at in chain(name, "retry.90s", "parked")
    ]
    assert document[0]["config"]["message.timestamp.type"] == "LogAppendTime"
    assert find_topics(admin, chain(name, "retry.90s", "parked")) == {}


@pytest.mark.parametrize("app", [PARKING], indirect=True)
def test_an_app_names_its_tiers(streams: Shell, admin: Admin, app: tuple[str, str, str]) -> None:
    """Its routes say policy and waits; what an earlier policy left is told, looked at, and kept."""
    path, topic, group = app
    streams(f"topics create --app {path} --partitions 2")
    names = [f"{topic}.{group}.{end}" for end in ("retry.2m", "retry.1h", "parked", "dlq")]
    assert set(find_topics(admin, names)) == set(names)

    old = f"{topic}.{group}.retry.30s"
    streams(f"topics create {old} --partitions 1 --config retention.ms=-1")
    said = streams(f"topics check {path} --json", code=1).json
    assert said["old"] == [old]
    assert f"topic {old} has 1 partition(s), its source {topic} has 2." in said["faults"][0]

    out = streams(f"topics check {path} --fix").out
    assert f"widened {old} to 2 partitions" in out
    assert f"set message.timestamp.type=LogAppendTime on {old}" in out
    assert "Left by an earlier policy" in out
    assert streams(f"topics check {path} --json").json["faults"] == []


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("topics create orders --policy park", "name the group with --group"),
        ("topics create orders --retry 1m", "name the group with --group"),
        ("topics create orders --group b --policy parked", "'parked' is not one of"),
        ("topics create orders --group b --policy block --retry 1m", "policy block has none"),
        ("topics create orders --group b --policy park --retry soon", "'soon' is not of the form"),
        ("topics create orders --group b --policy park --retry 0s", "no wait that needs a topic"),
        ("topics create orders --group b --policy park --retry none --retry 1m", "--retry none means"),
        (
            "topics create orders --group b --policy park --retry 1m --retry 2m --retry 3m --retry 4m --retry 5m",
            "5 retry topics are more than the 4",
        ),
        ("topics check examples.orders:app --policy park", "the app says its policy"),
        ("topics create", "name a topic"),
        ("topics create a/b --partitions 1", "a name has letters"),
        ("topics create orders --partitions 1 --group a/b", "a name has letters"),
        ("topics create orders --partitions 1 --config retention", "not of the form key=value"),
        ("topics create orders --config retention.ms=1", "give --partitions"),
        ("topics create orders --partitions 0", "0 is not in the range"),
        ("topics create --app no_such_module:app", "there is no module"),
        ("topics check orders", "--group"),
    ],
)
def test_a_misuse_is_said(streams: Shell, line: str, words: str) -> None:
    """What can't be meant ends with 2 and says why."""
    assert words in streams(line, code=2).err


def test_the_list_puts_a_chain_below_its_source(streams: Shell, kafka: Kafka, topic: Topics) -> None:
    """Records are counted, and chain topics name source and group."""
    name = topic(partitions=2)
    write(kafka, name, [b"x"] * 5)
    streams(f"topics create {name} --group billing --policy block")
    ours = [one for one in streams("topics list --json").json["topics"] if one["name"].startswith(name)]

    assert [(one["name"], one["records"], one["source"], one["group"]) for one in ours] == [
        (name, 5, None, None),
        (f"{name}.billing.dlq", 0, name, "billing"),
    ]
    assert f"\n   {name}.billing.dlq" in streams("topics list").out


def test_a_topic_is_described(streams: Shell, kafka: Kafka, topic: Topics) -> None:
    """Offsets, settings and chain of one topic."""
    name = topic(partitions=2)
    write(kafka, name, [b"x"] * 5, partition=1)
    document = streams(f"topics describe {name} --json").json

    assert [(one["partition"], one["low"], one["high"]) for one in document["offsets"]] == [(0, 0, 0), (1, 0, 5)]
    assert document["config"]["cleanup.policy"] == "delete"
    assert f"topic {name}" in streams(f"topics describe {name}").out


def test_an_absent_topic_is_said(streams: Shell) -> None:
    """Describing or checking what does not exist ends with 1."""
    assert "does not exist" in streams("topics describe absent-topic", code=1).err
    assert "does not exist" in streams("topics check absent-topic --group billing", code=1).err


def test_check_names_the_remedy_and_fix_applies_it(streams: Shell, admin: Admin, topic: Topics) -> None:
    """Each difference is told with the command that mends it; that command mends it."""
    name = topic(partitions=3)
    dlq = f"{name}.billing.dlq"
    said = streams(f"topics check {name} --group billing --policy block", code=1)
    assert f"topic {dlq} is missing. Make it: streams topics create {name} --group billing --policy block" in said.err

    streams(f"topics create {dlq} --partitions 1")
    said = streams(f"topics check {name} --group billing --policy block --json", code=1)
    assert {fault.split("It")[0].split("Set")[0].split("Widen")[0].strip() for fault in said.json["faults"]} == {
        f"topic {dlq} has 1 partition(s), its source {name} has 3.",
        f"topic {dlq}: retention.ms is 604800000, it must be -1.",
        f"topic {dlq}: max.message.bytes is 1048588, it must be at least 1114124.",
    }

    streams(f"topics check {name} --group billing --policy block --fix")
    assert streams(f"topics check {name} --group billing --policy block --json").json["faults"] == []
    set_config(admin, dlq, {"cleanup.policy": "compact"})
    assert (
        "cleanup.policy is compact, it must be delete"
        in streams(f"topics check {name} --group billing --policy block", code=1).err
    )
