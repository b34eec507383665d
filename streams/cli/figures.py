"""What `streams bench` found, as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.cli.output import print_table, say

if TYPE_CHECKING:
    from streams.bench.latency import Latency
    from streams.bench.processes import Scaling
    from streams.bench.report import OrderKept, Report, Run
    from streams.bench.soak import Soak

_MB = 2**20


def print_report(report: Report) -> None:
    """Print each part of *report* that was measured."""
    _print_speed(report, [run for run in report.runs if not run.is_wait])
    _print_waits([run for run in report.runs if run.is_wait and not run.is_control])
    _print_memory(report)
    _print_order(report.order)
    _print_latency(report.latency)
    _print_processes(report.processes)


def _print_speed(report: Report, runs: list[Run]) -> None:
    if runs:
        print_table(
            [
                "run",
                "#records",
                "#records/s",
                "#ratio",
                "#lowest-highest",
                "#CPU us/record",
                "#CPU ratio",
                "#resident MB",
            ],
            map(_speed_row, runs),
            title=f"{report.partitions} partitions, medians of {report.repeat}; ratios to the control",
        )


def _speed_row(run: Run) -> list[object]:
    spread = "" if run.is_control else f"{run.lowest:.2f}-{run.highest:.2f}"
    cpu = (f"{run.cpu_us:.2f}", f"{run.cpu_ratio:.2f}")
    return [run.label, run.records, round(run.rate), f"{run.ratio:.2f}", spread, *cpu, run.resident_bytes // _MB]


def _print_waits(runs: list[Run]) -> None:
    if runs:
        print_table(
            [
                "run",
                "#records",
                "#records/s",
                "#bound/s",
                "#ratio",
                "#lowest-highest",
                "#CPU us/record",
                "#cores busy",
                "held by",
            ],
            map(_wait_row, runs),
            title="Handlers that wait; ratios to what arithmetic allows: those under way at once / the wait",
        )


def _wait_row(run: Run) -> list[object]:
    bound = None if run.bound is None else round(run.bound)
    spread = f"{run.lowest:.2f}-{run.highest:.2f}"
    cpu = (f"{run.cpu_us:.2f}", f"{run.cores:.2f}")
    return [
        run.label,
        run.records,
        round(run.rate),
        bound,
        f"{run.ratio:.2f}",
        spread,
        *cpu,
        run.held_by or "its waits",
    ]


def _print_memory(report: Report) -> None:
    resident = report.default_worker_bytes
    if resident is not None:
        print_table(
            ["", "#partitions", "#resident MB at most"],
            [["default worker, in threads", report.partitions, resident // _MB]],
            title="Memory",
        )


def _print_order(found: list[OrderKept]) -> None:
    if not found:
        return
    rows = [
        [
            ", ".join(filter(None, [one.mode, one.conditions.label])),
            one.checked,
            one.keys,
            one.violations,
            "kept" if one.is_kept else "BROKEN",
            one.violations_of_broken_engine,
            "seen" if one.is_seen else "NOT SEEN",
        ]
        for one in found
    ]
    print_table(
        ["mode", "#in order", "#keys", "#violations", "order", "#of an engine that reverses batches", "control"],
        rows,
        title="Order of each key, checked inside the handlers",
    )
    for example in [text for one in found for text in one.examples]:
        say(example)


def _print_latency(latencies: list[Latency]) -> None:
    if latencies:
        print_table(
            ["run", "#sent/s", "#seen/s", "#records", "#p50 ms", "#p99 ms", "#worst ms", "#CPU us/record", "remark"],
            [
                [
                    one.mode or "control",
                    one.per_s,
                    round(one.rate),
                    one.records,
                    one.p50_ms,
                    one.p99_ms,
                    one.worst_ms,
                    one.cpu_us,
                    one.remark,
                ]
                for one in latencies
            ],
            title="Latency, from sending a record to the start of its handler",
        )


def _print_processes(found: list[Scaling]) -> None:
    from streams.bench.processes import WANTED

    if found:
        print_table(
            ["processes", "#records", "#records/s", "#of one", "#ratio", "#lowest-highest", "wanted of 2"],
            [
                [
                    str(one.processes),
                    one.records,
                    round(one.rate),
                    round(one.alone),
                    f"{one.ratio:.2f}",
                    f"{one.lowest:.2f}-{one.highest:.2f}",
                    f"{WANTED:g} or more",
                ]
                for one in found
            ],
            title="Members of one group on cpu50, while all of them are at work",
        )


def print_soak(soak: Soak) -> None:
    """Print how memory went, by quarters of the run."""
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
