"""What runs the programs of Kafka: a Java, and the verified class path."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from streams.dev.jars import kafka_jars
from streams.dev.java import find_java


@dataclass(frozen=True, slots=True)
class Runtime:
    """A Java and the jars it is given."""

    java: Path

    jars: Sequence[Path]

    @classmethod
    def find(cls, say: Callable[[str], None]) -> Runtime:
        """The one to be had on this machine; *say* is told what takes time.

        Raises:
            UsageError: There is no Java, or the extra is not installed.
            BrokerError: The jars can't be had, or are not the ones we know.
        """
        return cls(find_java(), kafka_jars(say))

    def command(self, node: Path, program: Sequence[str], *options: str) -> list[str]:
        """The command line that runs *program* under Java's *options*; all it writes is inside the folder *node*."""
        return [
            str(self.java),
            *options,
            "-XX:+ExitOnOutOfMemoryError",
            "-XX:-UsePerfData",
            f"-XX:ErrorFile={node / 'crash.log'}",
            f"-Djava.io.tmpdir={node / 'tmp'}",
            f"-Dlog4j2.configurationFile={node / 'log4j2.properties'}",
            f"-Dstreams.log={node / 'broker.log'}",
            "-cp",
            ":".join(map(str, self.jars)),
            *program,
        ]
