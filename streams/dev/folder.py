"""The data folder of a development cluster, and the roster of who runs in it.

Everything a cluster leaves on disk is here: each broker's records, settings
and log, and `cluster.json`, the roster.  Any process that knows the folder
can find the cluster, look after it and end it.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from streams.dev.process import Process
from streams.errors import UsageError


@dataclass(frozen=True, slots=True)
class Member:
    """One broker as the roster knows it."""

    node: int

    port: int

    controller_port: int

    process: Process | None = None
    """The process that it ran in last; None before its first start."""

    proxy_port: int = 0
    """Where somebody's proxy stands before it; 0 where none does."""

    proxied_port: int = 0
    """Where it listens for that proxy, and sends its clients back to `proxy_port`."""

    @property
    def ports(self) -> tuple[int, ...]:
        """The ports that it listens on."""
        return tuple(port for port in (self.port, self.controller_port, self.proxied_port) if port)

    @property
    def is_running(self) -> bool:
        """Whether its process runs."""
        return self.process is not None and self.process.is_running


@dataclass(frozen=True, slots=True)
class Roster:
    """What a data folder holds, and which processes run in it."""

    cluster_id: str

    brokers: tuple[Member, ...]

    guard: Process | None = None
    """Ends the brokers when the process they were started for is gone."""

    def member(self, node: int) -> Member:
        """The broker *node*."""
        return next(one for one in self.brokers if one.node == node)

    def with_member(self, member: Member) -> Roster:
        """The roster with *member* in the place of its node."""
        return replace(self, brokers=tuple(member if one.node == member.node else one for one in self.brokers))


def default_folder() -> Path:
    """Where the cluster of this user lives: `XDG_STATE_HOME`, or `.local/state` at home."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "streams" / "dev"


def new_cluster_id() -> str:
    """A random id in Kafka's form: 22 characters of URL-safe base64; its tool takes a leading dash for an option."""
    while (drawn := base64.urlsafe_b64encode(uuid.uuid4().bytes)[:22].decode()).startswith("-"):
        pass
    return drawn


@dataclass(frozen=True, slots=True)
class DataFolder:
    """One cluster's folder.

    Always true:

    * Nothing in a folder that is not ours is changed or removed.
    * `roster` gives a whole roster or none: it is replaced in one step.
    """

    path: Path

    @property
    def roster_file(self) -> Path:
        """Where `roster` and `write` keep it."""
        return self.path / "cluster.json"

    def node(self, number: int) -> Path:
        """The folder of one broker."""
        return self.path / f"node-{number}"

    def log(self, number: int) -> Path:
        """The log of one broker."""
        return self.node(number) / "broker.log"

    def output(self, number: int) -> Path:
        """What the process of one broker printed."""
        return self.node(number) / "output.log"

    def put_log_aside(self, number: int) -> None:
        """Keep the log of a broker's last run beside that of the one to come."""
        log = self.log(number)
        if log.exists():
            log.replace(log.with_suffix(".log.1"))

    def prepare(self) -> None:
        """Make the folder, or see that it is ours.

        Raises:
            UsageError: Somebody else's files are in it, or Kafka could not name it.
            OSError: It can't be made.
        """
        if "," in str(self.path):
            raise UsageError(
                f"Kafka takes {self.path} for two folders, because of the comma. Nothing was changed. "
                "Name another with --data."
            )
        self.path.mkdir(parents=True, exist_ok=True)
        if not self._lock.exists() and (strangers := [found.name for found in self.path.iterdir()]):
            raise UsageError(
                f"{self.path} holds files that are not of a development cluster ({min(strangers)}). "
                "Nothing was changed. Name an empty folder with --data."
            )
        self._lock.touch()

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder, so that only one process at a time starts or ends its cluster."""
        with self._lock.open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def roster(self) -> Roster | None:
        """Who runs here; None when no cluster was ever started.

        Raises:
            UsageError: The roster can't be read.
        """
        try:
            return _roster(json.loads(self.roster_file.read_text()))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (ValueError, KeyError, TypeError) as failure:
            raise UsageError(
                f"{self.roster_file} is not what was written there ({failure!r}); nothing was changed. "
                f"Remove the folder {self.path}, its records with it, and start anew."
            ) from failure

    def write(self, roster: Roster) -> None:
        """Note who runs here."""
        draft = self.roster_file.with_suffix(f".{os.getpid()}")
        draft.write_text(json.dumps(asdict(roster), indent=2))
        draft.replace(self.roster_file)

    def clear(self) -> None:
        """Remove the records, the logs and the roster, and nothing else."""
        for node in self.path.glob("node-*"):
            shutil.rmtree(node)
        self.roster_file.unlink(missing_ok=True)

    @property
    def _lock(self) -> Path:
        """Held by who starts or ends the cluster; its presence marks the folder as ours."""
        return self.path / "cluster.lock"


def _roster(noted: dict[str, Any]) -> Roster:
    brokers = tuple(Member(**one | {"process": _process(one["process"])}) for one in noted["brokers"])
    return Roster(noted["cluster_id"], brokers, _process(noted["guard"]))


def _process(noted: dict[str, Any] | None) -> Process | None:
    return Process(**noted) if noted else None
