"""The figures, one function each: what is run, how often, beside what, and which bound it is held to."""

from __future__ import annotations

from statistics import median
from typing import Final

from benchmarks.chain.board import Board, Line
from benchmarks.chain.copies import VALUE, key_of
from benchmarks.chain.job import Job, Measured
from benchmarks.chain.waiting import prepare
from streams.bench.records import make_topic, produce_all
from streams.config import Settings
from streams.engine.snapshot import METADATA_LIMIT

_FAILURES_PER_S: Final = 100_000
_COPIES_PER_S: Final = 300_000
_READY_WITHIN_S: Final = 5
_LINEAR: Final = 2.5
"""What twice as many may take of the CPU, in terms of the half: two, and what a busy machine adds."""
_WAITING_MB: Final = 400
_MOVES_WITHIN_S: Final = 10
_FLAT_MB: Final = 16
"""Growth that is not told from the noise of an allocator."""


def failures(board: Board) -> list[Line]:
    """Every record fails: those of their own keys move to a tier, of 10,000 keys all but the first to parked."""
    lines = []
    for keys, what in ((0, "every record fails, keys of their own: to the tier"), (10_000, "the same of 10,000 keys")):
        runs, controls = [], []
        for _ in range(board.repeat):
            job = board.job(200_000, keys=keys)
            _fill(board.settings, job)
            make_topic(board.settings, f"{job.topic}.by-hand", 1)
            controls.append(board.run(job, "copy"))
            runs.append(board.run(job, "fail"))
        lines += [Line(what, runs, controls, ">= 100,000/s", _rate(runs) >= _FAILURES_PER_S)]
        lines += [Line("    control: the client reads and produces the same copies", controls, [], "", None)]
    return lines


def restart(board: Board) -> list[Line]:
    """Another owner finds 100,000 records in the tier, and is ready once its first commit is acknowledged."""
    job = board.job(100_000)
    _fill(board.settings, job)
    board.run(job, "fail")
    runs = [board.run(job, "restart") for _ in range(board.repeat)]
    what = "a member starts with 100,000 copies outstanding, until it is ready"
    return [Line(what, runs, [], "< 5 s", _seconds(runs) < _READY_WITHIN_S)]


def scan(board: Board) -> list[Line]:
    """The scan alone, over more copies: of records that failed alike, poll by poll, and in two ways by turns."""
    lines = []
    for errors, what in ((1, "recovery: ledgers, ends, scan and index"), (2, "the same, two errors by turns")):
        job = board.job(500_000, keys=10_000, errors=errors)
        make_topic(board.settings, job.topic, 1)
        prepare(board.settings, job)
        pairs = [(board.run(job, "read"), board.run(job, "scan")) for _ in range(board.repeat)]
        runs, controls = [run for _, run in pairs], [control for control, _ in pairs]
        bound, holds = (">= 300,000/s", _rate(runs) >= _COPIES_PER_S) if errors == 1 else ("", None)
        lines += [Line(what, runs, controls, bound, holds)]
        lines += [Line("    control: the client reads the same copies", controls, [], "", None)]
    return lines


def sweep(board: Board) -> list[Line]:
    """All parked records of 1,000 keys become free at once; twice as many take twice the CPU time."""
    lines = []
    for part in ("sweep", "free"):
        medians = []
        for records in (50_000, 100_000):
            runs, controls = [], []
            for _ in range(board.repeat):
                job = board.job(records, keys=1_000)
                if part == "sweep":
                    make_topic(board.settings, job.topic, 1)
                    prepare(board.settings, job)
                    controls.append(board.run(job, "read"))
                runs.append(board.run(job, "sweep" if part == "sweep" else "free"))
            medians.append(median(run.cpu_s for run in runs))
            where = "a member reads parked back and runs it" if part == "sweep" else "the same, no broker"
            lines.append(Line(f"{where}: {records:,} records of 1,000 keys", runs, controls, "", None))
        growth = medians[1] / medians[0]
        lines[-1] = lines[-1]._replace(bound=f"linear: {growth:.2f} times the CPU time", holds=growth < _LINEAR)
    return lines


def memory(board: Board) -> list[Line]:
    """A million records wait, and nothing else happens."""
    job = board.job(1_000_000, keys=10_000)
    runs = [board.run(job, "remember")]
    snapshot_ms = runs[0].facts["snapshot_ms"]
    held_mb = runs[0].resident_bytes / 2**20
    what = f"1,000,000 parked records of 10,000 keys, no broker; a commit's snapshot {snapshot_ms:.1f} ms"
    return [Line(what, runs, [], "< 400 MB", held_mb < _WAITING_MB)]


def stuck(board: Board) -> list[Line]:
    """One key is stuck, and a million records of other keys pass it."""
    job = board.job(1_000_000, keys=10_000)
    _fill(board.settings, job)
    lines = []
    for part, what in (("stuck", "a key fails for ever"), ("hung", "a handler does not return")):
        control = [board.run(job, "pass")] if part == "stuck" else []
        fresh = _with_group(job, part)
        run = board.run(fresh, "stuck" if part == "stuck" else "hung")
        lines += [Line(f"{what}: {_passage(run)}", [run], control, _bound(part), _is_flat(run, part))]
        lines += [Line(f"    control: nothing is stuck: {_passage(one)}", [one], [], "", None) for one in control]
    return lines


def _with_group(job: Job, part: str) -> Job:
    return Job(part="stuck", records=job.records, keys=job.keys, topic=job.topic, group=f"{job.group}-{part}")


def _passage(run: Measured) -> str:
    facts = run.facts
    return (
        f"metadata {facts['metadata']:.0f}, commit behind by {facts['distance']:,.0f}, still for"
        f" {facts['still_s']:.1f} s, growth {facts['growth_mb']:.1f} MB"
    )


def _bound(part: str) -> str:
    moved = ", the commit moves on within 10 s" if part == "stuck" else ""
    return f"metadata <= {METADATA_LIMIT}, growth < {_FLAT_MB} MB{moved}"


def _is_flat(run: Measured, part: str) -> bool:
    facts = run.facts
    is_moving = part == "hung" or facts["still_s"] <= _MOVES_WITHIN_S
    return facts["metadata"] <= METADATA_LIMIT and facts["growth_mb"] < _FLAT_MB and is_moving


def _fill(settings: Settings, job: Job) -> None:
    make_topic(settings, job.topic, 1)
    produce_all(settings, job.topic, ((key_of(job, number), VALUE) for number in range(job.records)))


def _rate(runs: list[Measured]) -> float:
    return median(run.rate for run in runs)


def _seconds(runs: list[Measured]) -> float:
    return median(run.seconds for run in runs)
