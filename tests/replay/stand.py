"""A live group and its shadows as processes, and what they leave behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from streams.kafka.admin import Admin
from streams.kafka.offsets import committed
from streams.kafka.topics import list_topics
from streams.kafka.witness import messages_of
from tests.brokers import Kafka
from tests.waiting import eventually

ROOT: Final = Path(__file__).parents[2]
APP: Final = "tests.replay.shadowed:app"


@dataclass
class Stand:
    """One live group, what it reads and sends, and the processes of a test."""

    kafka: Kafka
    admin: Admin
    orders: str
    invoices: str
    group: str
    folder: Path
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    def write(self, records: Iterable[tuple[str, dict[str, Any]]]) -> None:
        """Write orders, each with its key, all acknowledged."""
        for number, (key, order) in enumerate(records):
            self.kafka.write(self.orders, json.dumps({"n": number} | order).encode(), key.encode())

    def start(self, *line: str) -> subprocess.Popen[str]:
        """Start a command."""
        process = subprocess.Popen(
            [sys.executable, "-m", "streams", *line],
            cwd=ROOT,
            env={
                **os.environ,
                "STREAMS_BOOTSTRAP": self.kafka.bootstrap,
                "SHADOWED_GROUP": self.group,
                "SHADOWED_ORDERS": self.orders,
                "SHADOWED_INVOICES": self.invoices,
                "SHADOWED_FOLDER": str(self.folder),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.processes.append(process)
        return process

    def run(self, *line: str, code: int = 0) -> tuple[Any, str]:
        """Run a command to its end; give what it printed, as JSON where it is that, and what it told."""
        return ended(self.start(*line), code)

    def live(self) -> None:
        """Have the live group do all that is there now."""
        self.run("run", APP, "--until-settled")

    def shadow(self, *options: str, code: int = 0) -> tuple[Any, str]:
        """Run a member of a shadow to its end."""
        return self.run(*self.line(*options), code=code)

    def line(self, *options: str) -> Sequence[str]:
        """The command line of a member of a shadow."""
        return "replay", "shadow", self.group, "--app", APP, "--json", *options

    @property
    def journal(self) -> list[dict[str, Any]]:
        """What ended well, of all groups, in order."""
        path = self.folder / "journal"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def replayed(self, after: int = 0) -> list[dict[str, Any]]:
        """Those lines of it, from the line *after* on, that say that they are a replay."""
        return [line for line in self.journal[after:] if line["replay"]]

    def open_gate(self) -> None:
        """Let those go on that wait."""
        (self.folder / "gate").touch()

    def values(self, topic: str) -> list[tuple[int | None, bytes | None, Any]]:
        """What stands in *topic*: partition, key and JSON, in any order."""
        found = messages_of(self.kafka.client(), topic)
        return [(one.partition(), one.key(), json.loads(one.value() or b"null")) for one in found]

    def everything(self, group: str) -> dict[str, Any]:
        """All that *group* has: commits with their metadata, and every byte of its topics and of those it sends to."""
        topics = [
            name
            for name in list_topics(self.admin)
            if f".{group}." in f"{name}." and f".{group}.shadow" not in name and not name.startswith(f"{group}.")
        ]
        logs = {
            name: sorted(
                (one.partition() or 0, one.offset() or 0, one.key() or b"", one.value() or b"")
                for one in messages_of(self.kafka.client(), name)
            )
            for name in [*topics, self.invoices, self.orders]
        }
        return {"commits": committed(self.admin, group), "logs": logs}

    def end(self) -> None:
        """End what still runs."""
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.communicate()


def ended(process: subprocess.Popen[str], code: int = 0) -> tuple[Any, str]:
    """Wait for the end of *process*; give what it printed and told."""
    out, told = process.communicate(timeout=120)
    assert process.returncode == code, f"it ended with {process.returncode}: {told or out}"
    assert "Traceback" not in told, told
    return json.loads(out) if out.startswith("{") else out, told


def stopped(process: subprocess.Popen[str]) -> tuple[Any, str]:
    """Stop *process* in order, and wait for its end."""
    process.send_signal(signal.SIGTERM)
    return ended(process)


def in_order(lines: Iterable[dict[str, Any]]) -> bool:
    """Say whether the records of each key first ended well in the order in which they were written."""
    seen: dict[str, list[int]] = {}
    for line in lines:
        of_key = seen.setdefault(line["key"], [])
        if line["n"] not in of_key:
            of_key.append(line["n"])
    return all(numbers == sorted(numbers) for numbers in seen.values())


def name_in(told: str) -> str:
    """The shadow group that a command has told of."""
    return told.split("Shadow group ", 1)[1].split(" ", 1)[0]


def until(stand: Stand, count: int) -> None:
    """Wait until so many records have been replayed."""
    eventually(lambda: len(stand.replayed()) >= count)
