"""How times, spans and bytes are written for people, wherever they are shown."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any


def time_of(timestamp_ms: int) -> str | None:
    """Give a Kafka timestamp as ISO 8601 in UTC; None where there is none."""
    if timestamp_ms < 0:
        return None
    return datetime.fromtimestamp(timestamp_ms / 1000, tz=UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def age(seconds: float | None) -> str:
    """Give a span as a person says it."""
    if seconds is None:
        return "-"
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def readable(data: bytes | None) -> Any:
    """Give *data* as text where it is UTF-8, else as ``hex:...``; None stays None."""
    if data is None:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return f"hex:{data.hex()}"
