"""The referee's eyes: what the engine writes into commits and headers is what it reads there."""

from __future__ import annotations

import pytest

from examples.demo.chain import Chain, Copy, Kind, Ledger, Place, copy_of, kind_of, ledger
from examples.demo.plight import plight_of
from streams.engine.chain import CopyHeader, ErrorHeader, copy_headers, dlq_topic, new_header, parked_topic, retry_topic
from streams.engine.snapshot import METADATA_LIMIT, Snapshot, encode
from streams.kafka.message import make_message
from streams.record import Origin

TIER, PARKED, DEAD = retry_topic("flights", "tower", 1), parked_topic("flights", "tower"), dlq_topic("flights", "tower")
OWNER, FORMER = b"owner-01", b"owner-00"


def copy(name: str, topic: str = TIER, offset: int = 0, *, hop: int = 1, owner: bytes = OWNER, key: str = "N1") -> Copy:
    """Give a copy of the event *name*, in partition 0 of *topic*."""
    return Copy(name, key, kind_of(topic), (topic, 0), offset, hop, owner, "")


def standing(*copies: Copy, ledgers: dict[Place, Ledger] | None = None) -> dict[str, Kind]:
    """Say where the events in *copies* stand."""
    return {name: copy.kind for name, copy in Chain(ledgers or {}, list(copies), {}).standing().items()}


def test_commit_is_read_as_the_engine_wrote_it() -> None:
    """Offset, settled stretches, owner and end of the scan come out of the padded text beside a commit."""
    text = encode(Snapshot(OWNER, runs=(2, 3, 1, 4), scan_end=90)).ljust(METADATA_LIMIT)

    assert ledger(100, text) == Ledger(100, (range(102, 105), range(106, 110)), OWNER, 90)


@pytest.mark.parametrize("text", [None, ""])
def test_commit_without_a_ledger_is_an_offset(text: str | None) -> None:
    """Where nothing stands beside the offset, all below it is settled and nothing above."""
    found = ledger(7, text)

    assert [found.has_settled(offset) for offset in (6, 7)] == [True, False]


@pytest.mark.parametrize(("topic", "kind"), [(TIER, "waiting"), (PARKED, "parked"), (DEAD, "dead")])
def test_copy_is_read_as_the_engine_wrote_it(topic: str, kind: Kind) -> None:
    """The packed header tells the hop and the owner, the topic what stands there, a dead letter why."""
    header = header_of(hop=3)
    error = ErrorHeader("ValueError", "no tail number", "not retried", "follow") if kind == "dead" else None
    headers = copy_headers([("ce_id", b"UA1545/departed")], header, error)
    message = make_message(topic, 4, 17, key=b"N14228", value=b"{}", headers=headers)

    reason = "no tail number" if error else ""
    assert copy_of(message) == Copy("UA1545/departed", "N14228", kind, (topic, 4), 17, 3, OWNER, reason)


def header_of(hop: int) -> CopyHeader:
    """Give the header of a copy that was moved *hop* times."""
    origin = Origin("flights", 4, 1_000, 0)
    header = new_header(origin, topic_id="id", group="tower", assignment_id=OWNER, attempts=1, history=())
    for _ in range(1, hop):
        header = header.after(header.hop, TIER, 3, header)
    return header


def test_event_stands_where_it_was_moved_last() -> None:
    """Of several copies of one event the one with the most hops counts."""
    assert standing(copy("a", TIER, hop=1), copy("a", DEAD, hop=2)) == {"a": "dead"}
    assert standing(copy("a", TIER, hop=3), copy("a", PARKED, hop=2)) == {"a": "waiting"}


def test_settled_copy_stands_nowhere() -> None:
    """What the committed ledger of its topic has settled is past."""
    ledgers = {(TIER, 0): Ledger(5, (range(6, 8),), OWNER, 0)}

    found = standing(*(copy(str(offset), offset=offset) for offset in range(3, 10)), ledgers=ledgers)

    assert sorted(found) == ["5", "8", "9"]


def test_copy_of_a_killed_worker_that_came_too_late_stands_nowhere() -> None:
    """What was appended by a former owner behind the end of its successor's scan is dead: the fence."""
    ledgers = {(TIER, 0): Ledger(0, (), OWNER, 2)}
    copies = [copy("before", offset=1, owner=FORMER), copy("late", offset=2, owner=FORMER), copy("ours", offset=3)]

    assert sorted(standing(*copies, ledgers=ledgers)) == ["before", "ours"]


def test_plight_is_that_of_the_aircraft_with_most_behind_it() -> None:
    """Of all aircraft with an event in a retry topic, the one with most events parked is told of."""
    waiting = [copy("a/1", key="A"), copy("b/1", key="B")]
    parked = [copy(name, PARKED, key=name[0].upper()) for name in ("a/2", "a/3", "b/2", "b/3", "b/4", "c/2")]

    plight = plight_of([*waiting, *parked, copy("d/1", DEAD, key="D")])

    assert plight is not None
    assert (plight.waiting, plight.parked, plight.tail, plight.behind, plight.where) == (2, 6, "B", 3, TIER)
    assert plight.events == {"b/1", "b/2", "b/3", "b/4"}


@pytest.mark.parametrize(
    "copies",
    [[], [copy("a/1")], [copy("a/1"), copy("a/2", PARKED)], [copy("a/2", PARKED), copy("a/3", PARKED)]],
    ids=["nothing", "nothing parked", "too few", "nothing in a retry topic"],
)
def test_no_plight_is_told_of_little(copies: list[Copy]) -> None:
    """It takes an event in a retry topic and others parked behind it."""
    assert plight_of(copies) is None
