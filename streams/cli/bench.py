"""`streams bench`: how fast the engine is beside the bare client, and whether it keeps the order at that speed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from streams.cli.connect import json_option
from streams.cli.output import Misuse, print_json, print_table, say

if TYPE_CHECKING:
    from streams.bench.ground import Ground
    from streams.bench.latency import Latency
    from streams.bench.promise import Verdict
    from streams.bench.race import Race, Result
    from streams.bench.soak import Soak

_MB = 2**20


@click.command()
@click.option("--records", type=click.IntRange(1_000), default=1_000_000, show_default=True, help="In the topic.")
@click.option("--partitions", type=click.IntRange(1, 256), default=12, show_default=True, help="Of the topic.")
@click.option("--repeat", type=click.IntRange(1), default=5, show_default=True, help="Runs of each mode and handler.")
@click.option("--modes", default="inline,threads,asyncio,batch", show_default=True, help="Where handlers run.")
@click.option("--handlers", default="noop,json", show_default=True, help="What they do: nothing, or decode.")
@click.option("--latency", type=click.IntRange(0), default=5, show_default=True, help="Seconds for each mode; 0: none.")
@click.option("--soak", type=click.FloatRange(0.1), metavar="MINUTES", help="Watch memory for so long, and no more.")
@click.option("--bootstrap", metavar="HOST:PORT", help="The cluster. Default: STREAMS_BOOTSTRAP, else one of its own.")
@json_option
def bench(**options: Any) -> None:
    """Measure the engine beside a bare loop of the client, on a real Kafka.

    Each run is a process of its own, between two of the control over the same
    records.  Quote the ratios; the rates are this machine's, today.

    Ends with 1 if a run was incomplete, the order of a key was not kept, or
    the check of the order did not see an engine that is broken on purpose.

    \b
    Example: streams bench --records 200000 --repeat 3 --modes inline,threads
    """  # noqa: D301  # \b is a sign for click: the lines below it stay as they are
    from streams.bench.ground import ground
    from streams.config import Settings

    modes, handlers = _chosen(options)
    settings = Settings(group="streams-bench").from_environment().over(bootstrap=options["bootstrap"])
    with ground(settings, say) as place:
        is_sound = _soak(place, options) if options["soak"] else _bench(place, options, modes, handlers)
    if not is_sound:
        sys.exit(1)


def _chosen(options: dict[str, Any]) -> tuple[list[Any], list[Any]]:
    from streams.bench.task import MODES, SPEED_HANDLERS

    chosen = []
    for name, known in (("modes", MODES), ("handlers", SPEED_HANDLERS)):
        asked = [one.strip() for one in options[name].split(",")]
        if unknown := [one for one in asked if one not in known]:
            raise Misuse(f"--{name}: {', '.join(map(repr, unknown))} is none of {', '.join(known)}")
        chosen.append(asked)
    return chosen[0], chosen[1]


def _bench(place: Ground, options: dict[str, Any], modes: list[Any], handlers: list[Any]) -> bool:
    from streams.bench.latency import measure_latency
    from streams.bench.promise import check_order
    from streams.bench.race import Race, run_race
    from streams.bench.records import make_topic, numbered_records, produce_all

    topic, count, partitions = f"{place.name}-records", options["records"], options["partitions"]
    say(f"producing {count:,} records")
    make_topic(place.settings, topic, partitions, retention_ms="-1")
    produce_all(place.settings, topic, numbered_records(count))
    race = Race(
        topic=topic, partitions=partitions, records=count, repeat=options["repeat"], modes=modes, handlers=handlers
    )
    result = run_race(place, race, say)
    verdicts = check_order(place, race, say)
    latencies = (
        measure_latency(place, modes, partitions=partitions, seconds=options["latency"], say=say)
        if options["latency"]
        else []
    )
    if options["as_json"]:
        print_json(_document(race, result, verdicts, latencies))
    else:
        _print_speed(race, result)
        _print_memory(race, result)
        _print_order(verdicts)
        _print_latency(latencies)
    return all(verdict.is_kept and verdict.is_seen for verdict in verdicts)


def _print_speed(race: Race, result: Result) -> None:
    from streams.bench.figures import control_figures

    rows: list[list[object]] = []
    for handler in race.handlers:
        rate, cpu_us, resident = control_figures(result.controls[handler])
        rows.append([f"control, {handler}", round(rate), "1.00", "", f"{cpu_us:.2f}", "1.00", resident // _MB])
        for mode in race.modes:
            one = result.figures()[handler, mode]
            spread = f"{one.lowest:.2f}-{one.highest:.2f}"
            cpu = (f"{one.cpu_us:.2f}", f"{one.cpu_ratio:.2f}")
            rows.append(
                [f"{mode}, {handler}", round(one.rate), f"{one.ratio:.2f}", spread, *cpu, one.resident_bytes // _MB]
            )
    print_table(
        ["run", "#records/s", "#ratio", "#lowest-highest", "#CPU us/record", "#CPU ratio", "#resident MB"],
        rows,
        title=f"{race.records:,} records in {race.partitions} partitions, medians of {race.repeat}",
    )


def _print_memory(race: Race, result: Result) -> None:
    resident = _default_worker_bytes(result)
    if resident is not None:
        print_table(
            ["", "#partitions", "#resident MB at most"],
            [["default worker, 16 threads", race.partitions, resident // _MB]],
            title="Memory",
        )


def _default_worker_bytes(result: Result) -> int | None:
    """Give the most memory of a worker with default settings; None where none was measured."""
    found = [one.resident_bytes for (_, mode), one in result.figures().items() if mode == "threads"]
    return max(found, default=None)


def _print_order(verdicts: list[Verdict]) -> None:
    rows = [
        [
            verdict.mode,
            verdict.sound.checked,
            verdict.sound.keys,
            verdict.sound.violations,
            "kept" if verdict.is_kept else "BROKEN",
            verdict.broken.violations,
            "seen" if verdict.is_seen else "NOT SEEN",
        ]
        for verdict in verdicts
    ]
    print_table(
        ["mode", "#in order", "#keys", "#violations", "order", "#of an engine that reverses batches", "control"],
        rows,
        title="Order of each key, checked inside the handlers",
    )
    for example in [text for verdict in verdicts for text in verdict.sound.examples]:
        say(example)


def _print_latency(latencies: list[Latency]) -> None:
    if latencies:
        print_table(
            ["run", "#records", "#p50 ms", "#p99 ms", "#worst ms", "#CPU us/record"],
            [
                [one.mode or "control", one.records, one.p50_ms, one.p99_ms, one.worst_ms, one.cpu_us]
                for one in latencies
            ],
            title="Latency at 1,000 records/s",
        )


def _document(race: Race, result: Result, verdicts: list[Verdict], latencies: list[Latency]) -> dict[str, Any]:
    from streams.bench.figures import control_figures

    return {
        "records": race.records,
        "partitions": race.partitions,
        "repeat": race.repeat,
        "control": {
            handler: dict(zip(("records_per_s", "cpu_us", "resident_bytes"), control_figures(runs), strict=True))
            for handler, runs in result.controls.items()
        },
        "runs": [
            {"handler": handler, "mode": mode, **figures._asdict()}
            for (handler, mode), figures in result.figures().items()
        ],
        "default_worker_resident_bytes": _default_worker_bytes(result),
        "order": [
            {
                "mode": verdict.mode,
                "kept": verdict.is_kept,
                "checked": verdict.sound.checked,
                "keys": verdict.sound.keys,
                "violations": verdict.sound.violations,
                "violations_of_broken_engine": verdict.broken.violations,
            }
            for verdict in verdicts
        ],
        "latency": [{**one._asdict(), "mode": one.mode or "control"} for one in latencies],
    }


def _soak(place: Ground, options: dict[str, Any]) -> bool:
    from streams.bench.soak import run_soak

    soak = run_soak(place, minutes=options["soak"], partitions=options["partitions"], say=say)
    if options["as_json"]:
        print_json({**soak._asdict(), "is_flat": soak.is_flat})
    else:
        _print_soak(soak)
    return soak.is_flat


def _print_soak(soak: Soak) -> None:
    quarter = max(1, len(soak.samples) // 4)
    parts = [soak.samples[start : start + quarter] for start in range(0, 4 * quarter, quarter)]
    print_table(
        ["quarter", "#lowest MB", "#highest MB"],
        [[number, min(part) / _MB, max(part) / _MB] for number, part in enumerate(parts, 1) if part],
        title=f"Resident memory of a worker, {soak.records:,} records in {soak.seconds / 60:.1f} minutes",
    )
    verdict = "Flat" if soak.is_flat else "NOT FLAT"
    growth_mb, peak_mb = soak.growth_bytes / _MB, soak.peak_bytes / _MB
    say(f"{verdict}: the last quarter is {growth_mb:+.1f} MB off the second; peak {peak_mb:.0f} MB.")
