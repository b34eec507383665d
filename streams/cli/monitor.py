"""`streams monitor`: the dashboard of all groups."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from streams.cli.connect import bootstrap_option, settings_for
from streams.cli.output import say
from streams.errors import UsageError

if TYPE_CHECKING:
    from streams.monitor.dashboard.access import Role

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
    log_format: str,
    bootstrap: str | None,
) -> None:
    """Serve the dashboard: what every group is doing, what stands still and why, and the repair of dead letters.

    It asks the broker alone and stores nothing. Roles: a viewer looks, an operator retries and forgets dead letters
    too, an admin sees masked fields too. Without tokens whoever reaches a loopback address is an operator, and
    whoever reaches another address may look.
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
    configure_logs("json" if log_format == "json" else "text", "INFO")
    if not choices.tokens and not choices.is_loopback:
        say("No tokens are named and others reach this address: pages can be read, and nothing can be done.")
    Dashboard(choices).run()


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
