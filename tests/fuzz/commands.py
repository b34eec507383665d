"""The command line: whatever is typed or piped in ends in words and a 1 or a 2, never in a traceback.

No line reaches a broker, or starts one: the cluster that each names can't be
one, and what would need none is misused.
"""

from __future__ import annotations

import gzip
import io
import random
import sys
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Final, Literal

import click
from click.testing import CliRunner

from streams.cli import COMMANDS, Commands, main
from streams.cli.feed import Pace
from streams.cli.lines import STDIN, Input, KeyRule
from streams.cli.scope import Scope
from streams.errors import UsageError
from streams.replay.target import parse_time
from streams.retry import seconds
from tests.fuzz.damage import BYTES, NUMBERS, WORDS, damaged, damaged_text, some_text
from tests.fuzz.search import demand

_STARTS: Final = frozenset(("dev", "bench", "verify", "run"))
"""Commands that would start something; each of their lines has an option that they do not know, or names no app."""
_HALF: Final = "\udcff"
"""What a byte that is no UTF-8 comes as, in an argument."""
_VALUES: Final = (
    *(
        "orders",
        "billing",
        "orders/0/1",
        "orders/0",
        "/0/1",
        "orders/\u0663/1",
        f"orders/0/{'9' * 5_000}",
        "hex:00ff",
        "hex:zz",
    ),
    *(
        "hex:",
        "-1h",
        "-",
        "1m",
        "none",
        "0s",
        "10k/s",
        "0",
        "1",
        "-1",
        "99999999999999999999",
        "2026-01-01",
        "-99999999h",
    ),
    *("0001-01-01", "9999-12-31T23:59:59-23:59", "streams.nowhere:app", "a:b:c", ":", "..:app", "os:path", "k=v", "=v"),
    *("park", "block", "auto", "sigkill", "none", _HALF, f"a{_HALF}/0/1"),
)
_RATES: Final = (
    "500",
    "500/s",
    "10k/s",
    "0.1",
    "0",
    "1e3",
    "k",
    "9" * 400,
    "9" * 307 + "k/s",
    "0." + "0" * 400 + "1",
    "/s",
)
_TIMES: Final = (
    "-1h",
    "-90m",
    "2026-01-01T00:00:00Z",
    "2026-01-01",
    "0001-01-01T00:00+23:59",
    "9999-12-31T23:59:59-23:59",
    "-",
)


@dataclass(frozen=True)
class Line:
    """A command, as it is typed."""

    arguments: tuple[str, ...]


@dataclass(frozen=True)
class Piped:
    """What `streams produce` is given to read."""

    data: bytes
    form: Literal["jsonl", "csv"] | None
    rule: KeyRule


@dataclass(frozen=True)
class Word:
    """The value of one option."""

    of: Literal["rate", "time", "wait", "scope"]
    text: str


class CommandTarget:
    """Types commands, and pipes records into them."""

    name = "commands"

    def __init__(self, command: click.Command = main) -> None:
        """Type to *command*."""
        self._command = command

    def case(self, rng: random.Random) -> Line | Piped | Word:
        """Make a line, an input, or the value of an option."""
        kind = rng.random()
        if kind < 0.15:
            return Line(_arguments(rng))
        if kind < 0.5:
            rule = KeyRule(rng.choice((None, "id", "", _HALF)), rng.random() < 0.3)
            return Piped(_input(rng), rng.choice((None, "jsonl", "csv")), rule)
        of = rng.choice(("rate", "time", "wait", "scope"))
        known = {"rate": _RATES, "time": _TIMES, "wait": _VALUES, "scope": _VALUES}[of]
        text = (
            rng.choice(known)
            if rng.random() < 0.5
            else rng.choice((some_text(rng), damaged_text(rng, rng.choice(known))))
        )
        return Word(of, text)  # type: ignore[arg-type]  # one of the four

    def check(self, case: Line | Piped | Word) -> None:
        """Do it; nothing but an error in words may follow."""
        if isinstance(case, Line):
            self._type(case.arguments)
        elif isinstance(case, Piped):
            _pipe(case)
        else:
            _read(case)

    def _type(self, arguments: Sequence[str]) -> None:
        result = CliRunner().invoke(self._command, list(arguments), env={"COLUMNS": "100"})
        fault = result.exception
        assert fault is None or isinstance(fault, SystemExit), f"a traceback: {type(fault).__name__}: {fault}"
        assert result.exit_code in (0, 1, 2), f"it ended with {result.exit_code}"
        assert not result.exit_code or result.output.strip(), "it failed without a word"
        assert "Traceback" not in result.output


def _pipe(case: Piped) -> None:
    with _standard_input(case.data):
        try:
            lines = Input(STDIN, case.form)
            entries = list(lines.entries(case.rule))
        except (UsageError, OSError, EOFError, zlib.error):
            return
    plain = gzip.decompress(case.data) if case.data.startswith(b"\x1f\x8b") else case.data
    told = b"".join(raw for _, raw, _, _, _ in entries)
    assert lines.format == "csv" or _visible(told) == _visible(plain), "a line was lost"
    for _, _, value, key, wrong in entries:
        assert wrong or value, "a line is neither sent nor bad"
        assert key is None or isinstance(key, bytes)


def _visible(data: bytes) -> bytes:
    return b"".join(line for line in data.split(b"\n") if line.removeprefix(b"\xef\xbb\xbf").strip())


def _read(case: Word) -> None:
    try:
        if case.of == "rate":
            pace = Pace.parse(case.text)
            assert pace.look_every > 0
            assert pace.ahead_s(10) <= 10 / (pace.per_s or 1)
        elif case.of == "time":
            parse_time(case.text, time.time())
        elif case.of == "wait":
            assert seconds(case.text) >= 0
        else:
            Scope.of(case.text, [case.text], None, "park", [case.text])
    except UsageError as error:
        demand(str(error), "it failed without a word")


@contextmanager
def _standard_input(data: bytes) -> Iterator[None]:
    before, sys.stdin = sys.stdin, io.TextIOWrapper(io.BytesIO(data))
    try:
        yield
    finally:
        sys.stdin = before


@cache
def _leaves() -> list[tuple[tuple[str, ...], click.Command]]:
    """Give every command that does something, with the words that lead to it."""
    found: list[tuple[tuple[str, ...], click.Command]] = []
    for name in COMMANDS:
        command = Commands().get_command(click.Context(main), name)
        if isinstance(command, click.Group):
            found += [((name, under), leaf) for under, leaf in sorted(command.commands.items())]
        elif command is not None:
            found.append(((name,), command))
    return found


def _arguments(rng: random.Random) -> tuple[str, ...]:
    words, command = rng.choice(_leaves())
    arguments: list[str] = []
    for parameter in command.params:
        if isinstance(parameter, click.Argument):
            arguments += [_value(rng)] if rng.random() < 0.95 else []
        elif parameter.name not in ("bootstrap", "data") and rng.random() < 0.3:
            arguments += _option(rng, parameter)
    if rng.random() < 0.1:
        arguments.insert(rng.randint(0, len(arguments)), rng.choice((_value(rng), "--nothing", "-x")))
    if any(one.name == "bootstrap" for one in command.params):
        arguments += ["--bootstrap", rng.choice(("nowhere", "a:0", ":", _HALF, "a b:1"))]
    if words[0] in _STARTS:
        arguments += ["--nothing-of-that-name"]
    return tuple(word.replace("\x00", "") for word in (*words, *arguments))  # no shell passes a NUL


def _option(rng: random.Random, option: click.Parameter) -> list[str]:
    name = rng.choice(option.opts)
    if isinstance(option, click.Option) and option.is_flag:
        return [name] if rng.random() < 0.9 else [f"{name}={_value(rng)}"]
    if isinstance(option.type, click.Choice) and rng.random() < 0.7:
        return [name, str(rng.choice(list(option.type.choices)))]
    if isinstance(option.type, click.IntRange) and rng.random() < 0.5:
        return [name, str(rng.choice(NUMBERS))]
    return [name, _value(rng)]


def _value(rng: random.Random) -> str:
    return rng.choice(_VALUES) if rng.random() < 0.7 else rng.choice((rng.choice(WORDS), some_text(rng)))


def _input(rng: random.Random) -> bytes:
    lines: list[bytes] = [b"id,name,note"] if rng.random() < 0.4 else []
    lines += [rng.choice(_LINES) for _ in range(rng.randint(0, 5))]
    data = rng.choice((b"\n", b"\n", b"\r\n", b"\n\n")).join(lines)
    data = rng.choice((b"", b"", b"\xef\xbb\xbf")) + data
    if rng.random() < 0.4:
        data = damaged(rng, data)
    if rng.random() < 0.1:
        data = gzip.compress(data, 1)
        return damaged(rng, data) if rng.random() < 0.7 else data
    return data


_LINES: Final[Sequence[bytes]] = (
    *(
        b'{"id": 1, "name": "a"}',
        b'{"id": "\xc3\xa9"}',
        b'{"id": null}',
        b'{"id": [1]}',
        b'{"id": 1e999}',
        b"[]",
        b"5",
        b'"x"',
    ),
    *(
        b'{"id": "\\ud800"}',
        b'{"": 1}',
        b"1,2,3",
        b'"a ""b""",2,3',
        b'"a',
        b"1,2",
        b"",
        b"  ",
        b"\xff,2,3",
        b"a,b\x00,c",
        *BYTES,
    ),
    *(b"[" * 2_000, b'{"id": 18446744073709551616}'),
)
