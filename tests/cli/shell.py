"""Calling `streams` in a test as a shell would."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from click.testing import CliRunner

from streams.cli import main


@dataclass(frozen=True)
class Said:
    """What a command printed."""

    out: str
    err: str
    raw: bytes

    @property
    def json(self) -> Any:
        """Standard output as the one JSON document it has to be."""
        return json.loads(self.out)


class Shell:
    """Runs commands against one broker; one that ends otherwise than expected, or by a traceback, fails the test."""

    def __init__(self, bootstrap: str) -> None:
        self._environment = {"STREAMS_BOOTSTRAP": bootstrap, "COLUMNS": "200"}

    def __call__(self, line: str, *more: str, code: int = 0, stdin: str | bytes | None = None, **env: str) -> Said:
        """Run *line*, cut at its spaces, and *more* arguments as they are."""
        arguments = [*line.split(), *more]
        result = CliRunner().invoke(main, arguments, input=stdin, env=self._environment | env)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, f"{arguments} ended with {result.exit_code}: {result.stderr or result.stdout}"
        assert "Traceback" not in result.stderr
        return Said(result.stdout, result.stderr, result.stdout_bytes)
