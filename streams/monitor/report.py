"""What a member reports of itself to its group's status topic, and how these reports are read.

A report says what the broker can't know: what runs and for how long, what
waits in memory, which routes stand still.  The topic is compacted: the last
report of each member stays there for a day after the member has died, and one
that leaves in order takes its own away.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from streams.engine.command import status_topic
from streams.errors import RightsError
from streams.kafka.admin import Admin
from streams.kafka.offsets import watermarks
from streams.kafka.reader import Stretch, read
from streams.kafka.shape import NewTopic
from streams.kafka.topics import create_topics, find_topics
from streams.record import Partition

VERSION: Final = 1
MOST_TROUBLED: Final = 200
MOST_FAILING: Final = 20
"""Partitions that one report tells of."""
_MOST_READ: Final = 5_000
"""Reports that are read back from the end of the topic."""
_SILENT_AFTER: Final = 3
"""A member that has missed so many reports is silent."""
_TOPIC: Final = {
    "cleanup.policy": "compact,delete",
    "retention.ms": str(86_400_000),
    "segment.ms": str(3_600_000),
    "segment.bytes": str(16 * 1024 * 1024),
    "max.message.bytes": str(1024 * 1024),
}


class Running(msgspec.Struct, frozen=True, array_like=True):
    """A handler run that is under way."""

    topic: str
    partition: int
    offset: int
    """Of its record; of several in one call the first."""
    records: int
    since_ms: int
    """When it began, ms since 1970-01-01 UTC."""
    timeout_s: float

    def is_stuck(self, now_ms: int) -> bool:
        """Say whether it has run past its time."""
        return now_ms - self.since_ms > self.timeout_s * 1000


class Held(msgspec.Struct, frozen=True, array_like=True):
    """A record that waits in memory for its next attempt."""

    topic: str
    partition: int
    offset: int
    attempts: int
    due_ms: int
    error: str


class Troubled(msgspec.Struct, frozen=True, array_like=True):
    """A partition of which something does not simply run."""

    topic: str
    partition: int
    paused: str
    """Why its intake stands still, a `PauseReason`; empty while it does not."""
    retrying: int
    """Records that wait in memory for another attempt."""
    behind: int
    """Records in memory behind one of their key."""
    keys: int
    """Keys of which a record stands in the chain."""
    blocked: int
    """Keys that stand still until an operator decides."""


class Circuit(msgspec.Struct, frozen=True, array_like=True):
    """Something for which routes stand still."""

    kind: str
    """``breaker`` or ``guard``."""
    name: str
    """The dependency, or the topic."""
    state: str
    why: str


class Failing(msgspec.Struct, frozen=True, array_like=True):
    """What runs of a topic have failed of lately, one kind of error."""

    topic: str
    error: str
    """Its class."""
    message: str
    """The last one's."""
    runs: int
    """How many, since the first."""
    first_ms: int
    last_ms: int


class Work(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a member has to do, and can; None where it does not know yet."""

    load: float | None = None
    """In replicas: ``streams_scale_load``."""
    due: int = 0
    """Records that could run now."""
    arrivals_per_s: float | None = None
    """Records that become due a second, retries included."""
    service_per_s: float | None = None
    """Records that it ends in a second in which it has work."""
    busy: float | None = None
    """Share of its time in which it has work, 0 to 1."""
    run_s: float | None = None
    """A handler's run takes so long, in the mean."""
    startup_s: float | None = None
    """From the start of the program until it had its first partitions."""
    key_s: float | None = None
    """What is due of one key takes so long at least: its records run one after the other."""


class Report(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How one member stands."""

    version: int = VERSION
    member: str
    """The name that the group's coordinator has for it."""
    host: str = ""
    pid: int = 0
    release: str = ""
    """Of this package."""
    started_ms: int = 0
    time_ms: int
    """When it was written."""
    every_s: float
    """When the next one follows."""
    is_stopping: bool = False
    partitions: int = 0
    """How many it owns."""
    running: int = 0
    capacity: int = 0
    outstanding: int = 0
    """Records in memory."""
    outstanding_bytes: int = 0
    stuck: int = 0
    troubled: tuple[Troubled, ...] = ()
    """At most `MOST_TROUBLED`."""
    runs: tuple[Running, ...] = ()
    """The oldest."""
    held: tuple[Held, ...] = ()
    """The next ones of each partition."""
    directives: int = 0
    """Directives below this offset of their topic are followed."""
    circuits: tuple[Circuit, ...] = ()
    """Those that are not closed."""
    failing: tuple[Failing, ...] = ()
    """The most frequent; of errors that have not come for a minute nothing is said."""
    work: Work | None = None
    """None from members of a release that does not tell it."""

    def pack(self) -> bytes:
        """Give the record's value."""
        return msgspec.json.encode(self)

    @property
    def name(self) -> str:
        """Name the member as a person can tell it from others."""
        return f"{self.member[:8]} ({self.host}, pid {self.pid})"

    def is_silent(self, now_ms: int) -> bool:
        """Say whether reports are missing: it hangs, is cut off, or is gone."""
        return now_ms - self.time_ms > _SILENT_AFTER * max(1.0, self.every_s) * 1000


_decode = msgspec.json.Decoder(Report).decode


def make_status_topic(admin: Admin, group: str) -> None:
    """Make the status topic of *group* where it is missing.

    Raises:
        TopicError: This user may not, or nobody may.
    """
    name = status_topic(group)
    if name not in find_topics(admin, [name]):
        create_topics(admin, [NewTopic(name, 1, -1, _TOPIC)], may_exist=True)


def reports(admin: Admin, group: str) -> Mapping[str, Report]:
    """Give the last report of each member of *group* that has not left, by the member's name at the coordinator.

    None where the group has no status topic, this user may not look at it, or no member has reported for a
    day.  Of what the topic holds the last 5,000 records are read.

    Raises:
        BrokerError: The broker does not answer.
    """
    place = Partition(status_topic(group), 0)
    try:
        if place.topic not in find_topics(admin, [place.topic]):
            return {}
    except RightsError:
        return {}
    mark = watermarks(admin, [place])[place]
    found: dict[str, Report] = {}
    for message in read(admin.settings, {place: Stretch(max(mark.low, mark.high - _MOST_READ), mark.high)}):
        key = (message.key() or b"").decode(errors="replace")
        report = _report(message.value())
        if report is None:
            found.pop(key, None)
        else:
            found[key] = report
    return {report.member: report for report in sorted(found.values(), key=lambda one: one.time_ms)}


def in_hand(told: Mapping[str, Report], place: Partition, offset: int) -> tuple[Report, Running | Held] | None:
    """Give who said last that the record at *offset* of *place* runs, or waits in memory; None where nobody did.

    Of records that run in one call the first is known, and of many that wait the next ones.
    """
    found: tuple[Report, Running | Held] | None = None
    for report in told.values():
        hands: tuple[Running | Held, ...] = (*report.runs, *report.held)
        for one in hands:
            is_it = (one.topic, one.partition, one.offset) == (*place, offset)
            if is_it and (found is None or report.time_ms > found[0].time_ms):
                found = report, one
    return found


def _report(value: bytes | None) -> Report | None:
    """Read one; None where it was taken away, or where this program does not know its form."""
    try:
        report = _decode(value) if value else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return report if report is None or report.version == VERSION else None
