"""`streams schemas`: the contracts of events, held against themselves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from streams.cli.output import plain, print_json, print_table
from streams.contracts import CheckedSubject, Compatibility, check


@click.group()
def schemas() -> None:
    """The contracts of events: one folder a subject, one JSON Schema a version."""


@schemas.command("check")
@click.option(
    "--path",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    default=Path("schemas"),
    show_default=True,
    help="The folder of the subjects.",
)
@click.option(
    "--compatibility",
    type=click.Choice([each.value for each in Compatibility]),
    default=Compatibility.FORWARD.value,
    show_default=True,
    help="Who must be able to read what; forward: readers of a version, data of the next one.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
@click.pass_context
def check_schemas(context: click.Context, path: Path, compatibility: str, *, as_json: bool) -> None:
    """Check each schema and example, and each version against its readers.

    Ends with 1 if anything is wrong.
    """
    checked = check(path, Compatibility(compatibility))
    if as_json:
        print_json(_described(checked, compatibility))
    else:
        _show(checked, compatibility)
    context.exit(any(each.faults for each in checked))


def _described(checked: Sequence[CheckedSubject], compatibility: str) -> dict[str, Any]:
    """What machines are told."""
    return {
        "ok": not any(each.faults for each in checked),
        "compatibility": compatibility,
        "subjects": [
            {
                "subject": each.name,
                "versions": each.versions,
                "ok": not each.faults,
                "faults": [{"file": str(fault.path), "text": fault.text} for fault in each.faults],
            }
            for each in checked
        ],
    }


def _show(checked: Sequence[CheckedSubject], compatibility: str) -> None:
    """Print what people read: a table of subjects, a line a fault, and what to do."""
    print_table(
        ("Subject", "Versions", "Found"),
        [
            (
                each.name,
                ", ".join(f"v{version}" for version in each.versions),
                _count(len(each.faults), "fault") if each.faults else "good",
            )
            for each in checked
        ],
    )
    faults = [fault for each in checked for fault in each.faults]
    for fault in faults:
        click.echo(plain(str(fault)))
    if faults:
        click.echo(
            f"\n{_count(len(faults), 'fault')} (compatibility: {compatibility}). Correct what is named above; a "
            "version that is in use stays as it is, and what can't be kept needs a subject of its own."
        )
    else:
        click.echo(f"{_count(len(checked), 'subject')}, nothing wrong (compatibility: {compatibility}).")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
