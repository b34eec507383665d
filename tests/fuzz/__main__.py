"""`python -m tests.fuzz`: a million cases, or one of them again."""

from __future__ import annotations

import secrets
import sys
import time
from typing import Final

import click

from tests.fuzz.commands import CommandTarget
from tests.fuzz.events import EventTarget
from tests.fuzz.headers import HeaderTarget
from tests.fuzz.ledgers import LedgerTarget
from tests.fuzz.search import Target, search
from tests.fuzz.settings import SettingsTarget

TARGETS: Final[dict[str, tuple[Target, float]]] = {
    target.name: (target, share)
    for target, share in (
        (HeaderTarget(), 0.30),
        (LedgerTarget(), 0.30),
        (EventTarget(), 0.25),
        (SettingsTarget(), 0.11),
        (CommandTarget(), 0.04),
    )
}
"""Name to target, and its share of the cases: what is read while records flow has the most."""


@click.command()
@click.argument("names", nargs=-1, metavar="[TARGET]...")
@click.option("--cases", type=click.IntRange(1), default=1_000_000, show_default=True, help="In all.")
@click.option("--seed", type=click.IntRange(0), help="Have the cases of an earlier run again.")
@click.option("--case", "number", type=click.IntRange(0), help="Run this one alone.")
def main(names: tuple[str, ...], cases: int, seed: int | None, number: int | None) -> None:
    """Try readers with damaged input; ends with 1 where one of them does what it must not."""
    if unknown := set(names) - TARGETS.keys():
        raise click.UsageError(f"{', '.join(sorted(unknown))}: there are {', '.join(TARGETS)}")
    seed = secrets.randbelow(2**32) if seed is None else seed
    chosen = names or tuple(TARGETS)
    whole = sum(TARGETS[name][1] for name in chosen)
    is_sound = True
    for name in chosen:
        target, share = TARGETS[name]
        count = 1 if number is not None else max(1, round(cases * share / whole))
        began = time.monotonic()
        found = search(target, count, seed, number or 0)
        took_s = time.monotonic() - began
        click.echo(str(found) if found else f"{name}: {count:,} cases of seed {seed}, nothing found, {took_s:.0f} s")
        is_sound = is_sound and found is None
    sys.exit(not is_sound)


if __name__ == "__main__":
    main()
