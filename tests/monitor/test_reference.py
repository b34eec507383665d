"""``docs/METRICS.md`` is the table, in the order of the table."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from streams.monitor.metrics import TABLE
from streams.monitor.reference import reference

PAGE = Path(__file__).parents[2] / "docs" / "METRICS.md"


def test_the_page_is_made_from_the_table() -> None:
    """A row that was changed without its page: ``python -m streams.monitor.reference docs/METRICS.md``."""
    assert PAGE.read_text(encoding="utf-8") == reference()


def test_the_page_is_written_by_its_command(tmp_path: Path) -> None:
    """The command named above writes the page."""
    page = tmp_path / "METRICS.md"
    subprocess.run([sys.executable, "-m", "streams.monitor.reference", page], check=True)

    assert page.read_text(encoding="utf-8") == reference()


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
