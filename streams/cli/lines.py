"""Reading records from JSON lines or CSV, plain or gzipped, without giving up at a bad line."""

from __future__ import annotations

import csv
import gzip
import io
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import orjson

from streams.errors import UsageError

Format: TypeAlias = Literal["jsonl", "csv"]

Entry: TypeAlias = tuple[int, bytes, bytes, bytes | None, str]
"""Number of its first line, its lines as they stand, value and key to send, and what is wrong: "" for nothing."""

STDIN: Final = "-"

_GZIP_MAGIC: Final = b"\x1f\x8b"
_BOM: Final = b"\xef\xbb\xbf"
_BUFFER: Final = 1024 * 1024
_FIELD_LIMIT: Final = 128 * 1024 * 1024
_CSV_NAMES: Final = (".csv", ".csv.gz")
_JSON_NAMES: Final = (".jsonl", ".ndjson", ".json", ".jsonl.gz", ".ndjson.gz", ".json.gz")


@dataclass(frozen=True, slots=True)
class KeyRule:
    """Where a record's Kafka key comes from."""

    field: str | None = None
    """Field of the value; None: records have no key."""
    is_required: bool = False
    """Whether a record without it is a bad line; else it has no key."""

    def key_of(self, value: Any) -> bytes | None:
        """Give the key of *value*; text as it is, numbers as JSON writes them.

        Raises:
            ValueError: The key is required and missing, or no text or number.
        """
        if self.field is None:
            return None
        found = value.get(self.field) if isinstance(value, dict) else None
        if isinstance(found, str):
            return found.encode()
        if found is None:
            if self.is_required:
                raise ValueError(f"it has no field {self.field!r} for the key")
            return None
        if isinstance(found, bool | int | float):
            return orjson.dumps(found)
        raise ValueError(f"its field {self.field!r} can't be a key: it is no text and no number")


class Input:
    """What records are read from.

    Always true: `entries` goes on behind a bad line; only what can't be read
    at all ends it.
    """

    def __init__(self, path: str, chosen: Format | None = None) -> None:
        """Open *path*, ``-`` being standard input.

        Raises:
            UsageError: It can't be opened.
        """
        self.name = "<stdin>" if path == STDIN else path
        self._file = _open(path)
        self._stream = _unzipped(self._file, path)
        self.format: Format = chosen or _format_of(path, self._stream)
        self.header = b""
        """The first lines of a CSV file, as they stand; known once `entries` has begun."""

    def entries(self, rule: KeyRule) -> Iterator[Entry]:
        """Give what the lines hold, empty ones left out.

        Raises:
            UsageError: A CSV file without a usable header.
            OSError: The input can't be read on; EOFError or zlib.error where a gzipped one ends early or is damaged.
        """
        return _json_entries(self._stream, rule.key_of) if self.format == "jsonl" else self._csv_entries(rule)

    def close(self) -> None:
        """Close what was opened; standard input stays as it is."""
        if self.name != "<stdin>":
            self._stream.close()
            self._file.close()

    def _csv_entries(self, rule: KeyRule) -> Iterator[Entry]:
        lines = _Lines(self._stream)
        csv.field_size_limit(_FIELD_LIMIT)
        rows = csv.reader(lines, strict=True)
        names = _header(rows, self.name)
        self.header = lines.take()
        while True:
            number = rows.line_num + 1
            try:
                row = next(rows)
            except StopIteration:
                return
            except csv.Error as error:
                yield number, lines.take(), b"", None, f"not CSV: {error}"
                continue
            raw = lines.take()
            if row:
                yield _csv_entry(number, raw, names, row, rule)


class _Unzipping(io.RawIOBase):
    """What a gzipped file holds, as far as it is whole: an error does not take along what came before it."""

    def __init__(self, file: io.BufferedReader) -> None:
        self._gzip = gzip.GzipFile(fileobj=file)
        self._fault: Exception | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._fault is not None:
            raise self._fault  # gzip itself tells damage once, and then that the file ends here
        try:
            data = self._gzip.read1(len(buffer))
        except (OSError, EOFError, zlib.error) as fault:
            self._fault = fault
            raise
        buffer[: len(data)] = data
        return len(data)


class _Lines:
    """Lines as text for the CSV reader; remembers their bytes until they are taken."""

    def __init__(self, stream: Iterable[bytes]) -> None:
        self._stream = iter(stream)
        self._taken: list[bytes] = []

    def __iter__(self) -> Iterator[str]:
        for raw in self._stream:
            text = raw if self._taken or self._begun else raw.removeprefix(_BOM)
            self._begun = True
            self._taken.append(raw)
            yield text.decode("utf-8", "surrogateescape")

    _begun = False

    def take(self) -> bytes:
        """Give the bytes since the last time."""
        raw = b"".join(self._taken)
        self._taken.clear()
        return raw


def _json_entries(stream: Iterable[bytes], key_of: Callable[[Any], bytes | None]) -> Iterator[Entry]:
    loads = orjson.loads
    for number, raw in enumerate(stream, 1):
        line = raw.strip()
        if number == 1:
            line = line.removeprefix(_BOM)
        if not line:
            continue
        try:
            key = key_of(loads(line))
        except orjson.JSONDecodeError as error:
            yield number, raw, b"", None, f"not JSON: {error.msg} at column {error.colno}"
        except ValueError as error:
            yield number, raw, b"", None, str(error)
        else:
            yield number, raw, line, key, ""


def _csv_entry(number: int, raw: bytes, names: list[str], row: list[str], rule: KeyRule) -> Entry:
    if len(row) != len(names):
        return number, raw, b"", None, f"it has {len(row)} field(s), the header names {len(names)}"
    value = {name: text or None for name, text in zip(names, row, strict=True)}
    try:
        return number, raw, orjson.dumps(value), rule.key_of(value), ""
    except orjson.JSONEncodeError:
        return number, raw, b"", None, "it is not UTF-8"
    except ValueError as error:
        return number, raw, b"", None, str(error)


def _header(rows: Iterator[list[str]], name: str) -> list[str]:
    try:
        names = next(rows, [])
    except csv.Error as error:
        raise UsageError(f"{name}:1: the header is not CSV: {error}") from error
    if not names:
        raise UsageError(f"{name}:1: a CSV file begins with a line that names its columns; this one is empty")
    twice = sorted({column for column in names if names.count(column) > 1})
    if twice or not all(names):
        what = f"names {', '.join(map(repr, twice))} twice" if twice else "leaves a column without a name"
        raise UsageError(
            f"{name}:1: the header {what}; records are JSON objects, so every column needs a name of its own"
        )
    return names


def _open(path: str) -> io.BufferedReader:
    if path == STDIN:
        stdin = sys.stdin.buffer
        return stdin if isinstance(stdin, io.BufferedReader) else _buffered(stdin)
    try:
        return _buffered(Path(path).open("rb", buffering=0))
    except OSError as error:
        raise _unreadable(path, error) from error


def _unzipped(file: io.BufferedReader, path: str) -> io.BufferedReader:
    try:
        is_gzip = file.peek(2)[:2] == _GZIP_MAGIC
    except OSError as error:
        raise _unreadable(path, error) from error
    return _buffered(_Unzipping(file)) if is_gzip else file


def _unreadable(path: str, error: OSError) -> UsageError:
    advice = "Name a file that exists, or - for standard input."
    return UsageError(f"{path}: can't be read: {error.strerror}. {advice}")


def _buffered(stream: Any) -> io.BufferedReader:
    return io.BufferedReader(stream, _BUFFER)


def _format_of(path: str, stream: io.BufferedReader) -> Format:
    """Tell by the name, else by the first character: JSON lines mostly begin with a brace."""
    if path.lower().endswith(_CSV_NAMES):
        return "csv"
    if path.lower().endswith(_JSON_NAMES):
        return "jsonl"
    try:
        first = stream.peek(1).removeprefix(_BOM).lstrip()[:1]
    except (OSError, EOFError, zlib.error):
        return "jsonl"  # damaged from its first byte on: reading will say so
    return "csv" if first and first not in b'{["' else "jsonl"
