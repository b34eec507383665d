"""`streams run`: an app as a member of its group."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from streams.cli.connect import bootstrap_option, json_option, load_app, settings_for
from streams.cli.output import Misuse, print_json, say

if TYPE_CHECKING:
    from streams.app import App
    from streams.config import Settings
    from streams.engine.ending import Until
    from streams.service import Summary


@click.command()
@click.argument("path", metavar="MODULE:APP")
@click.option("--processes", type=click.IntRange(1, 256), default=1, show_default=True, help="Members to run.")
@click.option("--autoscale", metavar="MIN..MAX", help="As many members as the work needs; see 'streams scale hint'.")
@click.option(
    "--drain-backlog",
    metavar="TIME",
    help="With --autoscale: what is due should be worked off in this time. Default: 60s.",
)
@click.option("--stop-when-empty", is_flag=True, help="Stop once what is there now is done, or waits for a retry.")
@click.option("--until-settled", is_flag=True, help="As --stop-when-empty, and wait for the retries too.")
@click.option("--once", is_flag=True, help="Read one batch, work it off, stop.")
@click.option("--max-records", type=click.IntRange(1), metavar="N", help="Stop after reading N records.")
@click.option("--max-time", metavar="TIME", help="Stop after this time: 30s, 5m, 1h.")
@click.option("--group", metavar="NAME", help="Run as this group instead of the app's own.")
@click.option(
    "--protocol",
    type=click.Choice(["auto", "classic", "classic-range", "consumer"]),
    help="Group protocol. Default: auto.",
)
@click.option("--instance-id", metavar="NAME", help="Static membership: a name that stays.")
@click.option("--metrics-port", type=click.IntRange(0, 65_535), help="Serve /metrics and health; 0: a free port.")
@click.option("--drain", metavar="TIME", help="How long a stop waits for running handlers. Default: 25s.")
@click.option("--log-format", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("--log-level", type=click.Choice(["DEBUG", "INFO", "WARNING", "ERROR"]), default="INFO")
@bootstrap_option
@json_option
def run(path: str, **options: Any) -> None:
    """Run an app as a member of its group, until Ctrl-C or as long as the options say.

    Offsets are committed after the work.  SIGTERM and Ctrl-C stop in order; a
    second one stops at once, and what was under way runs again.

    \b
    Example: streams run examples.orders:app --stop-when-empty
    """  # noqa: D301  # \b is a sign for click: the lines below it stay as they are
    from streams.monitor.logs import configure_logs

    configure_logs(options["log_format"], options["log_level"])
    app = load_app(path)
    settings = _settings(app, options)
    if options["processes"] > 1 or options["autoscale"] is not None:
        _run_many(path, settings, options)
        return
    if options["drain_backlog"] is not None:
        raise Misuse("--drain-backlog says what --autoscale is to achieve: name that too")
    from streams.engine.ending import RESTART
    from streams.service import run as run_app

    summary = run_app(app, settings, _until(options, settings))
    if summary.report.reason == RESTART:
        say(_sentence(summary))
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606  # this very command line
    if options["as_json"]:
        print_json(_document(summary))
    else:
        say(_sentence(summary))
    if not summary.report.drained or not summary.report.committed:
        sys.exit(1)


def _settings(app: App, options: dict[str, Any]) -> Settings:
    from streams.retry import seconds

    base = settings_for(options["bootstrap"], base=app.settings)
    return base.over(
        group=options["group"],
        protocol=options["protocol"],
        instance_id=options["instance_id"],
        metrics_port=options["metrics_port"],
        drain_s=None if options["drain"] is None else seconds(options["drain"]),
    ).checked()


def _until(options: dict[str, Any], settings: Settings) -> Until:
    from streams.engine.ending import Until
    from streams.retry import seconds

    if options["once"] and options["max_records"]:
        raise Misuse("--once reads one batch; it can't be combined with --max-records")
    return Until(
        empty=options["stop_when_empty"] or options["once"],
        settled=options["until_settled"],
        max_records=settings.batch_records if options["once"] else options["max_records"],
        max_time_s=None if options["max_time"] is None else seconds(options["max_time"]),
    )


def _run_many(path: str, settings: Settings, options: dict[str, Any]) -> None:
    """Run several members; each is this command with ``--processes 1``."""
    from streams.supervisor import Supervisor

    if settings.metrics_port:
        raise Misuse(f"--metrics-port {settings.metrics_port}: members can't share a port; with 0 each finds its own")
    if settings.instance_id:
        raise Misuse("--instance-id names one member; with --processes each would have the same name")
    command = [sys.executable, "-m", "streams", "run", path, *_passed_on(options)]
    supervisor = Supervisor(command, options["processes"], grace_s=settings.drain_s + 70)
    if options["autoscale"] is None:
        codes = supervisor.run()
    else:
        from streams.cli.autoscale import autoscaled

        with autoscaled(supervisor, settings, options):
            codes = supervisor.run()
    if options["as_json"]:
        print_json({"members": len(codes), "exit_codes": codes})
    if any(codes):
        sys.exit(max(1 if code < 0 else code for code in codes))


def _passed_on(options: dict[str, Any]) -> list[str]:
    """Give the options for one member."""
    passed = []
    for name, value in options.items():
        if name in ("processes", "autoscale", "drain_backlog", "as_json") or value is None or value is False:
            continue
        flag = f"--{name.replace('_', '-')}"
        passed += [flag] if value is True else [flag, str(value)]
    return passed


def _document(summary: Summary) -> dict[str, Any]:
    return {"group": summary.group, "protocol": summary.protocol, **asdict(summary.report), **asdict(summary.totals)}


def _sentence(summary: Summary) -> str:
    report, totals = summary.report, summary.totals
    first = (
        f"Stopped: {report.reason}. {report.read:,} records read: {totals.done:,} done, {totals.skipped:,} skipped, "
        f"{totals.dead_lettered:,} dead-lettered, {report.left:,} left for the next start."
    )
    lines = [first]
    if report.left:
        lines.append(f"  Of those left {report.retrying:,} wait for a retry; others wait behind one, or had not begun.")
    if report.parked:
        lines.append(
            f"  Another {report.parked:,} wait in retry and parked topics, for their time or for a record before them."
        )
    if totals.dead_lettered:
        lines.append(f"  See the dead letters: streams dlq list {summary.group}")
    if report.places:
        lines.append(f"  Still running at the end, and run again: {', '.join(report.places)}")
    if not report.committed:
        lines.append("  The last commit was not acknowledged: what settled since the one before runs again.")
    return "\n".join(lines)
