"""Three views of what was measured: tables, a plot, and JSON that gives the others again."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import orjson
import pytest
from msgspec.structs import replace

from streams.bench.latency import Latency
from streams.bench.plot import plot
from streams.bench.processes import Scaling
from streams.bench.report import Conditions, OrderKept, Report, Run, as_document, read_report
from streams.errors import UsageError
from tests.cli.shell import Shell

USUAL = Conditions(keys="zipf", size=300, order="park", failures=0)
EVEN = Conditions(keys="uniform", size=300, order="park", failures=0)
RARE = Conditions(keys="uniform", size=2_048, order="unordered", failures=1)
SVG = "{http://www.w3.org/2000/svg}"


def run(mode: str = "threads", **more: Any) -> Run:
    """One row."""
    figures: dict[str, Any] = {
        "handler": "noop",
        "conditions": USUAL,
        "records": 1_000,
        "rate": 400_000.0,
        "ratio": 0.4,
        "lowest": 0.35,
        "highest": 0.45,
        "bound": None,
        "cpu_us": 2.5,
        "cpu_ratio": 0.5,
        "cores": 1.0,
        "resident_bytes": 100 * 2**20,
    }
    return Run(mode=mode, **{**figures, **more})


WAITS = run("asyncio", handler="wait5", conditions=EVEN, bound=200_000.0, ratio=0.6, lowest=0.5, highest=0.7)
KEPT = OrderKept(
    mode="threads",
    conditions=USUAL,
    is_kept=True,
    is_seen=True,
    checked=1_000,
    keys=500,
    violations=0,
    violations_of_broken_engine=12,
    examples=[],
)
REPORT = Report(
    partitions=12,
    repeat=3,
    runs=[run("control", ratio=1.0), run(), run("control", handler="wait5"), WAITS],
    order=[KEPT],
    latency=[Latency(mode=None, per_s=20_000, rate=19_000.0, records=5, p50_ms=1, p99_ms=2, worst_ms=3, cpu_us=9)],
    processes=[Scaling(processes=2, records=9, alone=100, rate=180, ratio=1.8, lowest=1.7, highest=1.9)],
)


def test_a_run_is_called_by_what_differs_from_the_usual() -> None:
    """Zipf keys, 300 bytes, order by key and no failures go without saying."""
    assert run().label == "threads, noop"
    assert run(conditions=RARE).label == "threads, noop, uniform keys, 2,048 bytes, no order, 1 % fail"


def test_a_wait_that_misses_its_bound_says_what_holds_it() -> None:
    """A busy core, or something else; a run that is near its bound, or has none, says nothing."""
    assert WAITS.held_by == "CPU-bound"
    assert run(bound=100.0, ratio=0.5, cores=0.3).held_by == "neither its waits nor a core: 0.30 cores busy"
    assert run(bound=100.0, ratio=0.95).held_by == ""
    assert run().held_by == ""


@pytest.mark.parametrize(
    ("rate", "words"), [(1_010.0, ""), (1_500.0, ""), (800.0, "at 800/s"), (2_000.0, "the reader had not started")]
)
def test_a_latency_that_is_none_says_so(rate: float, words: str) -> None:
    """Fewer records than were meant, or a reader that found them all waiting for it, and the figures mean less."""
    one = Latency(mode=None, per_s=1_000, rate=rate, records=5_000, p50_ms=1, p99_ms=2, worst_ms=3, cpu_us=9)

    assert words in one.remark
    assert bool(one.remark) == bool(words)


def test_a_report_comes_back_from_its_json_as_it_was() -> None:
    """What ``--json`` printed is all there is to know of a run."""
    assert read_report(orjson.dumps(as_document(REPORT)), "bench.json") == REPORT


def test_other_json_is_refused_by_name() -> None:
    """A file of something else is told apart from a report, with its name."""
    for data in (b"{}", b"nothing", b"\xff"):
        with pytest.raises(UsageError, match=r"other\.json is no report"):
            read_report(data, "other.json")


def test_a_report_is_sound_if_order_was_kept_and_a_broken_engine_seen() -> None:
    """A check that reports nothing of a broken engine proves nothing."""
    assert REPORT.is_sound
    for what in ("is_kept", "is_seen"):
        broken = orjson.loads(orjson.dumps(as_document(REPORT)))
        broken["order"][0][what] = False
        assert not read_report(orjson.dumps(broken), "bench.json").is_sound


def test_the_plot_has_a_bar_for_each_ratio_as_long_as_it_is() -> None:
    """Runs, waits and processes have a bar each, the controls none; twice the ratio is twice the length."""
    drawing = ET.fromstring(plot(REPORT))  # noqa: S314  # our own text
    bars = [one for one in drawing.iter(f"{SVG}rect") if one.get("y") != "34"]
    widths = [float(one.get("width", "")) for one in bars]

    assert [one.get("class") for one in bars] == ["control", "bound", "processes"]
    assert widths[1] / widths[0] == pytest.approx(0.6 / 0.4, rel=0.01)
    assert widths[2] / widths[0] == pytest.approx(1.8 / 0.4, rel=0.01)


def test_the_plot_is_read_in_light_and_dark_and_in_words() -> None:
    """Every bar has its name and value as text, and there are colours for both."""
    drawing = plot(REPORT)
    said = [one.text for one in ET.fromstring(drawing).iter(f"{SVG}text")]  # noqa: S314  # our own text

    assert {"threads, noop", "0.40", "asyncio, wait5, uniform keys", "0.60 CPU-bound", "1.80"} <= set(said)
    assert "prefers-color-scheme: dark" in drawing


def test_nothing_of_a_plot_lies_outside_of_it() -> None:
    """A ratio above 1 makes the scale longer, not the picture."""
    drawing = ET.fromstring(plot(REPORT))  # noqa: S314  # our own text
    width = float(drawing.get("width", ""))

    assert all(float(one.get("x2", "")) < width for one in drawing.iter(f"{SVG}line"))


def test_a_long_name_has_room() -> None:
    """Names stand left of the bars and end there; the longest one says where the bars begin."""
    short, long = (bars_begin(plot(replace(REPORT, runs=[run(conditions=one)]))) for one in (USUAL, RARE))

    assert short < long
    assert long > 6 * len(run(conditions=RARE).label)


def bars_begin(drawing: str) -> float:
    """Where the first bar begins."""
    return min(float(one.get("x", "")) for one in ET.fromstring(drawing).iter(f"{SVG}rect") if one.get("y") != "34")  # noqa: S314  # our own text


def test_a_plot_of_nothing_is_a_plot() -> None:
    """A report without runs is drawn without bars."""
    empty = Report(partitions=1, repeat=1, runs=[], order=[], latency=[], processes=[])

    assert ET.fromstring(plot(empty)).tag == f"{SVG}svg"  # noqa: S314  # our own text


# -- as a command ------------------------------------------------------------------------------------


@pytest.fixture
def shell() -> Shell:
    """A shell without any broker."""
    return Shell("127.0.0.1:1")


def test_a_report_is_shown_and_drawn_again_without_a_broker(shell: Shell, tmp_path: Path) -> None:
    """Tables, JSON and plot come from a file as they came from the run."""
    file, drawing = tmp_path / "bench.json", tmp_path / "bench.svg"
    file.write_bytes(orjson.dumps(as_document(REPORT)))

    said = shell("bench", "--from", str(file), "--plot", str(drawing))

    assert drawing.read_text() == plot(REPORT)
    for words in ("asyncio, wait5, uniform keys", "200,000", "CPU-bound", "kept", "20,000", "1.80", "1.7 or more"):
        assert words in said.out
    assert shell("bench", "--json", "--from", str(file)).json == as_document(REPORT)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--handlers wait1 --modes inline,batch", "wait1 runs in threads, asyncio only"),
        ("--handlers noop --failures 1", "it needs --handlers json"),
        ("--handlers sleep", "'sleep' is none of noop, json, wait1"),
        ("--rates fast", "'fast' is no list of numbers"),
        ("--rates 0", "at least 1 record a second"),
        ("--from /there/is/none.json", "can't be read: No such file"),
    ],
)
def test_what_can_not_be_meant_is_refused_before_anything_starts(shell: Shell, line: str, words: str) -> None:
    """A bench takes minutes: it says at once what it would not do."""
    assert words in shell(f"bench {line}", code=2).err
