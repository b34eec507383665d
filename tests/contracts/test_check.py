"""A folder of schemas held against itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from streams.codec import dumps
from streams.contracts import Compatibility, check
from streams.errors import UsageError

GOOD = {"type": "object", "required": ["id"], "properties": {"id": {"type": "string"}}}


def folder(root: Path, **files: Any) -> Path:
    """Write the files of one subject."""
    subject = root / "order.placed"
    subject.mkdir()
    for name, content in files.items():
        data = content if isinstance(content, bytes) else dumps(content)
        (subject / name.replace("__", ".")).write_bytes(data)
    return root


def faults(root: Path, compatibility: Compatibility = Compatibility.FORWARD) -> list[str]:
    """Give what is wrong with the one subject."""
    (subject,) = check(root, compatibility)
    return [f"{fault.path.relative_to(root)}: {fault.text}" for fault in subject.faults]


def test_a_sound_subject_has_no_faults(tmp_path: Path) -> None:
    """Valid schemas, a valid example, a version that breaks nobody."""
    newer = GOOD | {"required": ["id", "at"]}
    folder(tmp_path, v1__json=GOOD, v2__json=newer, example__json={"id": "o-1", "at": 5}, README__md=b"hello")

    assert faults(tmp_path) == []
    assert check(tmp_path)[0].versions == (1, 2)


def test_a_version_that_breaks_readers_is_refused(tmp_path: Path) -> None:
    """The fault stands at the new version and says what readers of the old one need."""
    folder(tmp_path, v1__json=GOOD, v2__json={"type": "object", "properties": {}}, example__json={})

    assert faults(tmp_path) == ["order.placed/v2.json: v2 drops required 'id' that readers of v1 need"]
    assert faults(tmp_path, Compatibility.BACKWARD) == []


@pytest.mark.parametrize(
    ("example", "fault"),
    [
        ({"id": 5}, 'order.placed/example.json: not valid under v1: /id: value is not of type "string", got 5'),
        (b"{", "order.placed/example.json: not JSON: it ends too early (byte 1); 1 bytes: {"),
        (b'{"id": "a", "x": 0.1e-400}', None),
    ],
)
def test_an_example_is_held_against_the_newest_version(tmp_path: Path, example: Any, fault: str | None) -> None:
    """An example that readers would refuse is no example."""
    folder(tmp_path, v1__json=GOOD, example__json=example)

    assert faults(tmp_path) == ([fault] if fault else [])


def test_a_missing_example_is_a_fault(tmp_path: Path) -> None:
    """Each subject shows one value."""
    folder(tmp_path, v1__json=GOOD)

    (found,) = faults(tmp_path)

    assert found.startswith("order.placed/example.json: is missing: one value, valid under the newest version")


def test_a_broken_schema_is_told_with_its_file(tmp_path: Path) -> None:
    """Every broken file is told; what depends on it is not guessed at."""
    folder(tmp_path, v1__json=b"nope", v2__json={"type": 5}, example__json={})
    found = faults(tmp_path)

    assert len(found) == 2
    assert found[0].startswith("order.placed/v1.json: not JSON: ")
    assert found[1].startswith("order.placed/v2.json: no JSON Schema 2020-12: /type is 5, ")


def test_a_file_that_would_be_passed_over_is_told(tmp_path: Path) -> None:
    """A version under a name that is none is not silently left out."""
    folder(tmp_path, v1__json=GOOD, V2__json=GOOD, v03__json=GOOD, example__json={"id": "a"})

    assert [fault.split(":")[0] for fault in faults(tmp_path)] == ["order.placed/V2.json", "order.placed/v03.json"]


def test_a_subject_with_an_impossible_name_is_told(tmp_path: Path) -> None:
    """A name with a space could not stand in a URI."""
    (tmp_path / "order placed").mkdir()

    (subject,) = check(tmp_path)

    assert "letters, digits, dot, dash and underscore" in subject.faults[0].text


def test_an_empty_folder_is_a_mistake(tmp_path: Path) -> None:
    """Nothing to check is most likely the wrong folder."""
    with pytest.raises(UsageError, match="holds no subject"):
        check(tmp_path)
