"""Only the files that are known are ever run."""

from __future__ import annotations

import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from streams.dev.jars import KAFKA_VERSION, kafka_jars, known_sums, verify
from streams.errors import BrokerError, UsageError
from tests.brokers import require_native


@pytest.fixture(scope="module")
def jars() -> list[Path]:
    """The real jars of this machine."""
    require_native()
    return kafka_jars(lambda _step: None)


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache that remembers nothing yet; gives the file that would."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "streams").mkdir()
    return tmp_path / "streams" / f"kafka-{KAFKA_VERSION}.jars"


def test_every_jar_of_the_class_path_has_its_sum(jars: list[Path]) -> None:
    """The checked-in list names exactly the class path."""
    assert {jar.name for jar in jars} == known_sums().keys()


def test_jars_are_looked_up_once(jars: list[Path], own_cache: Path) -> None:
    """What was found is remembered: the next start asks no resolver."""
    steps: list[str] = []
    kafka_jars(steps.append)
    asked_at_first = len(steps)
    again = kafka_jars(steps.append)

    assert asked_at_first > 0
    assert len(steps) == asked_at_first
    assert {jar.name for jar in again} == {jar.name for jar in jars}
    assert own_cache.exists()


@pytest.mark.usefixtures("jars", "own_cache")
def test_two_that_start_at_once_fetch_once() -> None:
    """The resolver's cache does not bear two at a time: the second waits, and finds what the first fetched."""
    steps: list[str] = []
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(kafka_jars, [steps.append, steps.append]))

    assert found[0] == found[1]
    assert len([step for step in steps if step.startswith("fetching Apache Kafka")]) == 1


def test_a_jar_that_was_changed_is_refused(jars: list[Path], own_cache: Path, tmp_path: Path) -> None:
    """One more byte in one of 46 files: an error that names the file, and no class path."""
    changed = tmp_path / jars[7].name
    shutil.copy(jars[7], changed)
    with changed.open("ab") as file:
        file.write(b"\0")
    own_cache.write_text("".join(f"{jar}\n" for jar in [*jars[:7], changed, *jars[8:]]))

    with pytest.raises(BrokerError, match=rf"{changed.name} is not the file.*Nothing was started"):
        kafka_jars(lambda _step: None)


def test_a_remembered_jar_that_is_gone_is_looked_up_again(jars: list[Path], own_cache: Path) -> None:
    """A cache that was emptied is no error: the resolver fills it."""
    own_cache.write_text("".join(f"{jar}.gone\n" for jar in jars))

    assert {jar.name for jar in kafka_jars(lambda _step: None)} == known_sums().keys()


def test_an_unknown_sum_is_refused(tmp_path: Path) -> None:
    """A list that says otherwise wins over the file."""
    jar = tmp_path / "some.jar"
    jar.write_bytes(b"not a jar")

    with pytest.raises(BrokerError, match=r"some\.jar is not the file"):
        verify([jar], {"some.jar": "0" * 64})


def test_without_the_resolver_the_error_says_what_to_install(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No extra: the user is told the one command to run."""
    monkeypatch.setitem(sys.modules, "jgo", None)

    with pytest.raises(UsageError, match=r"pip install 'streams\[dev-kafka\]'"):
        kafka_jars(lambda _step: None)

    assert not own_cache.exists()


def test_a_repository_that_cannot_be_reached_is_an_error_with_advice(
    own_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No network: the resolver's words, and where to look."""
    pytest.importorskip("jgo")
    monkeypatch.setenv("M2_REPO", str(tmp_path / "m2"))
    monkeypatch.setenv("JGO_CACHE_DIR", str(tmp_path / "jgo"))
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    with pytest.raises(BrokerError, match="Check the network"):
        kafka_jars(lambda _step: None)

    assert not own_cache.exists()
