"""Broken engines are chosen on purpose, by name, and say so loudly."""

from __future__ import annotations

import logging

import pytest

from streams.engine.broken import (
    NAMES,
    ChangedOnly,
    CommitBeforeWork,
    NoFence,
    NoIndex,
    NoLease,
    ReverseOrder,
    SettleBeforeAck,
    chain_class,
    state_class,
)
from streams.engine.chainstate import ChainState
from streams.engine.partition import PartitionState
from streams.errors import UsageError


@pytest.mark.parametrize("environment", [{}, {"STREAMS_BREAK": ""}, {"STREAMS_BREAKS": "settle-before-ack"}], ids=str)
def test_the_sound_engine_runs_unless_asked_otherwise(environment: dict[str, str]) -> None:
    """Nothing but the one variable breaks anything."""
    assert state_class(environment) is PartitionState
    assert chain_class(environment) is ChainState


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("settle-before-ack", SettleBeforeAck),
        ("commit-before-work", CommitBeforeWork),
        ("no-lease", NoLease),
        ("changed-only", ChangedOnly),
        ("reverse-order", ReverseOrder),
    ],
)
def test_a_broken_engine_says_so(name: str, broken: type, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever runs one can't miss it in the log."""
    with caplog.at_level(logging.CRITICAL):
        chosen = state_class({"STREAMS_BREAK": name})

    assert chosen is broken
    assert "WILL LOSE RECORDS" in caplog.text


@pytest.mark.parametrize(("name", "broken"), [("no-index", NoIndex), ("no-fence", NoFence)])
def test_a_broken_chain_says_so(name: str, broken: type, caplog: pytest.LogCaptureFixture) -> None:
    """The partition is sound then, and its chain is not."""
    environment = {"STREAMS_BREAK": name}
    with caplog.at_level(logging.CRITICAL):
        chosen = state_class(environment), chain_class(environment)

    assert chosen == (PartitionState, broken)
    assert "WILL LOSE RECORDS" in caplog.text


def test_every_break_has_a_name() -> None:
    """Whoever offers them knows them all."""
    assert all(state_class({"STREAMS_BREAK": name}) for name in NAMES)
    assert len(NAMES) == 7


def test_an_unknown_break_is_a_mistake() -> None:
    """A control that is misspelled must not pass for a sound engine."""
    with pytest.raises(UsageError, match="settle-before-ack"):
        state_class({"STREAMS_BREAK": "settle-before"})
