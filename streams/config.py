"""Every setting of a member, with its default, its unit and what it trades.

Settings are read once, at the start, from the app, then the environment
(``STREAMS_<NAME>``), then the command line, and checked as a whole: a
`ConfigError` lists every fault at once.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields, replace
from types import NoneType
from typing import Any, Literal, get_args

from streams.errors import ConfigError

Protocol = Literal["auto", "classic", "classic-range", "consumer"]
StartAt = Literal["earliest", "latest"]
OnExpired = Literal["earliest", "latest", "stop"]
OnKeyFull = Literal["stop", "dead_letter"]
Tracing = Literal["off", "on", "all"]

_SECRET = re.compile(r"password|passphrase|secret|token|key\.pem|oauthbearer\.config|jaas", re.IGNORECASE)
_KAFKA_PREFIX = "STREAMS_KAFKA_"
_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:]+\]|[^\s:/]+):\d{1,5}")
_PORTS = 65_535
_SHORTEST_RETENTION_S = 600
_INTERVAL = "max.poll.interval.ms"
_DEFAULT_INTERVAL_S = 300.0
_BESIDE_DRAIN_S = 5.0
"""What else a revoke takes inside a poll: commits that are refused are sent again for 3 s, and a turn comes before."""
_GROUP_NAME = re.compile(r"[A-Za-z0-9._-]{1,120}")

FIXED_CLIENT_SETTINGS = frozenset(
    {
        "enable.auto.commit",
        "enable.auto.offset.store",
        "auto.offset.reset",
        "enable.partition.eof",
        "group.id",
        "group.protocol",
        "partition.assignment.strategy",
        "enable.idempotence",
        "acks",
        "transactional.id",
    },
)
"""Client settings that the promise rests on; nobody may set them."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How one member of a group runs."""

    bootstrap: str = ""
    """Where to find the cluster: ``host:port``, several with commas."""

    group: str = ""
    """The consumer group; chain topics carry its name."""

    kafka: Mapping[str, str] = field(default_factory=dict)
    """Further client settings (security, addresses), in librdkafka's names; what the promise rests on is refused."""

    protocol: Protocol = "auto"
    """Group protocol: ``consumer`` (KIP-848), ``classic`` (cooperative), ``classic-range`` (every rebalance takes all
    partitions back), or whichever broker and members use."""

    instance_id: str | None = None
    """Static membership: the same name after a restart keeps its partitions; unique in the group."""

    start_at: StartAt = "earliest"
    """Where a group without committed offsets begins."""

    on_expired: OnExpired = "earliest"
    """What follows when retention removed records unread: go on at the oldest, at the newest, or stop. After brokers
    lost the end of a log that was read, the first two go on where it was cut off, as far as the client can tell."""

    session_timeout_s: float = 45.0
    """A member that is silent this long loses its partitions; shorter finds dead members sooner, longer bears slower
    networks. Under KIP-848 the broker's own setting for the group counts instead."""

    batch_records: int = 1_000
    """Records a turn of the loop reads at most. More costs less for each; with inline handlers the group is heard only
    after the last of them."""

    max_in_flight: int = 10_000
    """Records admitted and not settled, in all partitions; at the bound intake stops."""

    max_in_flight_bytes: int = 64 * 1024 * 1024
    """Bytes of these records' values; at the bound intake stops."""

    partition_in_flight: int = 5_000
    """Records admitted and not settled in one partition, of several no more than half of `max_in_flight`; at the bound
    its intake stops, others go on."""

    waiting_records: int = 1_000
    """Records of a partition that wait for another attempt or behind one; at the bound its intake stops."""

    fetch_buffer_bytes: int = 32 * 1024 * 1024
    """Bytes the client reads ahead, in all partitions."""

    ledger_limit: int = 2_400
    """Characters of commit metadata at which a partition's intake stops; Kafka's own limit is 4,095."""

    commit_every_s: float = 1.0
    """Seconds between commits; a crash repeats at most what ran since the last one."""

    commit_every_records: int = 100_000
    """Settled records after which a commit is sent early."""

    handler_timeout_s: float = 120.0
    """Seconds a handler may run. On the event loop it is then cancelled and retried; in a thread it keeps its lane and
    is reported."""

    max_deaths: int = 6
    """Times that a record may take its process with it; then it becomes a dead letter without a run. Before that,
    records of its partition run one at a time, to find out which one it is."""

    drain_s: float = 25.0
    """Seconds a stop or a revoke waits for running handlers; what has not ended by then runs again elsewhere."""

    chain_records: int = 1_000_000
    """Records of one partition that wait in its retry and parked topics; at the bound its intake stops.
    Each costs memory, and time when another member takes the partition over."""

    key_records: int = 100_000
    """The same of one key; at the bound `on_key_full` decides."""

    on_key_full: OnKeyFull = "stop"
    """What follows for a key at `key_records`: ``stop`` its partition's intake, and nothing is given up, or write the
    key's further records to the ``dead_letter`` topic unrun, and its partition goes on."""

    chain_history_s: float = 86_400.0
    """Seconds for which records of the chain stay readable after they settled; then they are deleted."""

    chain_retention_s: float = 0.0
    """Seconds for which the topics of the chain keep what is in them, for clusters in which this user may not delete
    records; 0: for ever. What waits is written anew at a third of it, so that it never ages away while a member runs;
    a group that stands still for longer loses what waits. Tiers keep at least four times their delay."""

    status_every_s: float = 5.0
    """Seconds between two reports of a member to ``streams.<group>.status``, from which `streams why` tells what is
    stuck, waits in memory or stands still; 0: none are written, and what members hold shows as due."""

    metrics_port: int | None = None
    """Port of /metrics, /livez and /readyz; 0 takes a free one; None serves none."""

    metrics_host: str = "127.0.0.1"
    """Address of that port."""

    tracing: Tracing = "off"
    """Spans, through OpenTelemetry: ``on``, one for each run of a handler and for what it leads to; ``all``, one for
    each batch that was read and for each commit too. Needs ``streams[otel]`` and a tracer provider; off is free."""

    def checked(self) -> Settings:
        """Give these settings back if nothing is wrong with them.

        Raises:
            ConfigError: With every fault.
        """
        wrong = self._kind_faults()
        found = [*self._named_faults(wrong), *self._number_faults(wrong)]
        if "kafka" not in wrong:
            found += self._client_faults()
            found += self._interval_faults() if "drain_s" not in wrong and _is_in_range(self, "drain_s") else []
        if wrong or found:
            raise ConfigError([*wrong.values(), *found])
        return self

    def _kind_faults(self) -> dict[str, str]:
        """Give what is of the wrong kind, by name; the rest can be looked at."""
        faults = {}
        for spec in fields(self):
            value = getattr(self, spec.name)
            types, words = _KINDS.get(str(spec.type), ((), ""))
            if types and (not isinstance(value, types) or isinstance(value, bool)):
                shown = f"a {type(value).__name__}" if spec.name == "kafka" else repr(value)
                faults[spec.name] = f"{spec.name}: {shown} is not {words}"
        return faults

    def _named_faults(self, wrong: Collection[str]) -> list[str]:
        faults = [] if "bootstrap" in wrong else self._address_faults()
        if "group" not in wrong and not _GROUP_NAME.fullmatch(self.group):
            faults.append(
                f"group: {self.group!r} must be 1 to 120 letters, digits, dots, dashes or underscores,"
                f" as topics are named after it"
            )
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in get_args(choices):
                faults.append(f"{name}: {getattr(self, name)!r} is none of {', '.join(get_args(choices))}")
        return faults

    def _address_faults(self) -> list[str]:
        entries = [entry for part in self.bootstrap.split(",") if (entry := part.strip())]
        if not entries:
            missing = "bootstrap: no broker named; give --bootstrap host:port or STREAMS_BOOTSTRAP"
            return [f"{missing}, or start one with 'streams dev up'"]
        return [
            f"bootstrap: {entry!r} is not of the form host:port"
            for entry in entries
            if not _ADDRESS.fullmatch(entry) or not 1 <= int(entry.rpartition(":")[2]) <= _PORTS
        ]

    def _number_faults(self, wrong: Collection[str]) -> list[str]:
        faults = [
            f"{name}: {getattr(self, name)} must be between {low} and {high}"
            for name, (low, high) in _RANGES.items()
            if name not in wrong and not _is_in_range(self, name)
        ]
        if not {"batch_records", "max_in_flight"} & set(wrong) and self.batch_records > self.max_in_flight:
            faults.append(f"batch_records: {self.batch_records} is more than max_in_flight, {self.max_in_flight}")
        if not {"key_records", "chain_records"} & set(wrong) and self._gives_up_too_late:
            faults.append(
                f"key_records: {self.key_records} is more than chain_records, {self.chain_records}, at which intake"
                f" stops: on_key_full=dead_letter could never act"
            )
        if "chain_retention_s" not in wrong and 0 < self.chain_retention_s < _SHORTEST_RETENTION_S:
            faults.append(
                f"chain_retention_s: {self.chain_retention_s:g} must be 0, for ever, or at least"
                f" {_SHORTEST_RETENTION_S}: what waits has to be written anew in time"
            )
        if "metrics_port" not in wrong and self.metrics_port is not None and not 0 <= self.metrics_port <= _PORTS:
            faults.append(f"metrics_port: {self.metrics_port} must be between 0 and 65535")
        return faults

    @property
    def _gives_up_too_late(self) -> bool:
        return self.on_key_full == "dead_letter" and self.key_records > self.chain_records

    def _client_faults(self) -> list[str]:
        names: Collection[object] = self.kafka
        return [
            *(f"kafka: {name!r} is no name of a client setting" for name in names if not isinstance(name, str)),
            *(
                f"kafka: {name!r} is set by streams, because order and delivery rest on it; remove it"
                for name in sorted(FIXED_CLIENT_SETTINGS & set(self.kafka))
            ),
        ]

    def _interval_faults(self) -> list[str]:
        """Tell a poll interval that a revoke can outlast: it drains and commits inside a single poll."""
        given = self.kafka.get(_INTERVAL)
        if given is None and self.drain_s + _BESIDE_DRAIN_S <= _DEFAULT_INTERVAL_S:
            return []
        try:
            interval_s = _DEFAULT_INTERVAL_S if given is None else int(given) / 1000
        except (TypeError, ValueError):
            return [f"kafka: {_INTERVAL!r}, {given!r}, is not a whole number"]
        least_s = self.drain_s + _BESIDE_DRAIN_S
        if interval_s >= least_s:
            return []
        return [
            (
                f"kafka: {_INTERVAL!r} is {interval_s * 1000:.0f}{' by default' if given is None else ''}, and a revoke"
                f" may take drain_s, {self.drain_s:g} s, and {_BESIDE_DRAIN_S:g} s to commit: past the interval the"
                f" group expels the member, and what it is draining runs a second time beside it. Set it to"
                f" {math.ceil(least_s * 1000)} or more, or a shorter drain_s"
            )
        ]

    def over(self, **values: Any) -> Settings:
        """Give a copy in which every value that is not None replaces its field."""
        return replace(self, **{name: value for name, value in values.items() if value is not None})

    def from_environment(self, environment: Mapping[str, str] = os.environ) -> Settings:
        """Give a copy with what ``STREAMS_<NAME>`` says; ``STREAMS_KAFKA_SASL_PASSWORD`` is ``sasl.password``.

        Raises:
            ConfigError: A number is not one; all of them are listed.
        """
        faults: list[str] = []
        values: dict[str, Any] = {}
        for spec in fields(self):
            text = environment.get(f"STREAMS_{spec.name.upper()}")
            if text is None or spec.name == "kafka":
                continue
            try:
                values[spec.name] = _PARSERS.get(str(spec.type), str)(text)
            except ValueError:
                kind = "a number" if spec.type == "float" else "a whole number"
                faults.append(f"STREAMS_{spec.name.upper()}: {text!r} is not {kind}")
        if faults:
            raise ConfigError(faults)
        kafka = {
            name.removeprefix(_KAFKA_PREFIX).lower().replace("_", "."): value
            for name, value in environment.items()
            if name.startswith(_KAFKA_PREFIX)
        }
        given: Any = self.kafka  # `checked` tells what it should be
        return replace(self, **values, kafka={**given, **kafka} if isinstance(given, Mapping) else given)

    def public(self) -> dict[str, Any]:
        """Give all settings for people and machines to read; secrets are masked."""
        shown = {spec.name: getattr(self, spec.name) for spec in fields(self)}
        shown["kafka"] = _masked(self.kafka)
        return shown

    def __repr__(self) -> str:
        """Show the settings with secrets masked."""
        return f"Settings({', '.join(f'{name}={value!r}' for name, value in self.public().items())})"


def _is_in_range(settings: Settings, name: str) -> bool:
    low, high = _RANGES[name]
    return bool(low <= getattr(settings, name) <= high)


def _masked(client: object) -> Any:
    """Give client settings with secrets masked; what is no mapping, which `checked` tells, may hold some anywhere."""
    if not isinstance(client, Mapping):
        return "***"
    return {name: "***" if _SECRET.search(str(name)) else value for name, value in client.items()}


_PARSERS: dict[str, Any] = {"int": int, "float": float, "int | None": int}

_CHOICES: dict[str, Any] = {
    "protocol": Protocol,
    "start_at": StartAt,
    "on_expired": OnExpired,
    "on_key_full": OnKeyFull,
    "tracing": Tracing,
}

_KINDS: dict[str, tuple[tuple[type, ...], str]] = {
    "str": ((str,), "text"),
    "str | None": ((str, NoneType), "text"),
    "int": ((int,), "a whole number"),
    "int | None": ((int, NoneType), "a whole number"),
    "float": ((int, float), "a number"),
    "Mapping[str, str]": ((Mapping,), "a mapping of the client's names to values"),
}

_RANGES: dict[str, tuple[float, float]] = {
    "session_timeout_s": (1, 1_800),
    "batch_records": (1, 10_000),
    "max_in_flight": (1, 1_000_000),
    "max_in_flight_bytes": (1024, 2**34),
    "partition_in_flight": (1, 1_000_000),
    "waiting_records": (1, 2_000),
    "fetch_buffer_bytes": (1024, 2**31),
    "ledger_limit": (200, 3_500),
    "commit_every_s": (0.05, 60),
    "commit_every_records": (1, 10_000_000),
    "handler_timeout_s": (0.01, 86_400),
    "max_deaths": (3, 1_000),
    "drain_s": (0, 3_600),
    "chain_records": (1, 100_000_000),
    "key_records": (1, 100_000_000),
    "chain_history_s": (0, 31_536_000),
    "chain_retention_s": (0, 315_360_000),
    "status_every_s": (0, 3_600),
}
