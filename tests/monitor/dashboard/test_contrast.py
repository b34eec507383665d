"""The colours of the pages: each text can be read on what it stands on, in light and in dark (WCAG 2.2, AA)."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

CSS = (files("streams.monitor.dashboard") / "static" / "style.css").read_text()
TEXT, SHAPE = 4.5, 3.0
"""Ratios that texts, and shapes that mean something, have to reach."""

PAIRS = [
    *((text, ground, TEXT) for text in ("text", "muted", "link", "bad") for ground in ("bg", "panel")),
    *((name, f"{name}-bg", TEXT) for name in ("bad", "warn", "good", "quiet")),
    *((text, "quiet-bg", TEXT) for text in ("text", "link", "muted")),
    ("on-accent", "accent", TEXT),
    ("panel", "bad", TEXT),
    *((shape, ground, SHAPE) for shape in ("chart1", "chart2", "edge", "accent") for ground in ("bg", "panel")),
    *(("warn" if shape == "warn" else shape, "panel", SHAPE) for shape in ("warn", "good")),
]


def colours(css: str) -> dict[str, dict[str, str]]:
    """The variables of *css*, of light and of dark."""
    light, dark = re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    return {
        name: dict(re.findall(r"--([a-z0-9-]+): (#[0-9a-f]{6});", part))
        for name, part in (("light", light), ("dark", dark))
    }


def luminance(colour: str) -> float:
    """How bright *colour* is."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """The ratio of two colours."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("front", "ground", "least"), PAIRS)
def test_what_is_written_can_be_read(scheme: str, front: str, ground: str, least: float) -> None:
    """Every colour on every ground that it stands on."""
    known = colours(CSS)[scheme]

    assert contrast(known[front], known[ground]) >= least, f"{front} on {ground}"


def test_a_pale_colour_would_be_found() -> None:
    """The ratio is that of the standard, and grey on white fails."""
    assert contrast("#000000", "#ffffff") == pytest.approx(21.0)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)
    assert contrast("#9a9a9a", "#ffffff") < TEXT


def test_no_colour_stands_outside_the_variables() -> None:
    """And dark has each one that light has."""
    known = colours(CSS)
    rest = re.sub(r":root \{.*?\}", "", CSS, flags=re.DOTALL)

    assert known["light"].keys() == known["dark"].keys()
    assert not re.search(r"#[0-9a-fA-F]{3,8}\b|rgb\(|hsl\(", rest)
