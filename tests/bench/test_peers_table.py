"""The table of frameworks: the fastest first, each with what was seen of its promise."""

from __future__ import annotations

from benchmarks.peers.catalog import OURS, PEERS
from benchmarks.peers.journal import Loss, Order
from benchmarks.peers.promise import KeptOrder, Survival
from benchmarks.peers.race import Speeds
from benchmarks.peers.table import Seen, machine_rows, markdown, order_text, rows_of, standings
from streams.bench.figures import Figures

IN_ORDER = Order(10, 0, [])
DISORDER = Order(2, 8, ["a number 1 began where number 0 was due"])
KEPT = KeptOrder(IN_ORDER, DISORDER, 10)
SEEN = Seen(KEPT, Survival(Loss(3_000, 2, 40), 16))
AIOKAFKA, FASTSTREAM = PEERS[:2]


def figures(ratio: float) -> Figures:
    """Give figures of a run at *ratio*."""
    return Figures(ratio * 1_000_000, ratio, ratio, ratio, 1.5, 0.5, 0)


def test_rows_of_a_handler_are_sorted_by_ratio() -> None:
    """Each handler's rows stand together, the nearest to the bare loop first, ours among them."""
    speeds: Speeds = {
        ("noop", AIOKAFKA.name): figures(0.25),
        ("noop", OURS[0].name): figures(0.75),
        ("json", FASTSTREAM.name): figures(0.5),
        ("json", AIOKAFKA.name): figures(0.9),
    }

    rows = rows_of(speeds, dict.fromkeys((AIOKAFKA, FASTSTREAM, OURS[0]), SEEN))

    assert [(row.handler, row.peer.name) for row in rows] == [
        ("noop", "streams, inline"),
        ("noop", "aiokafka"),
        ("json", "aiokafka"),
        ("json", "faststream"),
    ]


def test_others_stand_beside_ours_of_their_kind() -> None:
    """What goes one at a time beside inline, what goes side by side beside the best of ours; no mode is hidden."""
    inline, threads, asyncio, _ = OURS
    java = PEERS[-1]
    speeds: Speeds = {
        ("json", AIOKAFKA.name): figures(0.25),
        ("json", inline.name): figures(0.75),
        ("json", threads.name): figures(0.5),
        ("json", asyncio.name): figures(0.125),
        ("json", java.name): figures(0.05),
    }

    said = standings(rows_of(speeds, dict.fromkeys((AIOKAFKA, java, inline, threads, asyncio), SEEN)))

    assert said == [
        "json: streams, inline handles 3.0 times as many records as aiokafka; BEHIND it: streams, asyncio",
        "json: streams, threads handles 10.0 times as many records as parallel-consumer",
    ]


def test_a_line_has_the_figures_and_the_promise() -> None:
    """Beside the speed stand the order, what was lost, what came again, and the settings."""
    line = markdown(rows_of({("noop", AIOKAFKA.name): figures(0.25)}, {AIOKAFKA: SEEN})).splitlines()[-1]

    assert line.startswith("| noop | aiokafka | 0.2500 | 0.2500-0.2500 | 250,000 | 1.5 | by partition, one at a time |")
    assert "| yes, 10 records | 16 | 2 of 3,000 | 40 | at least once: enable_auto_commit=False" in line


def test_broken_order_is_told() -> None:
    """A check that found violations says how many."""
    assert order_text(KeptOrder(DISORDER, DISORDER, 10)) == "NO, 8 violations"


def test_records_that_came_twice_or_not_at_all_are_no_kept_order() -> None:
    """Order is kept only if every record was seen once."""
    assert not KeptOrder(Order(9, 0, []), DISORDER, 10).is_kept


def test_a_blind_check_shows_nothing() -> None:
    """Where the negative control passes too, no order is claimed."""
    assert order_text(KeptOrder(IN_ORDER, IN_ORDER, 10)).startswith("not shown")


def test_what_could_not_be_shown_says_why() -> None:
    """A run that failed leaves its reason in the table, and no figure."""
    seen = Seen("it ended with 1", "nothing was committed")
    line = markdown(rows_of({("noop", AIOKAFKA.name): figures(0.25)}, {AIOKAFKA: seen})).splitlines()[-1]

    assert "| not shown: it ended with 1 |  | not shown: nothing was committed |  |" in line


def test_machines_get_the_same() -> None:
    """Figures, order and losses by name."""
    (row,) = machine_rows(rows_of({("noop", AIOKAFKA.name): figures(0.25)}, {AIOKAFKA: SEEN}))

    assert row["ratio"] == 0.25
    assert row["order"]["is_kept"]
    assert row["kill"] == {"records": 3_000, "lost": 2, "again": 40, "at_once": 16}
