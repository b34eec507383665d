"""``docs/METRICS.md`` is the table, in the order of the table; beside it stand the rules and the dashboard."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from streams.monitor.alerts import rules
from streams.monitor.graphs import written
from streams.monitor.metrics import TABLE
from streams.monitor.reference import reference

PAGE = Path(__file__).parents[2] / "docs" / "METRICS.md"


def test_the_page_is_made_from_the_table() -> None:
    """A row that was changed without its page: ``python -m streams.monitor.reference docs/METRICS.md``."""
    assert PAGE.read_text(encoding="utf-8") == reference()


@pytest.mark.parametrize(("name", "text"), [("rules.yml", rules), ("dashboard.json", written)])
def test_the_files_beside_it_are_what_the_command_prints(name: str, text: Callable[[], str]) -> None:
    """An alert or a row that was changed without them: the same command writes them too."""
    assert (PAGE.parent / "monitoring" / name).read_text(encoding="utf-8") == text()


def test_the_page_is_written_by_its_command(tmp_path: Path) -> None:
    """The command named above writes the page, and the files that it links to."""
    page = tmp_path / "METRICS.md"
    subprocess.run([sys.executable, "-m", "streams.monitor.reference", page], check=True)

    assert page.read_text(encoding="utf-8") == reference()
    assert (tmp_path / "monitoring" / "rules.yml").read_text(encoding="utf-8") == rules()
    assert (tmp_path / "monitoring" / "dashboard.json").read_text(encoding="utf-8") == written()


def test_names_follow_the_rules() -> None:
    """Ours by prefix, counters by ``_total``, each name once; a sentence ends like one."""
    for row in TABLE:
        assert re.fullmatch(r"streams(_[a-z]+)+", row.name)
        assert (row.kind == "counter") == row.name.endswith("_total")
        assert row.sentence.endswith(".")
        assert (row.kind == "histogram") == bool(row.bounds)

    assert len({row.name for row in TABLE}) == len(TABLE)


def test_no_label_grows_with_the_data() -> None:
    """Keys and offsets are never labels: their number has no bound."""
    assert {label for row in TABLE for label in row.labels} <= {
        "topic",
        "partition",
        "outcome",
        "event",
        "fatal",
        "kind",
        "dependency",
        "reason",
        "fate",
        "version",
        "python",
    }
