"""The last thing a person sees: the count, whether it adds up, and where to go from here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, TypeAlias

from rich.box import SIMPLE
from rich.markup import escape
from rich.table import Table

from examples.demo.chain import in_short, kind_of
from examples.demo.count import Count
from examples.demo.story import Options, Result

BREAKS: Final = {
    "settle-before-ack": "this time a record was called done when it was read. What was under way\n"
    "in the killed worker is gone, and nobody will read it again.",
}
"""Faults that can be built in, and what to say of what they did."""

Row: TypeAlias = tuple[int, str, str]
"""A number, what it counts, and a remark."""


def table(result: Result) -> Table:
    """Lay out the count: the ends of all events, the faults, and what was survived."""
    shown = Table(box=SIMPLE, show_header=False, pad_edge=False)
    shown.add_column(justify="right", style="bold")
    shown.add_column()
    shown.add_column(style="dim")
    for rows in (_ends(result.count), _faults(result.count), _troubles(result)):
        for number, name, remark in rows:
            shown.add_row(f"{number:,}", name, remark)
        shown.add_section()
    return shown


def _ends(count: Count) -> Iterator[Row]:
    reasons = "\n".join(f"{number:,} {reason}" for reason, number in count.reasons.items())
    yield count.accepted, "accepted", "acknowledged to the producer"
    yield count.done, "done", "effects on disk, each event counted once"
    yield count.dead_letters, "dead letters", escape(reasons)
    yield _place(count, "waiting", "for another attempt, or for the first")
    yield _place(count, "parked", "behind one of their aircraft that waits")


def _faults(count: Count) -> Iterator[Row]:
    yield _fault(count, "lost", "lost")
    yield _fault(count, "out_of_order", "out of order", f"within each of {count.keys:,} aircraft")
    yield _fault(count, "both", "done and dead")
    if count.strangers:
        yield _fault(count, "strangers", "never accepted")


def _place(count: Count, name: str, remark: str) -> Row:
    """Tell how many events are still on their way; at the end that is a fault."""
    return _fault(count, name, name) if getattr(count, name) else (0, name, remark)


def _fault(count: Count, name: str, words: str, remark: str = "") -> Row:
    number, examples = getattr(count, name), count.examples.get(name, [])
    if not number:
        return 0, f"[green]✓[/] {words}", remark
    more = [f"and {number - len(examples):,} more"] if number > len(examples) else []
    return number, f"[bold red]✗ {words}[/]", escape("\n".join([*examples, *more]))


def _troubles(result: Result) -> Iterator[Row]:
    count = result.count
    yield count.retried, "tried again", "the radar did not answer at first"
    yield count.relocated, "relocated", ", ".join(_stops(count))
    yield count.cut_off, "cut off by kill -9", f"in {result.killed}"
    yield count.repeated, "ran twice", f"{'' if count.out_of_order else 'in order; '}delivery is at least once"


def _stops(count: Count) -> Iterator[str]:
    """Say which topics events were moved to: retry topics first, as that is where the way begins."""
    for topic, copies in sorted(count.relocated_to.items(), key=lambda stop: (kind_of(stop[0]) == "parked", stop)):
        yield f"{copies:,} to {in_short(topic)}"


def verdict(result: Result) -> str:
    """Say in one line whether it adds up."""
    count = result.count
    if count.adds_up:
        ends = f"{count.done:,} done + {count.dead_letters:,} dead letters + 0 waiting + 0 parked = {count.accepted:,}"
        return f"[bold green]It adds up:[/] {ends}.\nNothing lost, every aircraft in order. {result.seconds:.0f} s."
    return f"[bold red]It does not add up.[/] {result.seconds:.0f} s."


def next_steps(options: Options, result: Result) -> Iterator[str]:
    """Say what to make of it and what to try next, a line each."""
    if options.broken:
        yield f"As it should be: {BREAKS[options.broken]}"
    if options.keep:
        yield from _look_round(options, result)
    elif options.broken:
        yield f"What was counted is in {options.folder}"
    elif result.count.adds_up:
        yield 'See it fail       make demo ARGS="--break settle-before-ack"'
        yield "The whole year    make demo ARGS=--full     a million events"
        yield "Look round        make demo ARGS=--keep     Kafka stays, with all that is in it"
    else:
        yield f"What was counted, and what the workers said, is in {options.folder}"


def _look_round(options: Options, result: Result) -> Iterator[str]:
    yield "Kafka is still there. To look round:"
    yield f"  export STREAMS_BOOTSTRAP={result.bootstrap} PATH=.venv/bin:$PATH"
    yield "  streams why tower"
    yield "  streams why tower --record flights/1/480     # or any other: its state, and the way it took"
    yield "  streams dlq list tower"
    yield f"  python -m examples.demo.count {options.folder} --bootstrap $STREAMS_BOOTSTRAP"
    yield f"  streams dev down --data {options.folder / 'kafka'}"
