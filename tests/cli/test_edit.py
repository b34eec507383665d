"""A payload as a text that is edited: what an editor is given, what becomes of what it leaves, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.cli.contract import contract_of
from streams.cli.editor import Desk, Text, difference
from streams.deadletter.counting import COUNTS
from streams.deadletter.edit import Amendment
from streams.deadletter.letter import Letter
from streams.engine.chain import new_header
from streams.engine.desk import Who
from streams.engine.edit import EDITED_HEADER, MOST_EDITS, MOST_VALUE, digest
from streams.errors import DecodeError, UsageError
from streams.record import Headers, Origin, Partition

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(alphabet='aé€\U0001f600 "\\\n'),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def letter(value: bytes | None = b"{}", key: bytes | None = b"7", headers: Headers | None = None) -> Letter:
    """A dead letter of the record at ``orders/0/3``."""
    header = new_header(
        Origin("orders", 0, 3, 1_000), topic_id="id", group="billing", assignment_id=b"a", attempts=1, history=()
    )
    return Letter(
        place=Partition("orders.billing.dlq", 0),
        offset=9,
        header=header,
        error=None,
        key=key,
        value=value,
        headers=headers or [],
        timestamp_ms=2_000,
        verdict=COUNTS,
    )


# -- the text -------------------------------------------------------------------------------------------


@given(
    JSON, st.sampled_from([None, 0, 2, 4, "\t"]), st.sampled_from([True, False]), st.sampled_from(["", "\n", " \n\n"])
)
def test_what_was_saved_and_not_changed_says_the_same(value: Any, indent: Any, escapes: Any, tail: str) -> None:
    """To the byte in the layouts that JSON mostly has, however it is escaped; in others without spaces."""
    data = (json.dumps(value, indent=indent, ensure_ascii=escapes) + tail).encode()
    text = Text.of(data)
    saved = text.bytes_of(text.shown + "\n")

    assert text.bytes_of(text.shown) == data
    assert json.loads(saved) == value
    assert saved == data or indent in {0, "\t"}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'{"a":1.10,"b":"x"}', b'{"a":1.10,"b":7}'),
        (b'{"a": 123456789012345678901234567890, "b": "x"}', b'{"a": 123456789012345678901234567890, "b": 7}'),
        (b'{\n  "a": 1e5,\n  "b": "x"\n}\n', b'{\n  "a": 1e5,\n  "b": 7\n}\n'),
        (b'{"b":"x","b":"x"}', b'{"b":7,"b":7}'),
        (b'"x"', b"7"),
    ],
)
def test_json_keeps_its_layout_and_its_numbers(before: bytes, after: bytes) -> None:
    """What stands beside the change stays as it was, to the digit."""
    text = Text.of(before)

    assert text.bytes_of(text.shown.replace('"x"', "7")) == after


@pytest.mark.parametrize(
    ("before", "left", "after"),
    [
        (b'{"broken', '{"broken":1}\n', b'{"broken":1}'),
        (b"a;b\n", "a;c\n", b"a;c\n"),
        (b"a;b", "a;c", b"a;c"),
        (b"a\r\nb", "a\r\nc\n", b"a\r\nc"),
        (b"", "x\n", b"x"),
    ],
)
def test_what_is_no_json_stays_as_it_was_typed(before: bytes, left: str, after: bytes) -> None:
    """But for the line's end that editors add."""
    assert Text.of(before).bytes_of(left) == after


def test_json_that_was_broken_is_told() -> None:
    """With the place."""
    with pytest.raises(DecodeError, match="byte"):
        Text.of(b'{"a":1}').bytes_of('{"a":')


@pytest.mark.parametrize("value", [None, b"\xff", b"\x00\x00\x00\x00\x01json", b"a\x1b[2J"])
def test_what_an_editor_would_spoil_is_refused(value: bytes | None) -> None:
    """The way around it is named."""
    with pytest.raises(UsageError, match="--value-file"):
        Text.of(value)


def test_the_file_of_a_text_is_for_its_user_alone() -> None:
    """A payload may be a secret; the name is one that every file system takes."""
    desk = Desk("orders/0/3", Text.of(b'{"card": 1}'))
    try:
        assert desk.path.stat().st_mode & 0o777 == 0o600
        assert desk.path.name.startswith("orders-0-3")
        assert json.loads(desk.path.read_text()) == {"card": 1}
    finally:
        desk.clear()
    assert not desk.path.exists()


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (b'{"a":1}', b'{"a":2}', '-  "a": 1\n+  "a": 2'),
        (None, b"{}", "- null\n+ 2 bytes"),
        (b"\xff", b"{}", "- 1 bytes, SHA-256"),
        (b'{"a":1}', b'{"a": 1}', "(spaces alone)"),
        (b"[" + b"1," * 20_000 + b"1]", b"[" + b"2," * 20_000 + b"1]", "- 40,003 bytes"),
    ],
)
def test_what_changes_is_shown(before: bytes | None, after: bytes, told: str) -> None:
    """Lines where they can be, sizes and hashes where not."""
    assert told in difference(before, after)


# -- the contract ---------------------------------------------------------------------------------------


@pytest.fixture
def schemas(tmp_path: Path) -> Path:
    """Two versions of a subject: the second one asks for more."""
    folder = tmp_path / "schemas" / "order.placed"
    folder.mkdir(parents=True)
    for version, required in ((1, ["total"]), (2, ["total", "sum"])):
        schema = {"type": "object", "required": required, "properties": {"total": {"type": "integer"}}}
        (folder / f"v{version}.json").write_text(json.dumps(schema))
    return folder.parent


@pytest.mark.parametrize(
    ("named", "subject", "contract", "faults"),
    [
        (None, None, None, None),
        (b"urn:streams:order.placed:v1", None, "order.placed v1", 1),
        (b"urn:streams:order.paid:v1", None, None, None),
        (b"https://example.com/else", None, None, None),
        (None, "order.placed", "order.placed v2", 2),
        (b"urn:streams:order.placed:v1", "order.placed", "order.placed v1", 1),
    ],
)
def test_the_contract_is_the_one_that_is_named(
    named: bytes | None, subject: str | None, contract: str | None, faults: int | None, schemas: Path
) -> None:
    """On the command line, else by the record itself; a version that the record names counts in both."""
    headers: Headers = [] if named is None else [("ce_specversion", b"1.0"), ("ce_dataschema", named)]
    found = contract_of(letter(headers=headers), None, subject, schemas)

    assert (None if found is None else found.name) == contract
    assert (None if found is None else len(found.faults(b'{"total":"x"}'))) == faults
    assert found is None or "not JSON" in found.faults(b"{")[0]


APP = """
from streams import App
app = App("billing")

@app.on("orders", key="id")
def charge(order: dict) -> None: ...

@app.on("texts")
def read(text: str) -> None: ...

other = App("others")

@other.on("orders")
def count(order: dict) -> None: ...
"""


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The module of an app."""
    (tmp_path / "till_app.py").write_text(APP)
    monkeypatch.syspath_prepend(str(tmp_path))
    return "till_app"


@pytest.mark.parametrize(
    ("value", "faults"),
    [
        (b'{"id":7}', []),
        (b'{"id":8}', ["its field 'id' says 8, and its Kafka key is 7"]),
        (b'{"id":null}', []),
        (b"[]", ["not JSON for dict"]),
    ],
)
def test_what_the_handler_could_not_read_is_a_fault(value: bytes, faults: list[str], app: str) -> None:
    """And a value that names another key, which would stand in the order of a key that is not its own."""
    contract = contract_of(letter(), f"{app}:app", None, Path("nowhere"))
    assert contract is not None
    found = contract.faults(value)

    assert len(found) == len(faults)
    assert all(told.startswith(begin) for told, begin in zip(found, faults, strict=True))


def test_a_key_that_the_value_never_named_is_no_fault(app: str) -> None:
    """Who produced it chose another key than the field that the app declares."""
    contract = contract_of(letter(b'{"id":8,"total":"x"}'), f"{app}:app", None, Path("nowhere"))

    assert contract is not None
    assert contract.faults(b'{"id":8,"total":7}') == []


@pytest.mark.parametrize("path", ["other", "nothing"])
def test_an_app_of_another_group_is_refused(path: str, app: str) -> None:
    """It says nothing of what this group's handler reads."""
    with pytest.raises(UsageError, match=r"group 'others'|no App named"):
        contract_of(letter(), f"{app}:{path}", None, Path("nowhere"))


# -- the bounds -----------------------------------------------------------------------------------------


def test_an_edit_says_what_it_replaces() -> None:
    """By hash in the command, whole in what is kept."""
    amendment = Amendment.of(letter(b"old"), b"new", Who("ann", "a typo"))
    command, kept = amendment.command, amendment.kept

    assert command.edit is not None
    assert (command.edit.value, command.edit.was) == (b"new", digest(b"old"))
    assert (kept.value, kept.was, kept.kept, kept.why) == (b"old", digest(b"old"), command.id, "a typo")
    assert kept.key == b"orders/0/3"


@pytest.mark.parametrize(
    ("before", "after", "edits", "told"),
    [
        (b"{}", b"{}", 0, "nothing to change"),
        (b"{}", bytes(MOST_VALUE + 1), 0, "the new value has 524,289 bytes"),
        (bytes(MOST_VALUE + 1), b"{}", 0, "the value that it has"),
        (b"{}", b"[]", MOST_EDITS, "edited 20 times"),
    ],
)
def test_what_can_not_be_kept_or_sent_is_refused(before: bytes, after: bytes, edits: int, told: str) -> None:
    """With what to do instead."""
    mark = b'{"id":"x","topic":"orders","partition":0,"offset":3,"was":""}'

    with pytest.raises(UsageError, match=told):
        Amendment.of(letter(before, headers=[(EDITED_HEADER, mark)] * edits), after, Who("ann"))


def test_the_largest_edit_fits_a_topic_of_kafkas_default() -> None:
    """Both the command and what is kept stay below the 1,048,588 bytes that a record may have."""
    amendment = Amendment.of(letter(bytes(MOST_VALUE)), b"x" * MOST_VALUE, Who("a" * 200, "é" * 2_000))

    assert max(len(amendment.command.pack()), len(amendment.kept.pack())) < 1_000_000
