"""Lines are read for what they are, whatever their form, and a bad one is only a bad one."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.cli.lines import Entry, Format, Input, KeyRule
from streams.errors import UsageError

NO_KEY = KeyRule()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A file to be written and read."""
    return tmp_path / "orders"


def entries(path: Path, rule: KeyRule = NO_KEY, form: Format | None = None) -> list[Entry]:
    """Read everything."""
    opened = Input(str(path), form)
    try:
        return list(opened.entries(rule))
    finally:
        opened.close()


def sent(found: list[Entry]) -> list[tuple[int, bytes, bytes | None]]:
    """Number, value and key of the good ones."""
    return [(number, value, key) for number, _, value, key, wrong in found if not wrong]


def wrong(found: list[Entry]) -> dict[int, str]:
    """Number and fault of the bad ones."""
    return {number: fault for number, _, _, _, fault in found if fault}


def test_json_lines_are_sent_as_they_stand(source: Path) -> None:
    """Not a byte of a value changes: not its spaces, not the digits of its numbers."""
    source.write_bytes(b'{"id": 1,  "n": 12345678901234567890123.10}\n\n  {"id":2}\r\n[1]\n"text"\nnull')

    assert sent(entries(source)) == [
        (1, b'{"id": 1,  "n": 12345678901234567890123.10}', None),
        (3, b'{"id":2}', None),
        (4, b"[1]", None),
        (5, b'"text"', None),
        (6, b"null", None),
    ]


@pytest.mark.parametrize(
    ("value", "key"),
    [
        ('{"k": "o-1"}', b"o-1"),
        ('{"k": ""}', b""),
        ('{"k": 17}', b"17"),
        ('{"k": 1.5}', b"1.5"),
        ('{"k": true}', b"true"),
        ('{"k": null}', None),
        ('{"other": 1}', None),
        ("[1]", None),
    ],
)
def test_the_key_is_a_field_of_the_value(source: Path, value: str, key: bytes | None) -> None:
    """Text as it is, numbers as JSON; an empty key is a key, null is none."""
    source.write_text(value)

    assert sent(entries(source, KeyRule("k"))) == [(1, value.encode(), key)]


@pytest.mark.parametrize("value", ['{"other": 1}', '{"k": null}', "[1]"])
def test_a_required_key_that_is_missing_makes_a_bad_line(source: Path, value: str) -> None:
    """With a required key, a line without it is bad."""
    source.write_text(value)

    assert wrong(entries(source, KeyRule("k", is_required=True))) == {1: "it has no field 'k' for the key"}


def test_a_key_that_is_no_text_and_no_number_makes_a_bad_line(source: Path) -> None:
    """An object can't be a key."""
    source.write_text('{"k": {"a": 1}}')

    assert wrong(entries(source, KeyRule("k"))) == {1: "its field 'k' can't be a key: it is no text and no number"}


@pytest.mark.parametrize("bad", [b"{", b"{'a': 1}", b"\xff\xfe", b"NaN", b"[" * 2_000])
def test_reading_goes_on_behind_a_bad_line(source: Path, bad: bytes) -> None:
    """What is not JSON is named by its number and kept as it stands."""
    source.write_bytes(b'{"a":1}\n' + bad + b'\n{"a":2}\n')
    found = entries(source, form="jsonl")

    assert [number for number, _, _ in sent(found)] == [1, 3]
    assert wrong(found)[2].startswith("not JSON: ")
    assert found[1][1] == bad + b"\n"


def test_a_csv_row_is_an_object(source: Path) -> None:
    """Texts under the names of the header; empty ones are null; quotes may hold commas and line breaks."""
    source.write_text('\ufeffid,name,note\n1,"a, b",\n2,"two\nlines",x\n')
    found = sent(entries(source, KeyRule("id"), form="csv"))

    assert [(number, json.loads(value), key) for number, value, key in found] == [
        (2, {"id": "1", "name": "a, b", "note": None}, b"1"),
        (3, {"id": "2", "name": "two\nlines", "note": "x"}, b"2"),
    ]


def test_a_bad_csv_row_is_named_and_kept(source: Path) -> None:
    """Too few fields, no UTF-8, a quote out of place: each is one bad line, by the number of its first line."""
    source.write_bytes(b'id,name\n1,a\n2\n3,\xff\n4,"x"y\n5,"b\nb"\n6,c\n')
    found = entries(source, form="csv")

    assert [number for number, _, _ in sent(found)] == [2, 6, 8]
    assert list(wrong(found)) == [3, 4, 5]
    assert [raw for _, raw, _, _, fault in found if fault] == [b"2\n", b"3,\xff\n", b'4,"x"y\n']


@pytest.mark.parametrize("header", [b"", b"id,id\n", b"id,,name\n", b'"id\n'])
def test_a_csv_file_needs_a_header(source: Path, header: bytes) -> None:
    """Without a usable header no row means anything."""
    source.write_bytes(header)

    with pytest.raises(UsageError, match=r"orders:1: "):
        entries(source, form="csv")


@pytest.mark.parametrize(
    ("name", "text", "form"),
    [
        ("a.csv", "id\n1\n", "csv"),
        ("a.jsonl", '{"id":1}\n', "jsonl"),
        ("a.NDJSON", "1\n", "jsonl"),
        ("a.txt", '  {"id":1}\n', "jsonl"),
        ("a.txt", "id,name\n", "csv"),
        ("a.txt", "", "jsonl"),
    ],
)
def test_the_form_is_told_by_name_or_look(tmp_path: Path, name: str, text: str, form: Format) -> None:
    """A known ending decides, else the first character."""
    (tmp_path / name).write_text(text)
    (tmp_path / f"{name}.gz").write_bytes(gzip.compress(text.encode()))

    for path in (tmp_path / name, tmp_path / f"{name}.gz"):
        opened = Input(str(path))
        assert opened.format == form
        opened.close()


def test_gzip_is_told_by_its_first_bytes(source: Path) -> None:
    """A gzipped file needs no ending."""
    source.write_bytes(gzip.compress(b'{"a":1}\n{"a":2}\n'))

    assert len(sent(entries(source))) == 2


def test_a_damaged_gzip_ends_with_an_error_after_what_could_be_read(source: Path) -> None:
    """What is whole is read; the end is an error, never silence."""
    lines = b"".join(b'{"a":%d}\n' % (number * 7919 % 100_003) for number in range(50_000))
    whole = gzip.compress(lines)
    source.write_bytes(whole[: len(whole) // 2])
    opened = Input(str(source))
    read: list[Entry] = []

    with pytest.raises(EOFError):
        read.extend(opened.entries(NO_KEY))
    assert len(read) > 1_000
    opened.close()


@pytest.mark.parametrize("name", ["absent", ""])
def test_what_can_not_be_opened_is_said(tmp_path: Path, name: str) -> None:
    """A file that is not there, or a folder, is a usage error."""
    with pytest.raises(UsageError, match="can't be read"):
        Input(str(tmp_path / name))


@given(st.lists(st.dictionaries(st.text(), st.none() | st.integers() | st.text()), max_size=5))
def test_what_is_json_is_never_bad(tmp_path_factory: pytest.TempPathFactory, values: list[object]) -> None:
    """Whatever JSON a line holds, it is read, and sent byte for byte."""
    lines = [json.dumps(value).encode() for value in values]
    path = tmp_path_factory.mktemp("given") / "a.jsonl"
    path.write_bytes(b"\n".join(lines))

    assert [value for _, value, _ in sent(entries(path))] == lines


@pytest.mark.parametrize("kept", range(2, 18))
def test_a_gzipped_input_that_breaks_off_early_is_no_empty_one(kept: int, source: Path) -> None:
    """Where its name does not tell the form the first bytes are looked at; damage there is told all the same."""
    source.write_bytes(gzip.compress(b'{"id": 1}\n', mtime=0)[:kept])

    with pytest.raises((EOFError, OSError)):
        entries(source)
