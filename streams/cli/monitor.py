"""`streams monitor`: the dashboard of all groups."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from streams.cli.connect import bootstrap_option, settings_for
from streams.cli.output import say
from streams.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from streams.monitor.dashboard.access import Role
    from streams.monitor.dashboard.targets import Target
    from streams.monitor.dashboard.thresholds import Threshold

_NEEDED = ("jinja2", "starlette", "uvicorn")


@click.command(epilog="Example:  streams monitor --port 8080 --tokens tokens.txt --mask card,email")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65_535), default=8080, show_default=True, help="Port; 0: a free one.")
@click.option(
    "--tokens",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File of who may enter: a line says NAME viewer|operator|admin TOKEN. STREAMS_MONITOR_TOKENS says the same.",
)
@click.option(
    "--make-token", metavar="NAME:ROLE", help="Print a new token and the line for the file, and serve nothing."
)
@click.option(
    "--mask",
    "masks",
    multiple=True,
    metavar="FIELD,..",
    help="Fields of payloads, and headers, that only administrators see; repeatable.",
)
@click.option("--allow-host", multiple=True, metavar="NAME", help="A name under which browsers reach it; repeatable.")
@click.option(
    "--schemas",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("schemas"),
    show_default=True,
    help="The folder of the contracts; shown where it exists.",
)
@click.option(
    "--alert",
    "alerts",
    multiple=True,
    metavar="EXPRESSION",
    help="Tell --notify of this, such as 'queue_age>60s', 'billing:dead_letters>0 for 5m'; repeatable.",
)
@click.option(
    "--notify",
    "targets",
    multiple=True,
    metavar="TARGET",
    help="Where alerts go: http(s)://.. (JSON is posted) or 'exec:COMMAND' (JSON on its standard input, no shell);"
    " repeatable. STREAMS_MONITOR_NOTIFY says the same, a line each, and stands in no list of processes.",
)
@click.option("--log-format", type=click.Choice(["text", "json"]), default="text", show_default=True)
@bootstrap_option
def monitor(  # noqa: PLR0913  # one parameter an option
    *,
    host: str,
    port: int,
    tokens: Path | None,
    make_token: str | None,
    masks: tuple[str, ...],
    allow_host: tuple[str, ...],
    schemas: Path,
    alerts: tuple[str, ...],
    targets: tuple[str, ...],
    log_format: str,
    bootstrap: str | None,
) -> None:
    """Serve the dashboard: what every group is doing, what stands still and why, and the repair of dead letters.

    It asks the broker alone and stores nothing. Roles: a viewer looks; an operator retries and forgets dead letters and
    pauses, resumes, restarts and drains groups too; an admin sees masked fields too. Without tokens whoever reaches a
    loopback address is an operator, and whoever reaches another address may look.

    An alert is [GROUP:]NAME, one of > >= < <=, a number with its unit, and how long it has to be so (10 s where it does
    not say 'for TIME'); GROUP is a name or a pattern with *. Names: queue_age, standstill, look_age (s, m, h, d);
    lag, waiting, parked, dead_letters, expired, members, unowned, still_partitions, wanted_members; comes, done (a
    second); wanted_share (%). Whoever is to be told hears once that it begins, every 4 h that it goes on, and once that
    it is over. With STREAMS_NOTIFY_SECRET what is posted is signed.
    """
    _require_extra()
    from streams.monitor.dashboard.access import load_tokens
    from streams.monitor.dashboard.server import Choices, Dashboard
    from streams.monitor.logs import configure_logs

    if make_token is not None:
        _print_token(make_token)
        return
    choices = Choices(
        settings=settings_for(bootstrap),
        host=host,
        port=port,
        tokens=load_tokens(tokens, os.environ),
        mask=[name for part in masks for name in part.split(",")],
        allowed_hosts=allow_host,
        schemas=schemas if schemas.is_dir() else None,
    )
    choices.thresholds, choices.targets = _read_alerts(alerts, targets)
    configure_logs("json" if log_format == "json" else "text", "INFO")
    if not choices.tokens and not choices.is_loopback:
        say("No tokens are named and others reach this address: pages can be read, and nothing can be done.")
    Dashboard(choices).run()


def _read_alerts(alerts: tuple[str, ...], targets: tuple[str, ...]) -> tuple[list[Threshold], list[Target]]:
    """Read both.

    Raises:
        ConfigError: Some are none, or one is named without the other; all faults are listed.
    """
    from streams.monitor.dashboard.targets import SECRET, read_targets
    from streams.monitor.dashboard.thresholds import read_thresholds

    targets += tuple(line for line in os.environ.get("STREAMS_MONITOR_NOTIFY", "").splitlines() if line.strip())
    thresholds: list[Threshold] = []
    read: list[Target] = []
    faults: list[str] = []
    try:
        thresholds = read_thresholds(alerts)
    except ConfigError as error:
        faults += error.faults
    try:
        read = read_targets(targets, os.environ.get(SECRET, ""))
    except ConfigError as error:
        faults += error.faults
    if bool(alerts) != bool(targets):
        faults.append("--alert needs --notify TARGET" if alerts else "--notify needs --alert EXPRESSION")
    if faults:
        raise ConfigError(faults)
    return thresholds, read


def _require_extra() -> None:
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise UsageError(f"the dashboard needs {', '.join(missing)}: pip install 'streams[monitor]'")


def _print_token(wanted: str) -> None:
    from streams.monitor.dashboard.access import make_token, read_tokens

    name, _, role = wanted.partition(":")
    token, line = make_token(name, cast("Role", role))
    read_tokens(line, "--make-token")
    click.echo(f"token  {token}\nline   {line}")
    say("The token is shown this once. The line goes into the file of --tokens.")
