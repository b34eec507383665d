"""`streams schemas check`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from streams.cli import main
from streams.codec import dumps

GOOD = {"type": "object", "required": ["id"]}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with one good subject and one that breaks its readers."""
    for subject, newer in (("order.paid", GOOD), ("order.placed", {"type": "object"})):
        (tmp_path / subject).mkdir()
        for name, document in (("v1", GOOD), ("v2", newer), ("example", {"id": "o-1"})):
            (tmp_path / subject / f"{name}.json").write_bytes(dumps(document))
    return tmp_path


def run(*arguments: object) -> Result:
    """Run the command as a person does."""
    return CliRunner().invoke(main, ["schemas", "check", *map(str, arguments)])


def test_a_break_ends_with_1_and_says_what_and_where(root: Path) -> None:
    """The table shows every subject; below it stand file, fault, and what to do."""
    result = run("--path", root)

    assert result.exit_code == 1
    assert f"{root}/order.placed/v2.json: v2 drops required 'id' that readers of v1 need" in result.output
    assert [line.split() for line in result.output.splitlines() if "v1, v2" in line] == [
        ["order.paid", "v1,", "v2", "good"],
        ["order.placed", "v1,", "v2", "1", "fault"],
    ]
    assert "1 fault (compatibility: forward)" in result.output


def test_a_sound_folder_ends_with_0(root: Path) -> None:
    """Under a compatibility that nothing breaks, nothing is wrong."""
    result = run("--path", root, "--compatibility", "backward")

    assert result.exit_code == 0
    assert "2 subjects, nothing wrong (compatibility: backward)" in result.output


def test_machines_get_json(root: Path) -> None:
    """The same as data, with the same exit code."""
    result = run("--path", root, "--json")

    assert result.exit_code == 1
    assert json.loads(result.stdout) == {
        "ok": False,
        "compatibility": "forward",
        "subjects": [
            {"subject": "order.paid", "versions": [1, 2], "ok": True, "faults": []},
            {
                "subject": "order.placed",
                "versions": [1, 2],
                "ok": False,
                "faults": [
                    {
                        "file": str(root / "order.placed" / "v2.json"),
                        "text": "v2 drops required 'id' that readers of v1 need",
                    },
                ],
            },
        ],
    }


def test_a_folder_that_is_none_ends_with_2(tmp_path: Path) -> None:
    """A mistake in the call is told as one."""
    (tmp_path / "empty").mkdir()

    assert run("--path", tmp_path / "nowhere").exit_code == 2
    assert run("--path", tmp_path / "empty").exit_code == 2
    assert run("--path", tmp_path, "--compatibility", "sideways").exit_code == 2
