"""Where a replay goes to: a place in each partition, or a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from streams.engine.standing import Progress
from streams.errors import ConfigError, UsageError
from streams.kafka.admin import Admin
from streams.kafka.offsets import offsets_at
from streams.record import Partition
from streams.retry import seconds


@dataclass(frozen=True, slots=True)
class Target:
    """What was asked for."""

    kind: Literal["beginning", "end", "offset", "offsets", "time", "by"]
    value: int = 0
    """The offset; the time in ms since 1970-01-01 UTC; how many offsets on from where a partition stands, or back."""
    offsets: Mapping[int, int] = field(default_factory=dict)
    """Of ``offsets``: where each of these partitions goes."""

    def wishes(self, admin: Admin, progress: Iterable[Progress]) -> dict[Partition, int]:
        """Give the offset that it means in each partition."""
        concerned = {one.partition: one for one in progress}
        if self.kind == "time":
            return offsets_at(admin, concerned, self.value)
        if self.kind == "offset":
            return dict.fromkeys(concerned, self.value)
        if self.kind == "offsets":
            return {place: self.offsets[place.number] for place in concerned}
        if self.kind == "by":
            return {place: max(one.low, one.start + self.value) for place, one in concerned.items()}
        return {place: one.low if self.kind == "beginning" else one.end for place, one in concerned.items()}


def parse_time(text: str, now_s: float) -> int:
    """Read a time: ISO 8601, UTC where it names no zone, or how long ago: ``-1h``.

    Gives milliseconds since 1970-01-01 UTC.

    Raises:
        UsageError: It is neither.
    """
    try:
        if text.startswith("-"):
            return int((now_s - seconds(text[1:])) * 1000)
        moment = datetime.fromisoformat(text)
    except (ValueError, ConfigError) as error:
        raise UsageError(
            f"{text!r} is no time: give ISO 8601 such as 2025-11-03T07:00:00Z, or how long ago: -90m, -1h, -2d",
        ) from error
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
