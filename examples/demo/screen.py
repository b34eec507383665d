"""What a person sees while the demo runs: a line for each thing that happens, with the time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

_SHARES = 4
"""How often a log is told of progress: at each quarter."""


class Screen:
    """A terminal, or a log where there is none."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._began

    def say(self, text: str) -> None:
        """Tell what happened."""
        self.console.print(f"[dim]{self.seconds:6.1f} s[/]  {text}", soft_wrap=True)

    @contextmanager
    def progress(self, what: str, total: int) -> Iterator[Callable[[int], None]]:
        """Show how far something is: a bar for a person, a line a quarter for a log.

        Gives what is to be told how much is done.
        """
        if self.console.is_terminal:
            columns = (
                TextColumn("[dim]{task.description:>6}[/]"),
                BarColumn(),
                TextColumn(f"{{task.completed:,}} of {total:,} {what}"),
            )
            with Progress(*columns, console=self.console, transient=True) as bar:
                task = bar.add_task("", total=total)
                yield lambda done: bar.update(task, completed=min(done, total))
        else:
            yield self._quarters(what, total)

    def _quarters(self, what: str, total: int) -> Callable[[int], None]:
        told = 0

        def tell(done: int) -> None:
            nonlocal told
            if (quarter := done * _SHARES // total) > told and quarter < _SHARES:
                told = quarter
                self.say(f"{done:,} of {total:,} {what}")

        return tell
