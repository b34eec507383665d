"""Dead letters are listed for people and machines, and shown whole."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable

import pytest

from streams.config import Settings
from streams.engine.snapshot import Snapshot, encode
from streams.kafka.admin import Admin
from streams.kafka.offsets import Committed, commit_for_stopped
from streams.kafka.topics import find_topics
from streams.record import Origin, Partition
from tests.brokers import Kafka, Topics
from tests.cli.shell import Shell
from tests.deadletter.burial import Burial


@pytest.fixture
def grave(streams: Shell, kafka: Kafka, topic: Topics, group: Callable[..., str]) -> tuple[str, Burial]:
    """A source topic of two partitions, and who buries its records."""
    name, team = topic(partitions=2), group()
    streams(f"topics create {name} --group {team}")
    return name, Burial(kafka, team)


def test_letters_are_listed(streams: Shell, grave: tuple[str, Burial]) -> None:
    """Origin, key, attempts and why, each record once."""
    name, burial = grave
    burial.bury(Origin(name, 1, 42, 1_000), key=b"o-1", died_ms=2_000)
    burial.bury(Origin(name, 1, 42, 1_000), key=b"o-1", died_ms=3_000)
    burial.bury(Origin(name, 0, 7, 1_000), key=b"\xff\x00", error=TimeoutError("no answer"), died_ms=4_000)
    document = streams(f"dlq list {burial.group} --json").json
    first, second = document["letters"]

    assert (document["found"], document["unreadable"]) == (2, 0)
    assert first["origin"] == {
        "topic": name,
        "topic_id": "first",
        "partition": 1,
        "offset": 42,
        "time": "1970-01-01T00:00:01.000Z",
    }
    assert (first["key"], first["attempts"], first["error"], first["message"]) == ("o-1", 2, "ValueError", "no total")
    assert (first["reason"], first["died"]) == ("attempt 2 of 2 failed", "1970-01-01T00:00:02.000Z")
    assert (second["key"], second["error"]) == ("hex:ff00", "TimeoutError")
    out = streams(f"dlq list {burial.group}").out
    assert f"{name}/1/42" in out
    assert "2 dead letter(s)" in out


def test_letters_are_picked(streams: Shell, grave: tuple[str, Burial]) -> None:
    """By error, key, topic and number."""
    name, burial = grave
    for number in range(5):
        burial.bury(Origin(name, 0, number, 1_000), key=b"o-%d" % number, died_ms=1_000 + number)
    burial.bury(Origin(name, 1, 9, 1_000), key=b"\x01", error=TimeoutError("slow"), died_ms=9_000)

    def offsets(options: str) -> list[int]:
        letters = streams(f"dlq list {burial.group} --json {options}").json["letters"]
        return [letter["origin"]["offset"] for letter in letters]

    assert offsets("--error timeout") == [9]
    assert offsets("--key o-3") == [3]
    assert offsets("--key hex:01") == [9]
    assert offsets("--limit 2") == [4, 9]
    assert offsets(f"--topic {name}") == [0, 1, 2, 3, 4, 9]
    assert "the newest 2 shown" in streams(f"dlq list {burial.group} --limit 2").out


def test_all_groups_are_listed_where_none_is_named(streams: Shell, grave: tuple[str, Burial]) -> None:
    """Without a group every dead-letter topic is read; a record that two groups buried is listed for each."""
    name, burial = grave
    burial.bury(Origin(name, 0, 1, 1_000))

    listed = streams("dlq list --limit 100000 --json").json["letters"]  # others bury the like in the same broker

    assert burial.group in {letter["group"] for letter in listed}


def test_no_letters_are_good_news(streams: Shell, grave: tuple[str, Burial]) -> None:
    """An empty list ends with 0."""
    _, burial = grave

    assert streams(f"dlq list {burial.group} --json").json["letters"] == []
    assert "0 dead letter(s)" in streams(f"dlq list {burial.group}").out


def charge() -> None:
    """Fail as a handler does."""
    raise TimeoutError("no answer")


def test_a_letter_is_shown_whole(streams: Shell, grave: tuple[str, Burial]) -> None:
    """Payload decoded, headers, origin, every attempt and the stack."""
    name, burial = grave
    with pytest.raises(TimeoutError) as caught:
        charge()
    burial.bury(Origin(name, 1, 42, 1_000), b'{"total": 7}', headers=[("trace", b"1")], error=caught.value)
    document = streams(f"dlq show {burial.group} {name}/1/42 --json").json
    out = streams(f"dlq show {burial.group} {name}/1/42").out

    assert document["value"] == {"total": 7}
    assert base64.b64decode(document["value_base64"]) == b'{"total": 7}'
    assert document["headers"] == [["trace", "1"]]
    assert [run["error"] for run in document["history"]] == ["TimeoutError", "ValueError"]
    assert "raise TimeoutError" in document["stack"]
    for part in (
        f"{name}/1/42",
        "TimeoutError: no answer",
        "attempt 2 of 2 failed",
        "trace = 1",
        '"total": 7',
        "Traceback",
    ):
        assert part in out


@pytest.mark.parametrize(
    ("value", "decoded", "shown"),
    [
        (b"plain words", "plain words", "plain words"),
        (b"\xff\xfe\x00", None, "hex:fffe00"),
        (b"", "", "value, 0 bytes"),
        (None, None, "null: a tombstone"),
        (b"\x1b[31mred\x07", "\x1b[31mred\x07", "\\x1b[31mred\\x07"),
    ],
)
def test_any_payload_is_shown(
    streams: Shell, grave: tuple[str, Burial], value: bytes | None, decoded: str | None, shown: str
) -> None:
    """Text as text, other bytes in hexadecimal, and nothing that a terminal would obey."""
    name, burial = grave
    burial.bury(Origin(name, 0, 1, 1_000), value)

    assert streams(f"dlq show {burial.group} {name}/0/1 --json").json["value"] == decoded
    assert shown in streams(f"dlq show {burial.group} {name}/0/1").out


def test_a_long_payload_is_cut_and_had_whole(streams: Shell, grave: tuple[str, Burial]) -> None:
    """People see its beginning and how to get the rest; --raw writes every byte."""
    name, burial = grave
    value = json.dumps({"text": "x" * 50_000}).encode()
    burial.bury(Origin(name, 0, 1, 1_000), value)
    said = streams(f"dlq show {burial.group} {name}/0/1")

    assert len(said.out) < 8_000
    assert "--raw writes all of it" in said.err
    assert streams(f"dlq show {burial.group} {name}/0/1 --raw").raw == value


def test_a_thousand_headers_are_shown(streams: Shell, grave: tuple[str, Burial]) -> None:
    """Each with its name and value, in their order."""
    name, burial = grave
    headers = [(f"h-{number}", b"%d" % number) for number in range(1_000)]
    burial.bury(Origin(name, 0, 1, 1_000), headers=[*headers])
    shown = streams(f"dlq show {burial.group} {name}/0/1 --json").json["headers"]

    assert shown == [[name, str(number)] for number, (name, _) in enumerate(headers)]


@pytest.mark.parametrize(
    ("line", "words", "code"),
    [
        ("show billing orders", "is not of the form TOPIC/PARTITION/OFFSET", 2),
        ("show billing orders/x/1", "is not of the form TOPIC/PARTITION/OFFSET", 2),
        ("show billing absent-topic/0/1", "has no dead letters of topic 'absent-topic'", 1),
        ("list absent-group", "has no dead-letter topic", 1),
        ("list --topic absent-topic", "has no dead-letter topic of topic 'absent-topic'", 1),
        ("list --key hex:zz", "pairs of hexadecimal digits", 2),
        ("list --limit 0", "is not in the range", 2),
    ],
)
def test_what_can_not_be_is_said(streams: Shell, line: str, words: str, code: int) -> None:
    """Misuse ends with 2, what is not there with 1."""
    assert words in streams(f"dlq {line}", code=code).err


def test_a_letter_that_is_not_there_is_said(streams: Shell, grave: tuple[str, Burial]) -> None:
    """The words tell how to see which there are."""
    name, burial = grave

    assert f"streams dlq list {burial.group}" in streams(f"dlq show {burial.group} {name}/0/1", code=1).err


@pytest.fixture
def judged(kafka: Kafka, grave: tuple[str, Burial]) -> tuple[str, Burial]:
    """Letters of which the first is handled, the second counts, and the third came too late."""
    name, burial = grave
    snapshot = Snapshot(b"an owner", scan_end=2)
    with Admin(Settings(bootstrap=kafka.bootstrap)) as admin:
        present = find_topics(admin, [name])[name].topic_id
        for number in range(3):
            burial.bury(Origin(name, 0, number, 1_000), topic_id=present, died_ms=1_000 + number)
        ledger = Committed(1, encode(snapshot))
        commit_for_stopped(admin, burial.group, {Partition(f"{name}.{burial.group}.dlq", 0): ledger})
    return name, burial


def test_only_letters_that_count_are_listed(streams: Shell, judged: tuple[str, Burial]) -> None:
    """By what the group has committed; that there are others is told."""
    name, burial = judged
    document = streams(f"dlq list {burial.group} --json").json
    said = streams(f"dlq list {burial.group}")

    assert [(one["origin"]["offset"], one["counts"], one["why"]) for one in document["letters"]] == [(1, "yes", None)]
    assert (document["found"], document["unknown"], document["not_counting"]) == (1, 0, 2)
    assert f"{name}/0/1" in said.out
    assert f"{name}/0/2" not in said.out
    assert "2 further copies do not count" in said.err


def test_all_copies_are_listed_with_why(streams: Shell, judged: tuple[str, Burial]) -> None:
    """Those that do not count say so, and where they stand."""
    _, burial = judged
    letters = streams(f"dlq list {burial.group} --all --json").json["letters"]
    said = streams(f"dlq list {burial.group} --all")

    assert [one["counts"] for one in letters] == ["no", "yes", "no"]
    assert [(one["why"] or "").split(":")[0] for one in letters] == ["settled", "", "fenced"]
    assert [one["place"]["offset"] for one in letters] == [0, 1, 2]
    assert "3 copies, 2 of them do not count" in said.out
    assert "0/2" in said.out


def test_letters_in_doubt_are_listed_as_such(streams: Shell, grave: tuple[str, Burial]) -> None:
    """Where the group has committed nothing, a letter may count."""
    name, burial = grave
    burial.bury(Origin(name, 0, 1, 1_000), topic_id="")
    burial.bury(Origin(name, 1, 2, 1_000), topic_id="former")
    document = streams(f"dlq list {burial.group} --json").json
    said = streams(f"dlq list {burial.group}")

    assert [one["counts"] for one in document["letters"]] == ["unknown", "unknown"]
    assert (document["found"], document["unknown"], document["not_counting"]) == (2, 2, 0)
    assert "unknown" in said.out
    assert "2 of them may count or not: the source topic was made anew" in said.err


def test_a_letter_that_does_not_count_is_shown_on_request(streams: Shell, judged: tuple[str, Burial]) -> None:
    """Else the error says why it does not, and what shows it."""
    name, burial = judged

    assert "is fenced: " in streams(f"dlq show {burial.group} {name}/0/2", code=1).err
    assert "--all" in streams(f"dlq show {burial.group} {name}/0/2 --raw", code=1).err
    assert streams(f"dlq show {burial.group} {name}/0/2 --all --json").json["counts"] == "no"
    assert "no, settled: handled" in streams(f"dlq show {burial.group} {name}/0/0 --all").out
    assert "counts   yes" in streams(f"dlq show {burial.group} {name}/0/1").out
