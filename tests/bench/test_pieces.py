"""The profile of a record's way: its steps run as the engine runs them."""

from __future__ import annotations

import pytest

from benchmarks import pieces
from streams.engine.partition import Move
from streams.kafka.message import Message


def test_every_step_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has a name of its own, and costs something."""
    monkeypatch.setattr(pieces, "_TIMES", 3)
    found = list(pieces.pieces())

    assert len({(one.way, one.step) for one in found}) == len(found)
    assert {one.way for one in found} == {"every record", "values", "inline", "batch", "a failure", "a send"}
    assert all(0 < one.ns < 1e6 for one in found)


def test_what_fails_leaves_for_its_tier() -> None:
    """The failures that are timed are those of an outage: each record goes to a retry topic."""
    state, items = next(pieces.items_in_hand())
    decisions = pieces.fail((state, items))

    assert len(decisions) == len(items) == 500
    assert all(isinstance(one, Move) and state.chain.parts[one.number].is_tier for one in decisions)


def test_the_records_are_those_of_the_bench() -> None:
    """300 bytes of JSON, each with a key of its own."""
    messages: list[Message] = pieces.messages_read()

    assert {len(one.value() or b"") for one in messages} == {300}
    assert len({one.key() for one in messages}) == 500
