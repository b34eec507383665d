"""Feeding a topic: entries in, at a pace, bad ones kept aside or the end."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final, Self, TypeAlias

import click

from streams.cli.lines import Entry
from streams.errors import UsageError
from streams.kafka.bulk import BulkSender
from streams.record import Headers

HeadersOf: TypeAlias = Callable[[bytes | None], Headers]

_LOOK_EVERY: Final = 512
_SHOW_EVERY_S: Final = 0.5
_FAULTS_SHOWN: Final = 20
_RATE: Final = re.compile(r"(\d+(?:\.\d+)?)(k?)(?:/s)?")


class Rejects:
    """The file that bad lines are kept in, as they stand; it is added to, never overwritten."""

    def __init__(self, path: Path | None) -> None:
        """Keep them in *path*; None keeps none."""
        self.path = path
        self.count = 0
        self._file: BinaryIO | None = None

    def keep(self, raw: bytes, header: Callable[[], bytes]) -> None:
        """Add one bad line; a new file begins with *header*.

        Raises:
            UsageError: The file can't be written.
        """
        try:
            if self._file is None:
                self._file = self._open(header())
            self._file.write(raw if raw.endswith(b"\n") else raw + b"\n")
        except OSError as error:
            raise UsageError(f"--rejects {self.path}: can't be written: {error.strerror}") from error
        self.count += 1

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def _open(self, header: bytes) -> BinaryIO:
        if self.path is None:
            raise UsageError("there is no file for bad lines")
        file = self.path.open("ab")
        if file.tell() == 0:
            file.write(header)
        return file


@dataclass
class Pace:
    """How fast records may go."""

    per_s: float | None = None
    began: float = field(default_factory=time.monotonic)

    @classmethod
    def parse(cls, text: str | None) -> Self:
        """Read ``500``, ``500/s`` or ``10k/s``.

        Raises:
            UsageError: It is none of these, or nothing.
        """
        if text is None:
            return cls()
        match = _RATE.fullmatch(text)
        per_s = float(match[1]) * (1000 if match[2] else 1) if match else 0
        if per_s <= 0:
            raise UsageError(f"--rate {text!r} is not of the form 500, 500/s or 10k/s")
        return cls(per_s)

    @property
    def look_every(self) -> int:
        """After how many records to look at the clock."""
        return _LOOK_EVERY if self.per_s is None else int(max(1, min(_LOOK_EVERY, self.per_s / 50)))

    def ahead_s(self, sent: int) -> float:
        """Say how many seconds too early *sent* records are."""
        return 0 if self.per_s is None else sent / self.per_s - (time.monotonic() - self.began)


class Progress:
    """One line on standard error that keeps changing, for a person who watches."""

    def __init__(self) -> None:
        """Show nothing where nobody watches."""
        self._is_shown = sys.stderr.isatty()
        self._began = self._last = time.monotonic()

    def show(self, sender: BulkSender) -> None:
        """Show where *sender* is, at most twice a second."""
        now = time.monotonic()
        if not self._is_shown or now - self._last < _SHOW_EVERY_S:
            return
        self._last = now
        done = sender.acknowledged.total()
        rate = done / (now - self._began)
        click.echo(f"\r{done:,} acknowledged, {sender.outstanding:,} under way, {rate:,.0f}/s   ", nl=False, err=True)

    def clear(self) -> None:
        """Take the line away."""
        if self._is_shown:
            click.echo("\r\033[K", nl=False, err=True)


@dataclass
class Feed:
    """One run of `streams produce`.

    Always true: `stopped_at` is "" or says in words where and why the run
    ended before its input did.
    """

    sender: BulkSender
    rejects: Rejects
    pace: Pace
    name: str
    """Of the input, for the text of faults."""
    header: Callable[[], bytes]
    headers_of: HeadersOf | None = None
    limit: int | None = None
    faults: list[str] = field(default_factory=list)
    """The first bad lines, in words."""
    stopped_at: str = ""
    sent: int = 0
    line: int = 0

    def run(self, entries: Iterator[Entry]) -> None:
        """Send what *entries* hold; ends at the limit, or where going on makes no sense."""
        progress, send, headers_of, every = Progress(), self.sender.send, self.headers_of, self.pace.look_every
        for number, raw, value, key, wrong in entries:
            if self.sent == self.limit:
                break
            self.line = number
            fault = wrong or send(number, key, value, headers_of(key) if headers_of else None)
            if fault:
                self._bad(number, raw, fault)
            else:
                self.sent += 1
                if not self.sent % every:
                    self._look(progress)
            if self.stopped_at:
                break
        progress.clear()

    def settle_failures(self) -> None:
        """Put into words what the broker refused, and keep it aside where bad lines are kept."""
        for failed in self.sender.failed:
            kept = failed.is_certain and self.rejects.path is not None
            if kept:
                self.rejects.keep(failed.value, bytes)
            fate = "refused" if failed.is_certain else "its fate is unknown: the broker may have it"
            self._note(f"{self.name}:{failed.number}: {fate} ({failed.reason})")

    def _bad(self, number: int, raw: bytes, fault: str) -> None:
        text = f"{self.name}:{number}: {fault}"
        self._note(text)
        if self.rejects.path is None:
            self.stopped_at = text
        else:
            self.rejects.keep(raw, self.header)

    def _look(self, progress: Progress) -> None:
        progress.show(self.sender)
        if (ahead_s := self.pace.ahead_s(self.sent)) > 0:
            self.sender.wait(ahead_s)
        failed = self.sender.failed
        if failed and (self.rejects.path is None or not all(one.is_certain for one in failed)):
            self.stopped_at = f"{self.name}:{failed[0].number}: not acknowledged ({failed[0].reason})"

    def _note(self, text: str) -> None:
        if len(self.faults) < _FAULTS_SHOWN:
            self.faults.append(text)
