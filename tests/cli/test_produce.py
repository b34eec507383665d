"""What is sent stands in the topic, and what is not is named by its line."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from confluent_kafka import Message

from streams.config import Settings
from streams.envelope import Envelope
from streams.kafka.admin import Admin
from streams.kafka.offsets import watermarks
from streams.kafka.reader import Stretch, read
from streams.kafka.topics import require_topics
from tests.brokers import Kafka, Topics
from tests.cli.shell import Shell


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A file to be written and sent."""
    return tmp_path / "orders.jsonl"


def contents(kafka: Kafka, topic: str) -> list[Message]:
    """Every record of *topic*, partition by partition."""
    with Admin(Settings(bootstrap=kafka.bootstrap)) as admin:
        marks = watermarks(admin, require_topics(admin, [topic])[topic].all_partitions)
        found = list(read(admin.settings, {place: Stretch(mark.low, mark.high) for place, mark in marks.items()}))
    return sorted(found, key=lambda message: (message.partition() or 0, message.offset() or 0))


def test_a_file_becomes_records(streams: Shell, kafka: Kafka, topic: Topics, source: Path) -> None:
    """Every line is one record, with its key, in the order of its key; the report counts what stands in the topic."""
    lines = [json.dumps({"order_id": f"o-{number % 7}", "n": number}).encode() for number in range(500)]
    source.write_bytes(b"\n".join(lines) + b"\n")
    name = topic(partitions=3)
    report = streams(f"produce {name} --key order_id --json", "--file", str(source)).json

    found = contents(kafka, name)
    assert sorted(message.value() or b"" for message in found) == sorted(lines)
    for key in {message.key() for message in found}:
        numbers = [json.loads(message.value() or b"")["n"] for message in found if message.key() == key]
        assert numbers == sorted(numbers)
    per_partition = {number: sum(message.partition() == number for message in found) for number in range(3)}
    assert report["partitions"] == {str(number): count for number, count in per_partition.items() if count}
    assert (report["acknowledged"], report["rejected"], report["unknown"], report["stopped_at"]) == (500, 0, 0, None)


def test_standard_input_is_read_where_no_file_is_named(streams: Shell, kafka: Kafka, topic: Topics) -> None:
    """Lines come through a pipe, gzipped or not."""
    name = topic()
    streams(f"produce {name}", stdin='{"a":1}\n{"a":2}\n')
    streams(f"produce {name} --file -", stdin=gzip.compress(b'{"a":3}\n'))

    assert [message.value() for message in contents(kafka, name)] == [b'{"a":1}', b'{"a":2}', b'{"a":3}']


def test_csv_rows_become_objects(streams: Shell, kafka: Kafka, topic: Topics, tmp_path: Path) -> None:
    """The header names the fields, and the key may be one of them."""
    (tmp_path / "orders.csv").write_text("order_id,city\no-1,Rome\no-2,\n")
    name = topic()
    streams(f"produce {name} --key order_id", "--file", str(tmp_path / "orders.csv"))

    assert [(message.key(), json.loads(message.value() or b"")) for message in contents(kafka, name)] == [
        (b"o-1", {"order_id": "o-1", "city": "Rome"}),
        (b"o-2", {"order_id": "o-2", "city": None}),
    ]


def test_a_bad_line_is_named_and_ends_it(streams: Shell, kafka: Kafka, topic: Topics, source: Path) -> None:
    """What came before it is sent and acknowledged; nothing behind it is sent."""
    source.write_text('{"a":1}\n{"a":2}\n{"a":\n{"a":4}\n')
    name = topic()
    said = streams(f"produce {name}", "--file", str(source), code=1)

    assert f"{source}:3: not JSON" in said.err
    assert "2 record(s) before it are acknowledged" in said.err
    assert len(contents(kafka, name)) == 2


def test_bad_lines_are_kept_aside(streams: Shell, kafka: Kafka, topic: Topics, source: Path, tmp_path: Path) -> None:
    """With --rejects everything else is sent; the kept lines stand as they were, and earlier ones stay."""
    source.write_text('{"k":1}\n{bad\n{"v":1}\n{"k":2}\n')
    rejects = tmp_path / "rejects.jsonl"
    rejects.write_text("from yesterday\n")
    name = topic()
    arguments = ["--file", str(source), "--rejects", str(rejects)]
    said = streams(f"produce {name} --key k --require-key --json", *arguments)

    assert (said.json["acknowledged"], said.json["rejected"]) == (2, 2)
    assert said.json["faults"][0].startswith(f"{source}:2: ")
    assert rejects.read_text() == 'from yesterday\n{bad\n{"v":1}\n'
    assert "2 bad line(s)" in said.err
    assert len(contents(kafka, name)) == 2


def test_kept_csv_rows_can_be_sent_again(streams: Shell, topic: Topics, tmp_path: Path) -> None:
    """The header goes along, so that the file is CSV once it is mended."""
    (tmp_path / "a.csv").write_text("id,name\n1,a\n2\n3,c\n")
    arguments = ["--file", str(tmp_path / "a.csv"), "--rejects", str(tmp_path / "bad.csv")]
    streams(f"produce {topic()}", *arguments)

    assert (tmp_path / "bad.csv").read_text() == "id,name\n2\n"


def test_a_record_that_is_too_large_is_named(streams: Shell, topic: Topics, source: Path) -> None:
    """The line, its size and the topic's limit are told."""
    source.write_text('{"a":1}\n' + json.dumps({"a": "x" * 5_000}) + "\n")
    name = topic(config={"max.message.bytes": "2000"})
    said = streams(f"produce {name}", "--file", str(source), code=1)

    assert f"{source}:2: 5,009 bytes are more than topic {name!r} takes" in said.err
    assert "max.message.bytes=2,000" in said.err


def test_what_the_broker_refuses_is_named_and_kept(streams: Shell, topic: Topics, source: Path, tmp_path: Path) -> None:
    """A compacted topic wants keys: a record without one is a failure, or kept aside."""
    source.write_text('{"a":1}\n')
    name = topic(config={"cleanup.policy": "compact"})
    said = streams(f"produce {name} --json", "--file", str(source), code=1)
    assert said.json["refused"] == 1
    assert f"{source}:1: refused (INVALID_RECORD" in said.err

    rejects = tmp_path / "rejects.jsonl"
    streams(f"produce {name}", "--file", str(source), "--rejects", str(rejects))
    assert rejects.read_text() == '{"a":1}\n'


def test_events_carry_their_envelope(streams: Shell, kafka: Kafka, topic: Topics) -> None:
    """With --type each record is a CloudEvent with an id of its own."""
    name = topic()
    streams(f"produce {name} --type order.placed --source /shop --key k", stdin='{"k":"o-1"}\n{"k":"o-2"}\n')
    envelopes = [Envelope.from_headers(message.headers()) for message in contents(kafka, name)]  # type: ignore[arg-type]

    assert all(one.is_event for one in envelopes)
    assert {(one.type, one.source, one.content_type) for one in envelopes} == {
        ("order.placed", "/shop", "application/json"),
    }
    assert [one.partitionkey for one in envelopes] == ["o-1", "o-2"]
    assert len({one.id for one in envelopes}) == 2


def test_records_without_a_type_carry_no_headers(streams: Shell, kafka: Kafka, topic: Topics) -> None:
    """What was not asked for is not added."""
    name = topic()
    streams(f"produce {name}", stdin="{}\n")

    assert contents(kafka, name)[0].headers() is None


def test_the_limit_is_held(streams: Shell, kafka: Kafka, topic: Topics) -> None:
    """No more records than asked for are sent."""
    name = topic()
    streams(f"produce {name} --limit 3", stdin="{}\n" * 10)

    assert len(contents(kafka, name)) == 3


def test_a_rate_changes_nothing_but_the_time(streams: Shell, kafka: Kafka, topic: Topics) -> None:
    """Every record is sent, however slowly."""
    name = topic()
    streams(f"produce {name} --rate 1k/s", stdin="{}\n" * 50)

    assert len(contents(kafka, name)) == 50


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--rate fast", "--rate 'fast' is not of the form"),
        ("--rate 0", "--rate '0' is not of the form"),
        ("--require-key", "--require-key needs --key"),
        ("--format xml", "'xml' is not one of"),
        ("--file no-such-file", "no-such-file: can't be read: No such file"),
        ("--rejects /", "is a directory"),
    ],
)
def test_a_misuse_is_said(streams: Shell, topic: Topics, line: str, words: str) -> None:
    """What can't be meant ends with 2."""
    assert words in streams(f"produce {topic()} {line}", code=2, stdin="").err


def test_bad_lines_do_not_go_where_they_come_from(streams: Shell, topic: Topics, source: Path) -> None:
    """A file can't be read and added to at once."""
    source.write_text("{bad\n")
    said = streams(f"produce {topic()}", "--file", str(source), "--rejects", str(source), code=2)

    assert "names the file that is read" in said.err
    assert source.read_text() == "{bad\n"


def test_rejects_that_can_not_be_written_are_said(streams: Shell, topic: Topics, tmp_path: Path) -> None:
    """A bad line that can't be kept is not dropped in silence."""
    target = tmp_path / "no" / "such" / "folder"

    assert "can't be written" in streams(f"produce {topic()}", "--rejects", str(target), code=2, stdin="{\n").err


def test_an_unknown_topic_is_said(streams: Shell) -> None:
    """The words give the command that makes it."""
    assert "streams topics create absent-topic" in streams("produce absent-topic", code=1, stdin="{}\n").err


def test_a_file_that_breaks_off_is_said(streams: Shell, topic: Topics, tmp_path: Path) -> None:
    """A damaged gzip sends what is whole and ends with 1."""
    lines = b"".join(b'{"a":%d}\n' % (number * 7919 % 100_003) for number in range(20_000))
    whole = gzip.compress(lines)
    (tmp_path / "a.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    said = streams(f"produce {topic()} --json", "--file", str(tmp_path / "a.jsonl.gz"), code=1)

    assert "can't be read on behind line" in said.err
    assert said.json["acknowledged"] > 1_000
