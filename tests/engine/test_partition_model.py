"""`PartitionState` keeps its promises in every order of events, and the check of that finds one that does not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from streams.engine.backlog import LaneKey
from streams.engine.broken import ReverseOrder, SettleBeforeAck
from streams.engine.ledger import Chunk
from streams.engine.partition import Item, PartitionState, Run, finish
from streams.kafka.message import Message
from tests.engine.partition_machine import PartitionAgainstModel

PartitionAgainstModel.TestCase.settings = settings(max_examples=80, stateful_step_count=50, deadline=None)
TestPartitionAgainstModel = PartitionAgainstModel.TestCase


class ForgetsWhatWaits(PartitionState):
    """Lets go of a lane as if nothing stood in it."""

    def release(self, key: LaneKey) -> Run | None:
        self.lanes.pop(key)
        return None


class LeavesTheRest(PartitionState):
    """Lets the lane go on before the record that failed."""

    def interrupt(self, run: Run, done: int) -> Item:
        item = super().interrupt(run, done)
        self.lanes.pop(item[3])
        return item


class StartsWithoutLease(PartitionState):
    """Starts again what is due, whoever owns the partition by now."""

    def due(self, now_s: float) -> list[Run]:
        self.lease_until = now_s
        return super().due(now_s)


class SettlesWhatFails(PartitionState):
    """Commits past a record that waits for another attempt."""

    def postpone(self, item: Item) -> None:
        item[1][item[2]] = 1
        super().postpone(item)


class MiscountsBytes(PartitionState):
    """Counts the records that it reads, and not their bytes."""

    def admit(self, messages: list[Message]) -> Chunk | None:
        before = self.outstanding_bytes
        chunk = super().admit(messages)
        self.outstanding_bytes = before
        return chunk


class RunsAKeyAtOnce(PartitionState):
    """Gives each record a lane of its own, whatever its key."""

    def _keys(self, chunk: Chunk) -> list[LaneKey]:
        return [message.offset() or 0 for message in chunk.messages]


class OvertakesInWholes(PartitionState):
    """Runs a chunk whole, records of busy keys too."""

    def enlane_busy(self, chunk: Chunk) -> None:
        """Leave them where they are."""


class SettlesTheCall(PartitionState):
    """Takes a call in which one record failed for one that went well."""

    def settle_picked(self, chunk: Chunk, ended: Sequence[bool]) -> None:
        super().settle_picked(chunk, [True] * len(ended))


class RememberAfterRestart(PartitionState):
    """Says in its commits that a record below the last open one has settled."""

    def snapshot(self) -> tuple[int, str, bool]:
        _, text, is_complete = super().snapshot()
        return self.ledger.position, text, is_complete


def finish_and_forget(runs: Iterable[Run]) -> Iterator[Run]:
    """Settles runs and leaves their lanes busy for ever."""
    runs = list(runs)
    for run in runs:
        state, key = run[0][4], run[0][3]
        behind = state.lanes[key]
        for _ in finish([run]):
            pass
        state.lanes[key] = behind
    return iter(())


@pytest.mark.parametrize(
    "broken",
    [
        SettleBeforeAck,
        ReverseOrder,
        ForgetsWhatWaits,
        LeavesTheRest,
        StartsWithoutLease,
        SettlesWhatFails,
        MiscountsBytes,
        RunsAKeyAtOnce,
        OvertakesInWholes,
        SettlesTheCall,
        RememberAfterRestart,
        finish_and_forget,
    ],
    ids=lambda one: str(getattr(one, "__name__", one)),
)
def test_a_broken_partition_is_found(broken: object) -> None:
    """The machine fails on a partition that is broken on purpose: what it does not find it does not check."""
    is_class = isinstance(broken, type)
    played = type(
        "Played",
        (PartitionAgainstModel,),
        {"state_class": broken} if is_class else {"finish": staticmethod(broken)},  # type: ignore[arg-type]
    )
    search = settings(
        max_examples=200,
        stateful_step_count=40,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        report_multiple_bugs=False,
    )

    with pytest.raises((AssertionError, KeyError, IndexError)):
        run_state_machine_as_test(played, settings=search)
