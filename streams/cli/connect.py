"""Which cluster a command talks to, and the options that say so."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from streams.config import Settings

if TYPE_CHECKING:
    from streams.app import App

_Command = TypeVar("_Command", bound=Callable[..., Any])

_NO_GROUP = "streams"


def bootstrap_option(command: _Command) -> _Command:
    """Add ``--bootstrap``."""
    return click.option(
        "--bootstrap",
        metavar="HOST:PORT",
        help="The cluster, several addresses with commas. Default: STREAMS_BOOTSTRAP, else the one of 'streams dev'.",
    )(command)


def json_option(command: _Command) -> _Command:
    """Add ``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document and nothing else.")(command)


def settings_for(bootstrap: str | None, *, base: Settings | None = None, group: str = "") -> Settings:
    """Give the settings of a connection: *base*, the environment, then the command line.

    Args:
        bootstrap: What the command line says.
        base: An app's settings; None where no app takes part.
        group: The group that the command is about.

    Raises:
        ConfigError: No cluster is named, or a setting is wrong; lists all of them.
    """
    settings = (base or Settings()).from_environment().over(bootstrap=bootstrap, group=group or None)
    if not settings.bootstrap:
        settings = settings.over(bootstrap=_running_here())
    settings.over(group=settings.group or _NO_GROUP).checked()
    return settings


def load_app(path: str) -> App:
    """Give the app that ``module:app`` stands for.

    Raises:
        UsageError: There is none.
    """
    from streams.app import load

    return load(path)


def is_app(name: str) -> bool:
    """Say whether *name* is of the form ``module:app``: no topic and no group has a colon."""
    return ":" in name


def _running_here() -> str | None:
    from streams.dev import running_bootstrap

    return running_bootstrap()
