"""`make demo`: real flights through a real Kafka, a worker killed on the way, and a table that adds up."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from examples.demo.screen import Screen
from examples.demo.story import Options, Result, play
from examples.demo.table import BREAKS, next_steps, table, verdict
from examples.demo.workers import DemoError
from examples.flights import timetable
from examples.flights.timetable import Flight
from streams.errors import StreamsError


def main() -> int:
    """Play, show, and give the exit status: 0 if it adds up."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))  # so that what was started is ended
    console = Console(stderr=arguments.json, highlight=False)
    screen = Screen(console)
    console.print("[bold]Real flights, two workers, one kill -9[/]\n")
    folder = Path(tempfile.mkdtemp(prefix="streams-demo-"))
    options = Options(folder, arguments.seed, arguments.rows, arguments.broken, arguments.keep)
    try:
        result = play(options, _flights(screen, full=arguments.full), screen)
    except (DemoError, StreamsError, OSError) as error:
        console.print(f"[bold red]The demo stopped:[/] {escape(str(error))}\nIts files are in {folder}")
        return 1
    except (KeyboardInterrupt, SystemExit):
        shutil.rmtree(folder)
        console.print("Stopped; all that was started has ended.")
        return 130
    _show(options, result, console, as_json=arguments.json)
    if not options.keep:
        shutil.rmtree(folder if result.count.adds_up else folder / "kafka")
    return 0 if result.count.adds_up else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m examples.demo", description=__doc__)
    parser.add_argument("--full", action="store_true", help="all of 2013: a million events; pip fetches them once")
    parser.add_argument("--rows", type=_positive, help="only so many flights; 27,004 are there")
    parser.add_argument("--break", dest="broken", choices=BREAKS, default="", help="build a fault in, and see it found")
    parser.add_argument("--keep", action="store_true", help="leave Kafka running, with all that is in it")
    parser.add_argument("--seed", type=int, default=2013, help="which calls fail, who is killed, and when")
    parser.add_argument("--json", action="store_true", help="the result as JSON on stdout")
    return parser.parse_args()


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 up")
    return int(text)


def _flights(screen: Screen, *, full: bool) -> Iterator[Flight]:
    if not full:
        return timetable.month()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "streams" / "flights"
    screen.say(f"the flights of 2013 come from the package {timetable.PACKAGE} {timetable.VERSION}, kept in {cache}")
    return timetable.year(cache)


def _show(options: Options, result: Result, console: Console, *, as_json: bool) -> None:
    console.print(table(result), verdict(result), "", *next_steps(options, result), sep="\n", soft_wrap=True)
    if as_json:
        at_kill = {"in_flight": result.in_flight, "waiting": result.waiting, "parked": result.parked}
        shown = {**asdict(result.count), "adds_up": result.count.adds_up, "killed": result.killed, "at_kill": at_kill}
        print(json.dumps({**shown, "seconds": round(result.seconds, 1)}))


if __name__ == "__main__":
    sys.exit(main())
