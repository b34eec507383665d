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


def test_letters_are_picked_by_handler_payload_and_time(streams: Shell, grave: tuple[str, Burial]) -> None:
    """What contains a text, whatever the case; what died from one moment on, before another one."""
    name, burial = grave
    burial.bury(Origin(name, 0, 1, 1_000), b'{"note": "Fragile"}', died_ms=60_000)
    burial.bury(Origin(name, 0, 2, 1_000), b'{"note": "heavy"}', died_ms=120_000)
    burial.bury(Origin(name, 1, 3, 1_000), b"\xff\xfe", died_ms=180_000)

    def picked(options: str) -> list[int]:
        letters = streams(f"dlq list {burial.group} --json {options}").json["letters"]
        return [letter["origin"]["offset"] for letter in letters]

    assert picked("--text fragile") == [1]
    assert picked("--text note") == [1, 2]
    assert picked("--handler CHARGE") == [1, 2, 3]
    assert picked("--handler refund") == []
    assert picked("--since 1970-01-01T00:02:00Z") == [2, 3]
    assert picked("--until 1970-01-01T00:02:00Z") == [1]
    assert picked("--since 1970-01-01T00:02:00 --until 1970-01-01T00:03:00") == [2]
    assert picked("--since -1h") == []


def test_letters_are_counted_by_what_they_have_in_common(streams: Shell, grave: tuple[str, Burial]) -> None:
    """Most first, each record once, with one of them to look at."""
    name, burial = grave
    for offset in range(3):
        burial.bury(Origin(name, 0, offset, 1_000), error=TimeoutError("slow"), died_ms=1_000 * (offset + 1))
    burial.bury(Origin(name, 0, 0, 1_000), error=TimeoutError("slow"), died_ms=9_000)
    burial.bury(Origin(name, 1, 7, 1_000), key=b"\xff", died_ms=5_000)
    by_error = streams(f"dlq list {burial.group} --by error --json").json
    by_key = streams(f"dlq list {burial.group} --by key --json").json
    out = streams(f"dlq list {burial.group} --by class --limit 1").out

    assert (by_error["kinds"], by_error["heaps"][0]) == (
        2,
        {
            "name": "TimeoutError: slow",
            "count": 3,
            "first": "1970-01-01T00:00:01.000Z",
            "last": "1970-01-01T00:00:03.000Z",
            "example": f"{name}/0/0",
        },
    )
    assert [(heap["name"], heap["count"]) for heap in by_key["heaps"]] == [("o-1", 3), ("hex:ff", 1)]
    assert "TimeoutError" in out
    assert "ValueError" not in out
    assert "4 dead letter(s) of 2 kind(s), the 1 with most shown (--limit)" in out


def test_letters_are_exported_whole(streams: Shell, grave: tuple[str, Burial]) -> None:
    """A line of JSON each, each record once, with all that `dlq show` tells."""
    name, burial = grave
    burial.bury(Origin(name, 0, 1, 1_000), b'{"total": 7}', headers=[("tenant", b"7")], died_ms=1_000)
    burial.bury(Origin(name, 0, 1, 1_000), b'{"total": 7}', headers=[("tenant", b"7")], died_ms=2_000)
    burial.bury(Origin(name, 1, 2, 1_000), b"\xff", error=TimeoutError("slow"), died_ms=3_000)
    said = streams(f"dlq export {burial.group}")
    letters = sorted((json.loads(line) for line in said.raw.splitlines()), key=lambda one: one["origin"]["offset"])
    some = streams(f"dlq export {burial.group} --error timeout")

    assert [letter["origin"]["offset"] for letter in letters] == [1, 2]
    assert (letters[0]["value"], letters[0]["headers"], letters[0]["attempts"]) == ({"total": 7}, [["tenant", "7"]], 2)
    assert letters[1]["value"] is None
    assert base64.b64decode(letters[1]["value_base64"]) == b"\xff"
    assert letters[0] == streams(f"dlq show {burial.group} {name}/0/1 --json").json
    assert "2 dead letter(s)" in said.err
    assert len(some.raw.splitlines()) == 1


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ("list --since yesterday", "is no time"),
        ("list --since -1h --until -2h", "nothing could have died between them"),
        ("list --by error --all", "choose one"),
        ("export --key hex:zz", "hexadecimal"),
    ],
)
def test_what_letters_can_not_be_picked_by_is_said(
    streams: Shell, grave: tuple[str, Burial], asked: str, says: str
) -> None:
    """Before anything is read."""
    command, *options = asked.split()
    assert says in streams(f"dlq {command} {grave[1].group} {' '.join(options)}", code=2).err
