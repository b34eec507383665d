"""`streams dlq edit`, while members run: the new value runs once, in key order, and what it was is not lost."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from streams import App, Context, DeadLetter, Record, RetryPolicy
from streams.engine import control
from streams.engine.command import Command, read_command
from streams.engine.policy import DeadLetterPolicy
from streams.errors import LedgerError
from streams.outcome import Outcome
from tests.brokers import Topics
from tests.cli.shell import Shell
from tests.path.members import Bench, Running

QUICK = RetryPolicy(delays=("50ms",), max_attempts=1)
BAD, GOOD = b'{"total": "x", "sum": 1.10}', b'{"total": 7, "sum": 1.10}'
Editor = Callable[[str, str], str]
"""Gives what ``$EDITOR`` says of one that replaces a text by another."""


class TotalError(Exception):
    """The total is no number."""


class Till:
    """What a handler did: key, offset, value, and who had edited that."""

    def __init__(self) -> None:
        self.served: list[tuple[bytes | None, int, bytes | None, str | None]] = []
        self._lock = threading.Lock()

    def take(self, record: Record, ctx: Context) -> Outcome | None:
        """Serve *record*, unless its total is no number."""
        if b'"x"' in (record.value or b"") or b"\xff" in (record.value or b""):
            return DeadLetter(TotalError("the total is no number"))
        edited = ctx.edited
        with self._lock:
            self.served.append((record.key, record.offset, record.value, None if edited is None else edited.who))
        return None


@pytest.fixture
def till() -> Till:
    """One in which nothing was served yet."""
    return Till()


@pytest.fixture
def streams(bench: Bench) -> Shell:
    """The `streams` command."""
    return Shell(bench.bootstrap)


@pytest.fixture
def editor(tmp_path: Path) -> Editor:
    """An editor that needs nobody."""
    script = tmp_path / "editor.py"
    script.write_text(
        "import sys, pathlib\n"
        "old, new, file = sys.argv[1:]\n"
        "path = pathlib.Path(file)\n"
        "text = path.read_bytes().decode()\n"
        "assert old in text, text\n"
        "path.write_bytes(text.replace(old, new).encode())\n"
    )
    return lambda old, new: f"{sys.executable} {script} '{old}' '{new}'"


def declare(app: App, orders: str, till: Till, dead_letters: DeadLetterPolicy = "continue") -> None:
    """Have records of *orders* taken."""

    @app.on(orders, policy="park", retry=QUICK, dead_letters=dead_letters)
    def handle(record: Record, ctx: Context) -> Outcome | None:
        return till.take(record, ctx)


def dead(member: Running, count: int) -> None:
    """Wait until so many dead letters stand in the topic, and all is committed."""
    member.until(lambda: len(member.ear.heard("dead_lettered")) >= count)
    member.passed()


@pytest.mark.parametrize("dead_letters", ["continue", "hold", "follow"])
def test_a_mended_letter_runs_in_its_place_and_tells_what_it_was(  # noqa: PLR0917  # fixtures
    dead_letters: DeadLetterPolicy,
    bench: Bench,
    topic: Topics,
    app: App,
    till: Till,
    streams: Shell,
    editor: Editor,
) -> None:
    """In an editor, as JSON that is laid out; no number changes by the way, and the source stays as it was."""
    orders = topic()
    declare(app, orders, till, dead_letters)
    bench.write(orders, [(b"a", BAD, [("tenant", b"7")]), (b"a", GOOD), (b"b", GOOD)])
    member = bench.run(app)
    dead(member, 1)
    letters = 2 if dead_letters == "follow" else 1
    member.until(lambda: streams(f"dlq list {app.group} --json").json["found"] == letters)
    said = streams(
        f"dlq edit {app.group} {orders}/0/0 --yes --who ann --why",
        "no text",
        EDITOR=editor('"total": "x"', '"total": 7'),
    )
    if dead_letters == "follow":
        streams(f"dlq retry {app.group} {orders}/0/1 --yes")
    member.until(lambda: len(till.served) == 3)
    member.settled()
    of_key = [one[1:] for one in till.served if one[0] == b"a"]
    told = streams(f"why {app.group} --record {orders}/0/0")
    (asked,) = streams(f"why {app.group} --record {orders}/0/0 --json").json["edits"]
    (answer,) = streams(f"audit {app.group} --json").json["answers"][:1]

    assert sorted(of_key) == [(0, GOOD, "ann"), (1, GOOD, None)]
    assert dead_letters == "continue" or [one[0] for one in of_key] == [0, 1]
    assert '+  "total": 7,' in said.out
    assert "is tried again with its new value" in said.out
    assert (answer["verb"], answer["who"], answer["why"]) == ("edit", "ann", "no text")
    assert answer["letters"] == [{"offset": 0, "fate": "edited"}]
    assert "ann had its payload edited (no text): edited" in told.out
    assert (asked["fate"], asked["before"]["value"]) == ("edited", json.loads(BAD))
    assert streams(f"dlq show {app.group} {orders}/0/0 --original").raw == BAD
    assert streams(f"dlq list {app.group} --json").json["found"] == 0


def test_what_dies_again_shows_its_edits_and_what_it_was_at_first(
    bench: Bench, topic: Topics, app: App, till: Till, streams: Shell
) -> None:
    """Edited twice, dead both times: one letter, with both attempts, who edited it, and the first value."""
    orders = topic()
    declare(app, orders, till)
    bench.write(orders, [(b"a", BAD)])
    member = bench.run(app)
    dead(member, 1)
    for turn in (2, 3):
        line = f"dlq edit {app.group} {orders}/0/0 --yes --value-file - --who turn-{turn} --json"
        assert streams(line, stdin=b'{"total": "x", "turn": %d}' % turn).json["fates"] == {"edited": 1}
        dead(member, turn)
    shown = streams(f"dlq show {app.group} {orders}/0/0").out
    letter = streams(f"dlq show {app.group} {orders}/0/0 --json").json

    assert (letter["attempts"], letter["redrives"], letter["value"]["turn"]) == (3, 2, 3)
    assert [one["who"] for one in letter["edits"]] == ["turn-2", "turn-3"]
    assert letter["original"]["value"] == json.loads(BAD)
    assert "by turn-2" in shown
    assert "before it was edited" in shown
    assert streams(f"dlq show {app.group} {orders}/0/0 --original").raw == BAD
    assert streams(f"dlq show {app.group} {orders}/0/0 --raw").raw == b'{"total": "x", "turn": 3}'


def test_without_a_yes_nothing_changes_and_the_text_is_kept(  # noqa: PLR0917  # fixtures
    bench: Bench, topic: Topics, app: App, till: Till, streams: Shell, editor: Editor
) -> None:
    """What was typed is not lost: the file that is named has the very bytes, and does it."""
    orders = topic()
    declare(app, orders, till)
    bench.write(orders, [(b"a", BAD)])
    member = bench.run(app)
    dead(member, 1)
    said = streams(f"dlq edit {app.group} {orders}/0/0", EDITOR=editor('"x"', "7"))
    before = streams(f"audit {app.group} --json").json["answers"]
    path = Path(said.out.split("--value-file ")[1].split()[0])
    kept, mode = path.read_bytes(), path.stat().st_mode & 0o777
    again = streams(f"dlq edit {app.group} {orders}/0/0 --yes --json --value-file {path}").json
    member.until(lambda: till.served)
    path.unlink()

    assert "Nothing was changed" in said.out
    assert before == []
    assert (kept, mode) == (GOOD, 0o600)
    assert (again["fates"], again["changed"], again["applied"]) == ({"edited": 1}, True, True)
    assert till.served[0][2] == GOOD


def test_a_person_is_asked(bench: Bench, topic: Topics, app: App, till: Till, editor: Editor) -> None:
    """At a terminal the difference is shown, and a yes does it."""
    orders = topic()
    declare(app, orders, till)
    bench.write(orders, [(b"a", BAD)])
    member = bench.run(app)
    dead(member, 1)
    seen = at_a_terminal(
        ["dlq", "edit", app.group, f"{orders}/0/0"],
        {"STREAMS_BOOTSTRAP": bench.bootstrap, "EDITOR": editor('"x"', "7")},
        answer="y",
    )
    member.until(lambda: till.served)

    assert '-  "total": "x",' in seen
    assert "Have it tried again with this value?" in seen
    assert till.served[0][2] == GOOD


def at_a_terminal(line: list[str], environment: dict[str, str], *, answer: str) -> str:
    """Run a command of `streams` at a terminal, and answer what it asks; give what was seen."""
    master, slave = pty.openpty()
    command = [sys.executable, "-m", "streams", *line]
    with subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=os.environ | environment) as process:
        os.close(slave)
        os.write(master, f"{answer}\n".encode())
        seen = bytearray()
        try:
            while part := os.read(master, 4_096):
                seen += part
        except OSError:  # the other side is closed
            pass
        assert process.wait(60) == 0, seen.decode()
    os.close(master)
    return seen.decode()


def test_a_contract_names_every_fault_and_the_text_stays(  # noqa: PLR0917  # fixtures
    bench: Bench, topic: Topics, app: App, till: Till, streams: Shell, editor: Editor, tmp_path: Path
) -> None:
    """By the schema that is named, or the one that the record names itself: nothing is sent."""
    folder = tmp_path / "schemas"
    (folder / "order.placed").mkdir(parents=True)
    schema = {"type": "object", "properties": {"total": {"type": "integer"}, "sum": {"type": "integer"}}}
    (folder / "order.placed" / "v1.json").write_text(json.dumps(schema))
    orders = topic()
    declare(app, orders, till)
    named = [("ce_dataschema", b"urn:streams:order.placed:v1"), ("ce_specversion", b"1.0")]
    bench.write(orders, [(b"a", BAD, named), (b"b", BAD)])
    member = bench.run(app)
    dead(member, 2)
    line = f"dlq edit {app.group} {orders}/0/%d --schemas {folder} --yes"
    own = streams(line % 0, code=1, EDITOR=editor('"x"', '"y"'))
    chosen = streams(line % 1 + " --schema order.placed", code=1, EDITOR=editor('"x"', '"z"'))
    paths = [Path(said.err.split("--value-file ")[1].split()[0]) for said in (own, chosen)]
    kept = [path.read_text() for path in paths]
    good = streams(f"{line % 0} --value-file - --json", stdin=b'{"total":7,"sum":1}').json
    for path in paths:
        path.unlink()

    for said in (own, chosen):
        assert "does not meet order.placed v1" in said.err
        assert "/total" in said.err
        assert "/sum" in said.err
    assert ['"y"' in kept[0], '"z"' in kept[1]] == [True, True]
    assert (good["contract"], good["fates"]) == ("order.placed v1", {"edited": 1})


def test_what_is_no_text_takes_its_value_from_a_file(  # noqa: PLR0917  # fixtures
    bench: Bench, topic: Topics, app: App, till: Till, streams: Shell, tmp_path: Path
) -> None:
    """An editor would spoil it; a script gives the bytes."""
    orders = topic()
    declare(app, orders, till)
    bench.write(orders, [(b"a", b"\x00\x01\xff")])
    member = bench.run(app)
    dead(member, 1)
    refused = streams(f"dlq edit {app.group} {orders}/0/0 --yes", code=2, EDITOR="false")
    (tmp_path / "new").write_bytes(b"\x00\x01\xfe")
    said = streams(f"dlq edit {app.group} {orders}/0/0 --yes --value-file {tmp_path / 'new'}")
    member.until(lambda: till.served)

    assert "--value-file" in refused.err
    assert "3 bytes, SHA-256" in said.out
    assert till.served[0][:3] == (b"a", 0, b"\x00\x01\xfe")
    assert streams(f"dlq show {app.group} {orders}/0/0 --original").raw == b"\x00\x01\xff"


def test_an_editor_that_fails_loses_nothing(  # noqa: PLR0917  # fixtures
    bench: Bench, topic: Topics, app: App, till: Till, streams: Shell, editor: Editor
) -> None:
    """Ended by an error, left as it was, left broken: each is told, and nothing is sent."""
    orders = topic()
    declare(app, orders, till)
    bench.write(orders, [(b"a", BAD)])
    member = bench.run(app)
    dead(member, 1)
    line = f"dlq edit {app.group} {orders}/0/0 --yes"
    failed = streams(line, code=1, EDITOR="false")
    same = streams(line, EDITOR="true")
    broken = streams(line, code=1, EDITOR=editor('"x"', "{{"))
    paths = [Path(said.err.split("--value-file ")[1].split()[0]) for said in (failed, broken)]
    texts = [path.read_text() for path in paths]
    for path in paths:
        path.unlink()

    assert "Editing failed" in failed.err
    assert "the value is as it was" in same.out
    assert "it was JSON, and is none any more" in broken.err
    assert ['"x"' in texts[0], "{{" in texts[1]] == [True, True]
    assert streams(f"audit {app.group} --json").json["answers"] == []


def test_a_letter_that_is_gone_is_told(bench: Bench, topic: Topics, app: App, till: Till, streams: Shell) -> None:
    """Forgotten before the edit was heard: it fails, and says so."""
    orders = topic()
    declare(app, orders, till)
    bench.write(orders, [(b"a", BAD)])
    member = bench.run(app)
    dead(member, 1)
    member.stop()
    streams(f"dlq forget {app.group} {orders}/0/0 --yes")
    waiting = streams(f"dlq edit {app.group} {orders}/0/0 --yes --value-file -", stdin=GOOD)
    second = bench.run(app)
    second.until(lambda: len(second.ear.heard("obeyed")) == 2)
    said = streams(f"dlq edit {app.group} {orders}/0/0 --yes --value-file -", stdin=GOOD, code=1)

    assert "not answered yet" in waiting.out
    assert [dict(one[2]) for one in second.ear.heard("obeyed")] == [{"forgotten": 1}, {"gone": 1}]
    assert "has no dead letter" in said.err
    assert till.served == []


def test_a_member_that_knows_no_edits_does_nothing(  # noqa: PLR0917  # fixtures
    bench: Bench, topic: Topics, app: App, till: Till, streams: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It tells that it did not understand, and does not try the letter as it was; a later member is asked again."""
    orders = topic()
    declare(app, orders, till)
    bench.write(orders, [(b"a", BAD)])
    with monkeypatch.context() as former:
        former.setattr(control, "read_command", read_as_before)
        member = bench.run(app)
        dead(member, 1)
        said = streams(f"dlq edit {app.group} {orders}/0/0 --yes --wait 2 --value-file -", stdin=GOOD, code=1)
        member.until(lambda: member.ear.heard("misheard"))
        retried = streams(f"dlq list {app.group} --json").json["letters"][0]["redrives"]
        member.stop()
    later = bench.run(app)
    later.until(lambda: later.ear.heard("assigned"))  # without members nobody waits for an answer
    again = streams(f"dlq edit {app.group} {orders}/0/0 --yes --json --value-file -", stdin=GOOD).json

    assert "passes it over" in said.err
    assert retried == 0
    assert again["fates"] == {"edited": 1}


def read_as_before(value: bytes | None) -> Command:
    """Read a command as members did that knew two verbs."""
    command = read_command(value)
    if command.verb == "edit":
        raise LedgerError("no command: Invalid enum value 'edit' - at `$.verb`")
    return command


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("dlq edit {group} nonsense --yes", "TOPIC/PARTITION/OFFSET"),
        ("dlq edit {group} {orders}/0/0 --yes --dry-run", "choose one"),
        ("dlq edit {group} {orders}/0/0 --app a:b --schema c", "--app brings its own"),
        ("dlq edit {group} {orders}/0/0 --key other", "No such option"),
    ],
)
def test_what_can_not_be_meant_is_told(line: str, reason: str, topic: Topics, app: App, streams: Shell) -> None:
    """A key above all: it decides the order."""
    said = streams(line.format(group=app.group, orders=topic()), code=2)

    assert reason in said.err
