"""`python -m tests.faults build/chaos-*.jsonl`: make `docs/RELIABILITY.md` of the figures of runs."""

from __future__ import annotations

import json
from pathlib import Path

import click

from tests.faults.page import PAGE, page


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False))
def main(files: tuple[Path, ...]) -> None:
    """Make the page on faults of FILES, each the figures of one `make chaos`."""
    PAGE.write_text(page([[json.loads(line) for line in file.read_text().splitlines()] for file in files]))
    click.echo(f"{PAGE.name} tells of {len(files)} run{'s' if len(files) > 1 else ''}")


main(prog_name="python -m tests.faults")
