"""What commands print: a table for people, or one JSON document for machines.

Results go to standard output, everything else to standard error.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Final

import click
import orjson

from streams.wording import age, readable, time_of

__all__ = [
    "Failure",
    "Misuse",
    "age",
    "cell",
    "paragraph",
    "plain",
    "print_json",
    "print_table",
    "readable",
    "say",
    "time_of",
]

_WIDE: Final = 200
_TEXT_WIDTH: Final = 100
_ESCAPED: Final = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if code not in (9, 10)}


class Failure(click.ClickException):
    """The work failed: its text goes to standard error, 1 to the shell."""


class Misuse(click.ClickException):
    """The command was not understood, or asks for what can't be: 2 to the shell."""

    exit_code = 2


def print_json(document: object) -> None:
    """Print *document* as the one thing on standard output."""
    click.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS, default=str))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str = "") -> None:
    """Print *rows*; columns whose name begins with ``#`` are numbers and stand to the right."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console(markup=False, highlight=False, emoji=False, width=None if sys.stdout.isatty() else _WIDE)
    table = Table(box=box.SIMPLE_HEAD, title=title or None, title_justify="left", pad_edge=False)
    for name in columns:
        table.add_column(name.removeprefix("#"), justify="right" if name.startswith("#") else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(cell, row))
    with console.capture() as drawn:
        console.print(table)
    lines = [line.rstrip() for line in drawn.get().splitlines()]
    click.echo("\n".join(line for line in lines if line))


def cell(value: object) -> str:
    """Give *value* as a table shows it: numbers in groups of three, nothing as a dash, control characters escaped."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.1f}"
    return plain(str(value))


def plain(text: str) -> str:
    """Give *text* with everything escaped that would make a terminal do something."""
    return text.translate(_ESCAPED)


def paragraph(text: str, indent: str = "") -> None:
    """Print running text, broken into lines; all but the first begin with *indent*."""
    click.echo(click.wrap_text(text, width=_TEXT_WIDTH, subsequent_indent=indent))


def say(text: str) -> None:
    """Tell the person, beside the result; on a full disk, or a pipe that nobody reads, it is lost, and nothing else."""
    try:
        click.echo(text, err=True)
    except OSError:
        from streams.monitor.logs import silence

        silence(sys.stderr)
