"""`streams schemas`: the contracts of the events, held against themselves."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from streams.contracts import CheckedSubject, Compatibility, check
from streams.errors import UsageError


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
    help="Who must be able to read what: forward, readers of a version the data of the next one.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
@click.pass_context
def check_schemas(context: click.Context, path: Path, compatibility: str, *, as_json: bool) -> None:
    """Check each schema and example, and each version against its readers.

    Ends with 1 if anything is wrong.
    """
    try:
        checked = check(path, Compatibility(compatibility))
    except UsageError as error:
        raise click.UsageError(str(error)) from error
    if as_json:
        click.echo(json.dumps(_described(checked, compatibility), indent=2))
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
    table = Table("Subject", "Versions", "Found", box=None, pad_edge=False)
    for each in checked:
        versions = ", ".join(f"v{version}" for version in each.versions)
        table.add_row(each.name, versions or "none", _count(len(each.faults), "fault") if each.faults else "good")
    Console().print(table)
    faults = [fault for each in checked for fault in each.faults]
    for fault in faults:
        click.echo(f"\n{fault}", nl=False)
    click.echo(f"\n{_summary(checked, len(faults), compatibility)}")


def _summary(checked: Sequence[CheckedSubject], faults: int, compatibility: str) -> str:
    if not faults:
        return f"{_count(len(checked), 'subject')}, nothing wrong (compatibility: {compatibility})"
    return (
        f"{_count(faults, 'fault')} (compatibility: {compatibility}). A version that is in use stays as it is: "
        "correct the new one, or give what broke a subject of its own."
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
