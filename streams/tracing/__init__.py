"""Spans through OpenTelemetry: who made a record, each attempt at it, and what the attempts led to.

The only room that imports OpenTelemetry, and nobody loads what is in it unless
tracing is on: a record's path without it is what it would be were it not here.
With it a route is replaced at the start by one that makes spans
(`streams.tracing.route`), and so are the two edges through which records move
in the chain (`streams.tracing.edges`).
"""

from __future__ import annotations

from importlib.util import find_spec

from streams.errors import ConfigError


def require() -> None:
    """See that OpenTelemetry is installed, without loading it.

    Raises:
        ConfigError: It is not.
    """
    if find_spec("opentelemetry") is None or find_spec("opentelemetry.trace") is None:
        raise ConfigError(["tracing: it needs OpenTelemetry; install it with: pip install 'streams[otel]'"])
