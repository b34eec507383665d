"""What the documentation shows is run: its Python is executed, its commands work in the order given."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.brokers import Kafka

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^]]+\]\((?!https?:)([^)#]+)[^)]*\)")


def blocks(page: Path, language: str) -> Iterator[str]:
    """Give the code of *page* in *language*."""
    return (code for name, code in _BLOCK.findall(page.read_text()) if name == language)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_in_the_documentation_runs(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every Python block of a page runs by itself."""
    for code in blocks(page, "python"):
        module = ModuleType("documentation")
        monkeypatch.setitem(sys.modules, module.__name__, module)

        exec(compile(code, str(page), "exec"), module.__dict__)  # noqa: S102  # our own pages

        assert len(vars(module)) > 0


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_of_the_documentation_lead_somewhere(page: Path) -> None:
    """Every relative link names a file that is there."""
    targets = [page.parent / target for target in _LINK.findall(page.read_text())]

    assert [str(target) for target in targets if not target.exists()] == []


@pytest.mark.kafka
def test_the_five_minutes_of_the_readme_work(kafka: Kafka, tmp_path: Path) -> None:
    """The commands of the README's five minutes end well, one after the other, on a fresh home."""
    commands = next(code for code in blocks(ROOT / "README.md", "sh") if "topics create" in code).splitlines()
    environment = {**os.environ, "STREAMS_BOOTSTRAP": kafka.bootstrap, "HOME": str(tmp_path)}
    ran = []
    for line in commands:
        words = shlex.split(line, comments=True)
        if words[1] == "dev":
            continue  # the broker of the tests stands in for it
        done = subprocess.run(
            [sys.executable, "-m", *words],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=270,
            check=False,
        )
        ran.append(words[1])

        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr

    assert ran == ["topics", "produce", "run", "status", "why", "dlq"]
