"""`streams verify`: whether the promise holds for an app of the user's own, under faults."""

from __future__ import annotations

import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from streams.cli.connect import json_option, load_app
from streams.cli.output import Misuse, print_json, print_table, say

if TYPE_CHECKING:
    from streams.verify.report import Report

_DEFAULT_FAULTS: Final = "sigkill,rebalance"
_SHORT: Final = ("all", "none")
_LEAST_KEYS: Final = 400
_RECORDS_A_KEY: Final = 50
"""A key whose every record fails once takes a second for each of them in the end."""


@click.command()
@click.argument("path", metavar="MODULE:APP")
@click.option(
    "--faults",
    default=_DEFAULT_FAULTS,
    show_default=True,
    metavar="LIST",
    help="Of sigkill, sigterm, sigterm2 (told to stop twice), sigstop (beyond the session, then on), rebalance, storm"
    " (of joins and leaves); of brokers: broker (one of three is killed), failover (the coordinator is), rolling (each"
    " restarts), suspend (one stands still), outage (all are killed); of the network: delay, reset, halfopen (a broker"
    " answers nothing), headless (the coordinator does for long), cutoff (a member reaches none), coordinator (a member"
    " does not reach that one); foreign (a former owner's commit comes late, and its successor dies); all; or none.",
)
@click.option("--records", type=click.IntRange(100), default=20_000, show_default=True, help="To send, at least.")
@click.option("--members", type=click.IntRange(2, 32), default=3, show_default=True, help="That share the work.")
@click.option("--times", type=click.IntRange(1), default=1, show_default=True, help="How often to inject each fault.")
@click.option(
    "--soak",
    "minutes",
    type=click.FloatRange(0.1),
    metavar="MINUTES",
    help="For so long, inject one of the faults now and then, and see whether what members take stays level.",
)
@click.option("--seed", type=click.IntRange(0), metavar="N", help="Have load and faults of an earlier run again.")
@click.option("--partitions", type=click.IntRange(1, 256), default=6, show_default=True, help="Of each topic.")
@click.option("--keys", type=click.IntRange(1), help="Keys of the load. Default: one for 50 records, 400 at least.")
@click.option(
    "--failing",
    type=click.FloatRange(0, 0.6),
    default=0.05,
    show_default=True,
    help="Share of the records that are made to fail first; a tenth of these always fail.",
)
@click.option(
    "--payload",
    "payloads",
    multiple=True,
    metavar="[TOPIC=]FILE",
    help="Bodies, one a line. Default: the contract's example.json, or TOPIC.jsonl beside the app.",
)
@click.option("--sends", multiple=True, metavar="TOPIC", help="A topic that the app writes to; it is made too.")
@click.option("--own-delays", is_flag=True, help="Retries wait as the app says, not a second or two in retry topics.")
@click.option("--static", is_flag=True, help="Members are static: they have a name that whoever replaces them takes.")
@click.option(
    "--protocol",
    type=click.Choice(["auto", "classic", "classic-range", "consumer"]),
    help="Group protocol. Default: auto.",
)
@click.option("--break", "broken", metavar="NAME", help="Run an engine that is broken on purpose, to see it found.")
@click.option("--keep", "keeps", is_flag=True, help="Keep the history of a run in which nothing is wrong, too.")
@click.option(
    "--bootstrap", metavar="HOST:PORT", help="Run there, on topics of its own. Default: a cluster of its own."
)
@click.option("--yes", is_flag=True, help="With --bootstrap: yes, on that cluster.")
@json_option
def verify(path: str, **options: Any) -> None:
    """Run an app under faults, and check what became of every record.

    Real members of the app work off generated records while processes,
    brokers and the network fail.  Then everything is read back and held against each
    invariant of the promise.  The app's handlers are called as they are: what
    they do to the world outside they do here too.

    Ends with 1 if an invariant does not hold, or a fault hit nothing.

    \b
    Example: streams verify examples.orders:app --faults sigkill,rebalance,broker --records 200000
    """  # noqa: D301  # \b is a sign for click: the lines below it stay as they are
    from streams.verify.run import Wish
    from streams.verify.run import verify as run_verify

    app = load_app(path)
    wish = Wish(
        path=path,
        faults=_faults(options["faults"]),
        seed=secrets.randbelow(2**32) if options["seed"] is None else options["seed"],
        broken=_broken(options["broken"]),
        keys=options["keys"] or max(_LEAST_KEYS, options["records"] // _RECORDS_A_KEY),
        payloads=_payloads(options["payloads"], list(app.routes)),
        minutes=options["minutes"] or 0.0,
        **{name: options[name] for name in ("records", "members", "times", "partitions", "failing")},
        **{name: options[name] for name in ("sends", "own_delays", "static", "protocol", "keeps")},
    )
    settings = app.settings.over(bootstrap=options["bootstrap"])
    if options["bootstrap"] is None:
        settings = settings.over(bootstrap="")
    elif not options["yes"]:
        raise Misuse(
            f"this would make topics named streams-verify-... on {options['bootstrap']}, write {wish.records:,} records"
            " to them, and remove them; what the handlers send or do elsewhere is real there. Add --yes if that is"
            " meant, or drop --bootstrap: then a cluster of its own is started on this machine"
        )
    else:
        settings = settings.from_environment().over(bootstrap=options["bootstrap"])
    report = run_verify(app, settings, wish, say)
    if options["as_json"]:
        print_json({**report.document(), "again": _again(report)})
    else:
        _print(report)
    if not report.is_kept:
        sys.exit(1)


def _faults(text: str) -> list[str]:
    from streams.verify.faults import FAULTS

    if text in _SHORT:
        return list(FAULTS) if text == "all" else []
    asked = [one.strip() for one in text.split(",")]
    if unknown := [one for one in asked if one not in FAULTS]:
        raise Misuse(f"--faults: {', '.join(map(repr, unknown))} is none of {', '.join(FAULTS)}")
    return list(dict.fromkeys(asked))


def _broken(name: str | None) -> str | None:
    from streams.engine.broken import NAMES
    from streams.verify.plan import BREAKS

    if name is not None and name not in (*NAMES, *BREAKS):
        raise Misuse(f"--break: {name!r} is none of {', '.join((*NAMES, *BREAKS))}")
    return name


def _payloads(texts: tuple[str, ...], topics: list[str]) -> dict[str, Path]:
    found = {}
    for text in texts:
        topic, is_named, file = text.partition("=")
        if is_named and topic not in topics:
            raise Misuse(f"--payload {text}: the app has no topic {topic!r}; it has {', '.join(topics)}")
        found[topic if is_named else ""] = Path(file if is_named else text)
    return found


def _again(report: Report) -> list[str]:
    """Give this command's own words, with the seed."""
    words = sys.argv[1:]
    return ["streams", *words] if "--seed" in words else ["streams", *words, "--seed", str(report.seed)]


def _print(report: Report) -> None:
    figures = report.figures
    print_table(
        ["invariant", "promise", "#looked at", "", "#violations", ""],
        [
            [row.name, row.promise, row.looked_at, row.counted, row.violations, "holds" if row.holds else "BROKEN"]
            for row in report.rows
        ],
        title=f"{report.app}, seed {report.seed}" + (f", broken on purpose: {report.broken}" if report.broken else ""),
    )
    if report.effects:
        print_table(
            ["fault", "#injected", "#members hit", "#records in flight", ""],
            [
                [one.fault, one.injected, one.members, one.in_flight, "; ".join(one.missed) or "hit"]
                for one in report.effects
            ],
        )
    click.echo(
        f"{figures['sent']:,} records sent, {figures['runs']:,} runs, {figures['dead_letters']:,} dead letters;"
        f" {figures['ran_again']:,} ran again, of at most {figures['may_run_again']:,};"
        f" {figures['longest_stall_ms'] / 1000:.1f} s the longest stall; {report.seconds:.0f} s"
    )
    if report.usage.count:
        click.echo(str(report.usage))
    for row in report.rows:
        for example in row.examples:
            click.echo(f"  {row.name}: {example}")
    for note in report.notes:
        say(note)
    if report.history:
        say(f"The history is in {report.history}")
    say(f"Again with: {' '.join(_again(report))}")
