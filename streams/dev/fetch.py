"""Fetching jars from a Maven repository: the one file that knows the resolver.

Which repository that is, and where its files are cached, is jgo's
configuration: a company's mirror is named there, as `central` under
`[repositories]`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from streams.errors import BrokerError, UsageError

_COORDINATES = (
    "org.apache.kafka:kafka_2.13:{version}",
    "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4",
)
"""Resolved one by one: several in one call give a mixed set."""


def fetch_jars(version: str, say: Callable[[str], None], *, anew: bool = False) -> dict[str, Path]:
    """The jars of Kafka *version* and what they need, by file name; *anew* distrusts the resolver's cache.

    Raises:
        UsageError: The resolver is not installed.
        BrokerError: The repository can't be reached or lacks them.
    """
    try:
        from jgo import build
        from jgo.config import GlobalSettings
        from jgo.maven import PythonResolver
    except ImportError as missing:
        raise UsageError(
            "Starting a Kafka here needs an extra that is not installed. Nothing was started. "
            "Run: pip install 'streams[dev-kafka]'"
        ) from missing
    jars: dict[str, Path] = {}
    for coordinate in _COORDINATES:
        try:
            environment = build(
                coordinate.format(version=version),
                update=anew,
                repositories=GlobalSettings.load().repositories,
                resolver=PythonResolver(progress_callback=_progress(say)),
            )
        except (OSError, RuntimeError, ValueError) as failure:
            raise BrokerError(
                f"Kafka {version} can't be fetched; nothing was started. Check the network, "
                f"or name your Maven mirror in jgo's configuration. The resolver says: {failure}"
            ) from failure
        jars |= {jar.name: jar for jar in map(Path, environment.all_jars)}
    return jars


def _progress(
    say: Callable[[str], None],
) -> Callable[[str, int], contextlib.AbstractContextManager[Callable[[int], None]]]:
    @contextlib.contextmanager
    def download(name: str, size_bytes: int) -> Iterator[Callable[[int], None]]:
        say(f"fetching {name} ({size_bytes / 1e6:.1f} MB)")
        yield lambda _received: None

    return download
