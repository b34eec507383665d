"""The files of the pinned Apache Kafka: fetched once, verified each time.

Wherever they came from, they must match the checked-in list of SHA-256 sums,
or nothing is started.  A small record of where they lie spares every later
start the resolver.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path

from streams.dev.fetch import fetch_jars
from streams.errors import BrokerError

KAFKA_VERSION = "4.3.1"


def kafka_jars(say: Callable[[str], None]) -> list[Path]:
    """The class path of Kafka, each file verified; *say* is told what takes time.

    Raises:
        UsageError: The resolver is not installed.
        BrokerError: The jars can't be had, or are not the ones we know.
    """
    sums = known_sums()
    with _alone():
        jars = _remembered(sums)
        is_new = not jars
        if is_new:
            jars = _fetched(sums, say)
        verify(jars, sums)
        if is_new:
            _remember(jars)
    return jars


def known_sums() -> dict[str, str]:
    """The SHA-256 sum of each jar by its file name, from the list beside this file."""
    text = resources.files(__package__).joinpath(f"kafka-{KAFKA_VERSION}.sha256").read_text("ascii")
    return {name: digest for digest, name in map(str.split, text.splitlines())}


def verify(jars: Iterable[Path], sums: Mapping[str, str]) -> None:
    """Check each of *jars* against *sums*.

    Raises:
        BrokerError: One differs; the text names it.
    """
    for jar in jars:
        found = _sha256(jar)
        if found != sums[jar.name]:
            raise BrokerError(
                f"{jar} is not the file that Kafka {KAFKA_VERSION} needs: its SHA-256 sum is {found}, "
                f"not {sums[jar.name]}. Nothing was started. Remove it there and in the Maven cache "
                "(M2_REPO, or .m2/repository at home), then try again."
            )


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Let one process of this user look and fetch at a time: the resolver's cache does not bear two."""
    with (Path(tempfile.gettempdir()) / f"streams-jars-{os.getuid()}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _fetched(sums: Mapping[str, str], say: Callable[[str], None]) -> list[Path]:
    say(f"fetching Apache Kafka {KAFKA_VERSION}: {len(sums)} files, 46 MB, once")
    by_name = fetch_jars(KAFKA_VERSION, say)
    if sums.keys() - by_name.keys():
        by_name = fetch_jars(KAFKA_VERSION, say, anew=True)
    if missing := sorted(sums.keys() - by_name.keys()):
        raise BrokerError(
            f"The Maven repository gave no {', '.join(missing)} with Kafka {KAFKA_VERSION}. Nothing was started. "
            "Is your mirror complete?"
        )
    return [by_name[name] for name in sums]


def _record() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "streams" / f"kafka-{KAFKA_VERSION}.jars"


def _remembered(sums: Mapping[str, str]) -> list[Path]:
    """The jars of the last time; none unless all of them are still there."""
    try:
        jars = [Path(line) for line in _record().read_text().splitlines()]
    except FileNotFoundError:
        return []
    is_whole = {jar.name for jar in jars} == sums.keys() and all(jar.is_file() for jar in jars)
    return jars if is_whole else []


def _remember(jars: Sequence[Path]) -> None:
    record = _record()
    record.parent.mkdir(parents=True, exist_ok=True)
    draft = record.with_suffix(f".{os.getpid()}")
    draft.write_text("".join(f"{jar}\n" for jar in jars))
    draft.replace(record)


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
