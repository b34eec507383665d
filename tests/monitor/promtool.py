"""Prometheus' own tool, where it is installed, and the words of PromQL that are not names of metrics."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest

from streams.monitor.metrics import GROUP, TABLE

_WORD: Final = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_TEXT: Final = re.compile(r'"(?:[^"\\]|\\.)*"')
_BY: Final = re.compile(r"\b(?:by|without|on|ignoring)\s*\([^)]*\)")
_PICKED: Final = re.compile(r"\{[^}]*\}")
_RANGE: Final = re.compile(r"\[[^\]]*\]")
_LANGUAGE: Final = frozenset(
    {
        "and",
        "or",
        "unless",
        "offset",
        "bool",
        "sum",
        "max",
        "min",
        "count",
        "rate",
        "increase",
        "delta",
        "time",
        "histogram_quantile",
    },
)
SCRAPED: Final = frozenset({"instance", "le"})
"""Labels that come with the scrape, or with the kind of a metric."""


def promtool(*words: str | Path) -> None:
    """Run ``promtool`` with *words*; what it finds wrong fails the test."""
    done = _run(*words)

    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


def refused_by_promtool(*words: str | Path) -> str:
    """Give what ``promtool`` finds wrong; nothing wrong fails the test."""
    done = _run(*words)

    assert done.returncode != 0, done.stdout

    return f"{done.stdout}\n{done.stderr}"


def _run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    tool = shutil.which("promtool")
    if tool is None:
        pytest.skip("promtool is not installed (Debian, Ubuntu: apt-get install prometheus)")
    return subprocess.run([tool, *map(str, words)], capture_output=True, text=True, timeout=60, check=False)


def write(path: Path, document: dict[str, Any]) -> Path:
    """Write *document*; JSON is YAML too."""
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def unknown_names(expr: str) -> set[str]:
    """Give what *expr* names that no member measures."""
    bare = _RANGE.sub("", _PICKED.sub("", _BY.sub("", _TEXT.sub("", expr))))
    return {word for word in _WORD.findall(bare) if word not in _LANGUAGE} - known_names()


def known_names() -> set[str]:
    """Give every name under which a scrape has the numbers of the table."""
    parts = ("_bucket", "_count", "_sum")
    return {row.name for row in TABLE} | {row.name + part for row in TABLE if row.kind == "histogram" for part in parts}


def unknown_labels(expr: str) -> set[str]:
    """Give the labels in *expr* that none of its metrics has."""
    bare = _TEXT.sub("", expr)
    named = [part for found in _BY.findall(bare) for part in _WORD.findall(found)[1:]]
    picked = [part for found in _PICKED.findall(bare) for part in _WORD.findall(found)]
    rows = [row for row in TABLE if row.name in expr]
    has = {GROUP, *SCRAPED, *(label for row in rows for label in row.labels)}
    return {*named, *picked} - has
