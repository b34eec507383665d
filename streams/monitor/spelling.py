"""How spans of time are said to people."""

from __future__ import annotations


def age(seconds: float | None) -> str:
    """Give a span as a person says it."""
    if seconds is None:
        return "-"
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"
