"""The files of the pinned Apache Kafka: resolved once, verified each time.

`jgo` finds the jars in a Maven repository and caches them; a company's mirror
is told to jgo, not to us.  Whatever it found must match the checked-in list
of SHA-256 sums, or nothing is started.  A small record of where the jars lie
spares every later start the resolver.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path

from streams.errors import BrokerError, UsageError

KAFKA_VERSION = "4.3.1"

_COORDINATES = (
    f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}",
    "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4",
)
"""Resolved one by one: several in one call give a mixed set."""


def kafka_jars(say: Callable[[str], None]) -> list[Path]:
    """The class path of Kafka, each file verified; *say* is told what takes time.

    Raises:
        UsageError: The resolver is not installed.
        BrokerError: The jars can't be had, or are not the ones we know.
    """
    sums = known_sums()
    jars = _remembered(sums)
    if not jars:
        jars = _resolved(sums, say)
        _remember(jars)
    verify(jars, sums)
    return jars


def known_sums() -> dict[str, str]:
    """The SHA-256 sum of each jar by its file name, as checked in beside this room."""
    text = resources.files(__package__).joinpath(f"kafka-{KAFKA_VERSION}.sha256").read_text("ascii")
    return {name: digest for digest, name in (line.split() for line in text.splitlines())}


def verify(jars: Iterable[Path], sums: Mapping[str, str]) -> None:
    """Check each of *jars* against *sums*.

    Raises:
        BrokerError: One differs; the text names it.
    """
    for jar in jars:
        found = _sha256(jar)
        if found != sums[jar.name]:
            text = (
                f"{jar} is not the file that Kafka {KAFKA_VERSION} needs: its SHA-256 sum is {found}, "
                f"expected {sums[jar.name]}. Nothing was started. Remove it there and in the Maven "
                "cache (M2_REPO, or .m2/repository at home), then try again."
            )
            raise BrokerError(text)


def _resolved(sums: Mapping[str, str], say: Callable[[str], None]) -> list[Path]:
    say(f"fetching Apache Kafka {KAFKA_VERSION}: {len(sums)} files, 46 MB, once")
    by_name = {jar.name: jar for jar in _all_jars(update=False)}
    if not sums.keys() <= by_name.keys():
        by_name = {jar.name: jar for jar in _all_jars(update=True)}
    if missing := sorted(sums.keys() - by_name.keys()):
        text = f"The resolver did not find {', '.join(missing)}. Nothing was started. Is its cache complete?"
        raise BrokerError(text)
    return [by_name[name] for name in sums]


def _all_jars(*, update: bool) -> list[Path]:
    try:
        import jgo
    except ImportError as missing:
        text = "streams dev needs an extra. Nothing was started. Run: pip install 'streams[dev-kafka]'"
        raise UsageError(text) from missing
    try:
        return [Path(jar) for name in _COORDINATES for jar in jgo.build(name, update=update).all_jars]
    except (OSError, RuntimeError, ValueError) as failure:
        text = (
            f"Apache Kafka {KAFKA_VERSION} can't be fetched: {failure}. Nothing was started. "
            "Check the network, or tell jgo of your Maven mirror."
        )
        raise BrokerError(text) from failure


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
