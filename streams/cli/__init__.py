"""The `streams` command: one file a command group, each loaded only when it is called.

Every command takes ``--json`` for machines, ends with 0 (done), 1 (failed) or
2 (usage), and tells a user's mistake in words, never as a traceback.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from importlib.metadata import version
from typing import Any, Final

import click

from streams.cli.output import Failure, Misuse
from streams.errors import StreamsError, UsageError

COMMANDS: Final = {
    "dev": "A real Kafka on this machine: no Docker, no installed Java.",
    "topics": "Make, list and check topics.",
    "produce": "Send lines of a file, or of standard input, to a topic.",
    "run": "Run an app as a member of its group.",
    "status": "What every group is doing, from the broker alone.",
    "why": "What stands still in a group and what for; of one key; of one record.",
    "lag": "How far a group is behind, in records and in seconds.",
    "describe": "What an app guarantees, or who is in a group.",
    "dlq": "Look at dead letters, have them tried again, or forget them.",
    "groups": "Have a running group stand still, go on, begin anew, or finish and leave.",
    "audit": "What operators have had done to a group, and to its dead letters.",
    "replay": "Have a group process records again: what that would do, and doing it.",
    "scale": "How many replicas a group needs, and why.",
    "monitor": "The dashboard: all groups, what stands still, and the repair of dead letters.",
    "schemas": "Check the contracts of events.",
    "metrics": "What members measure, and alerts and graphs for it.",
    "verify": "Check the promise on an app of yours, under faults.",
    "bench": "Measure the engine beside the bare client.",
}
"""Name to the one line that ``streams --help`` shows; the command stands in the file of that name."""


class Commands(click.Group):
    """The commands of `COMMANDS`; a command's file is imported when the command is called, not before."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name them, in the order in which a newcomer needs them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load one."""
        if cmd_name not in COMMANDS:
            return None
        command = getattr(import_module(f"streams.cli.{cmd_name}"), cmd_name)
        return command if isinstance(command, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Show them without loading them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Begin: as click does, with somewhere to write to."""
        _open_standard_streams()
        return super().main(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; what it raises on purpose becomes a message and an exit code."""
        try:
            return super().invoke(ctx)
        except UsageError as error:
            raise Misuse(str(error)) from error
        except StreamsError as error:
            raise Failure(str(error)) from error


def _open_standard_streams() -> None:
    """Open those standard streams to nowhere that the caller has closed.

    Else the next connection would get the number of one, and the words that are meant for it.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free: this one
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w" if number else "r", closefd=False))


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(version("streams"), prog_name="streams")
def main() -> None:
    """Kafka consumers whose order survives failure.

    The cluster is named by --bootstrap or STREAMS_BOOTSTRAP; without either, the one of 'streams dev up' is taken.
    """
