"""`streams bench`: how fast the engine is beside the bare client, and whether it keeps the order at that speed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from streams.cli.connect import json_option
from streams.cli.figures import print_report, print_soak
from streams.cli.output import Misuse, print_json, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streams.bench.ground import Ground
    from streams.bench.plan import Choice, Stock
    from streams.bench.processes import Scaling
    from streams.bench.report import Report

_PROCESSES = 2
_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.option("--records", type=click.IntRange(1_000), default=1_000_000, show_default=True, help="In the topic.")
@click.option("--partitions", type=click.IntRange(1, 256), default=12, show_default=True, help="Of the topic.")
@click.option("--repeat", type=click.IntRange(1), default=5, show_default=True, help="Runs of each mode and handler.")
@click.option("--modes", default="inline,threads,asyncio,batch", show_default=True, help="Where handlers run.")
@click.option(
    "--handlers",
    default="noop,json",
    show_default=True,
    help="What they do: noop nothing, json decodes, wait1 and wait5 wait so many ms, cpu50 computes for 50 us, real "
    "validates, keeps a total for each key and sends an event.",
)
@click.option(
    "--keys",
    type=click.Choice(["zipf", "uniform"]),
    default="zipf",
    show_default=True,
    help="How records fall on them.",
)
@click.option("--size", type=click.Choice(["300", "2048"]), default="300", show_default=True, help="Bytes of a value.")
@click.option(
    "--order",
    type=click.Choice(["key", "none"]),
    default="key",
    show_default=True,
    help="What is promised: policy park, or unordered.",
)
@click.option(
    "--failures",
    type=click.FloatRange(0, 100),
    default=0,
    show_default=True,
    metavar="PERCENT",
    help="Records that fail once and go through a retry topic; with the handler json.",
)
@click.option(
    "--concurrency",
    type=click.IntRange(1, 10_000),
    metavar="N",
    help="Handlers under way at once. Default: the engine's, 16 in threads and 1,000 on the event loop.",
)
@click.option("--processes", type=click.IntRange(2, 64), metavar="N", help="Set so many beside one, on cpu50.")
@click.option("--latency", type=click.IntRange(0), default=5, show_default=True, help="Seconds for each mode; 0: none.")
@click.option("--rates", default="1000", show_default=True, help="Records a second at which latency is measured.")
@click.option("--full", is_flag=True, help="All of it: handlers, keys, sizes, orders, failures, processes, rates.")
@click.option("--soak", type=click.FloatRange(0.1), metavar="MINUTES", help="Watch memory for so long, and no more.")
@click.option("--bootstrap", metavar="HOST:PORT", help="The cluster. Default: STREAMS_BOOTSTRAP, else one of its own.")
@click.option("--plot", type=_FILE, metavar="FILE.svg", help="Draw the ratios as well.")
@click.option("--from", "source", type=_FILE, metavar="FILE.json", help="Measure nothing: show what --json printed.")
@json_option
def bench(**options: Any) -> None:
    """Measure the engine beside a bare loop of the client, on a real Kafka.

    Each run is a process of its own, between two of the control over the same
    records.  Quote the ratios; the rates are this machine's, today.  Handlers
    that wait are set beside what arithmetic allows them: those under way at
    once, divided by the wait.

    Ends with 1 if a run was incomplete, the order of a key was not kept, or
    the check of the order did not see an engine that is broken on purpose.

    \b
    Example: streams bench --records 200000 --repeat 3 --modes inline,threads
             streams bench --handlers wait5 --modes asyncio --keys uniform
             streams bench --full --json > bench.json
             streams bench --from bench.json --plot bench.svg
    """  # noqa: D301  # \b is a sign for click: the lines below it stay as they are
    from streams.bench.ground import ground
    from streams.config import Settings

    if options["source"]:
        _show(_read(options["source"]), options)
        return
    asked, rates = _asked(options), _rates(options)
    settings = Settings(group="streams-bench").from_environment().over(bootstrap=options["bootstrap"])
    with ground(settings, say) as place:
        if options["soak"]:
            is_sound = _soak(place, options)
        else:
            report = _measured(place, options, asked, rates)
            _show(report, options)
            is_sound = report.is_sound
    if not is_sound:
        sys.exit(1)


def _asked(options: dict[str, Any]) -> Choice:
    from streams.bench.plan import Choice
    from streams.bench.task import MODES, SPEED_HANDLERS

    choice = Choice(
        records=options["records"],
        partitions=options["partitions"],
        repeat=options["repeat"],
        modes=_listed("modes", options["modes"], MODES),
        handlers=_listed("handlers", options["handlers"], SPEED_HANDLERS),
        keys=options["keys"],
        size=int(options["size"]),
        order="park" if options["order"] == "key" else "unordered",
        failures=options["failures"],
        concurrency=options["concurrency"],
    )
    if not options["full"]:
        _require_meant(choice)
    return choice


def _listed(name: str, text: str, known: Sequence[Any]) -> list[Any]:
    asked = [one.strip() for one in text.split(",")]
    if unknown := [one for one in asked if one not in known]:
        raise Misuse(f"--{name}: {', '.join(map(repr, unknown))} is none of {', '.join(known)}")
    return asked


def _require_meant(choice: Choice) -> None:
    """Refuse handlers that could not be measured as they are asked for."""
    from streams.bench.task import modes_of

    if choice.failures and set(choice.handlers) != {"json"}:
        raise Misuse("--failures: records fail by what is in them, so it needs --handlers json")
    for handler in choice.handlers:
        if not set(modes_of(handler)) & set(choice.modes):
            raise Misuse(
                f"--handlers: {handler} runs in {', '.join(modes_of(handler))} only, and --modes has none of it"
            )


def _rates(options: dict[str, Any]) -> list[int]:
    from streams.bench.latency import BUSY_PER_S, PER_S

    if options["full"]:
        return [PER_S, BUSY_PER_S]
    try:
        rates = [int(one) for one in options["rates"].split(",")]
    except ValueError:
        raise Misuse(f"--rates: {options['rates']!r} is no list of numbers, such as 1000,20000") from None
    if min(rates) < 1:
        raise Misuse("--rates: give at least 1 record a second")
    return rates


def _measured(place: Ground, options: dict[str, Any], asked: Choice, rates: list[int]) -> Report:
    from streams.bench.latency import measure_latency
    from streams.bench.plan import Stock, everything, race_to_check, races
    from streams.bench.promise import check_order
    from streams.bench.race import run_race
    from streams.bench.report import Report, orders_of, runs_of

    report = Report(partitions=asked.partitions, repeat=asked.repeat, runs=[], order=[], latency=[], processes=[])
    stock = Stock(place, asked.partitions, say)
    report.processes.extend(_processes(place, stock, options, asked))
    for choice in everything(asked) if options["full"] else [asked]:
        for race in races(stock, choice):
            report.runs.extend(runs_of(race, run_race(place, race, say)))
        race = race_to_check(stock, choice)
        if race.is_ordered:
            report.order.extend(orders_of(race, check_order(place, race, say)))
    seconds = options["latency"]
    for per_s in rates if seconds else []:
        report.latency.extend(
            measure_latency(place, asked.modes, partitions=asked.partitions, seconds=seconds, say=say, per_s=per_s)
        )
    return report


def _processes(place: Ground, stock: Stock, options: dict[str, Any], asked: Choice) -> list[Scaling]:
    from streams.bench.plan import race_of_processes
    from streams.bench.processes import measure_processes

    count = options["processes"] or (_PROCESSES if options["full"] else None)
    return [measure_processes(place, race_of_processes(stock, asked), count, say)] if count else []


def _read(file: Path) -> Report:
    from streams.bench.report import read_report

    try:
        data = file.read_bytes()
    except OSError as error:
        raise Misuse(f"--from: {file} can't be read: {error.strerror}") from None
    return read_report(data, str(file))


def _show(report: Report, options: dict[str, Any]) -> None:
    """Print *report*, and draw it where that is asked for."""
    from streams.bench.plot import plot
    from streams.bench.report import as_document

    if options["as_json"]:
        print_json(as_document(report))
    else:
        print_report(report)
    if options["plot"]:
        try:
            options["plot"].write_text(plot(report), encoding="utf-8")
        except OSError as error:
            raise Misuse(f"--plot: {options['plot']} can't be written: {error.strerror}") from None
        say(f"drawn: {options['plot']}")


def _soak(place: Ground, options: dict[str, Any]) -> bool:
    from streams.bench.soak import run_soak

    soak = run_soak(place, minutes=options["soak"], partitions=options["partitions"], say=say)
    if options["as_json"]:
        print_json({**soak._asdict(), "is_flat": soak.is_flat})
    else:
        print_soak(soak)
    return soak.is_flat
