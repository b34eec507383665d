"""A partition comes to rest, goes on from another offset, and what was can be had back; a cap holds."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from streams.engine import rewinder
from streams.engine.assignment import Assignment
from streams.engine.command import Command, Verb
from streams.engine.ledger import Chunk
from streams.engine.partition import PartitionState
from streams.engine.replay import LATE_S, Before, Rewind, Rewound
from streams.engine.rewinder import Pace, Rewinder
from streams.engine.snapshot import Replay, decode
from streams.record import Partition
from tests.engine.stage import ORDERS, messages
from tests.engine.test_assignment import Seat

DRAIN_S = 30.0


class Chair:
    """A partition of which ten records were read and eight have settled, and the room that has it go back."""

    def __init__(self) -> None:
        self.seat = Seat()
        self.is_busy = False
        (state,) = self.seat.grant(ORDERS)
        chunk = state.admit(messages(*((offset, b"a") for offset in range(10))))
        assert isinstance(chunk, Chunk)
        for offset in (0, 1, 2, 3, 5, 6, 7, 8):
            chunk.settled[offset] = 1
        self.rewinder = self.open(self.seat.assignment)

    def open(self, assignment: Assignment) -> Rewinder:
        """The room of one member."""

        def is_busy(_states: Sequence[PartitionState]) -> bool:
            return self.is_busy

        return Rewinder(
            assignment=assignment,
            committer=self.seat.committer,
            is_busy=is_busy,
            drain_s=DRAIN_S,
            clock=self.seat.clock,
        )

    @property
    def state(self) -> PartitionState:
        """The partition's present stay."""
        return self.seat.state()

    def command(self, verb: Verb, rewind: Rewind) -> Command:
        """Somebody asks for something now."""
        return Command(
            id="c1",
            verb=verb,
            topic="orders",
            topic_id="id",
            partition=0,
            rewind=rewind,
            time_ms=int(self.seat.clock.now() * 1000),
        )

    def commit(self, times: int = 3) -> None:
        """Time passes, and the broker takes what is to be committed."""
        for _ in range(times):
            self.seat.clock.advance(6)
            before = len(self.seat.consumer.commits)
            self.seat.committer.commit_if_due(self.seat.consumer)
            for commit in self.seat.consumer.commits[before:]:
                self.seat.consumer.answer(commit)

    def carry_out(self, verb: Verb, rewind: Rewind, offset: int = 4) -> Rewound:
        """The partition rests, the audit has it, and the next stay has committed."""
        command = self.command(verb, rewind)
        assert self.rewinder.look(self.state, command) is None
        self.commit()
        told = self.rewinder.look(self.state, command)
        assert told is not None
        before = len(self.seat.consumer.commits)
        assert self.rewinder.turn(self.state, command, told, offset)
        for commit in self.seat.consumer.commits[before:]:
            self.seat.consumer.answer(commit)
        return told

    def stored(self, partition: Partition = ORDERS) -> tuple[int | None, set[int], int, Replay | None]:
        """What the broker has: the offset, what is settled above it, how far commands are, the replay."""
        found = self.seat.consumer.stored[partition]
        snapshot = decode(found.metadata)
        assert snapshot is not None
        above = {offset for one in snapshot.settled(found.offset or 0) for offset in one}
        return found.offset, above, snapshot.control, snapshot.replay


@pytest.fixture
def chair() -> Chair:
    """Nothing was asked for yet."""
    return Chair()


def test_the_first_commit_says_all_of_it(chair: Chair) -> None:
    """Offset, an empty ledger, the replay, and that the command was carried out: one request; nothing ran before."""
    former = chair.state
    told = chair.carry_out("replay", Rewind(id="r1", start=2, rate=7.0))

    assert (told.turn, told.start, told.until) == ("begun", 2, 10)
    assert Before.read(told.offset, told.ledger) == Before(4, (range(5, 9),))
    assert former.is_dropped
    assert chair.stored() == (2, set(), 5, Replay("r1", former.assignment_id, 2, 10, 7.0))
    assert chair.state.tenure.replay_id == chair.state.chain.replay_id == "r1"


def test_going_forward_keeps_what_is_done_above(chair: Chair) -> None:
    """As a stopped group does; what never ran below is dropped, and stays so when the replay is ended."""
    told = chair.carry_out("replay", Rewind(id="r1", start=6))
    there = chair.stored()[:2]
    chair.carry_out("undo", told.rewind(), 7)

    assert there == (9, set())
    assert chair.stored()[:2] == (9, set())


def test_nothing_is_told_while_anything_runs_or_is_not_committed(chair: Chair) -> None:
    """What runs may go on for as long as on a revoke; then it counts as not settled."""
    command = chair.command("replay", Rewind(id="r1"))
    chair.is_busy = True
    first = chair.rewinder.look(chair.state, command)
    chair.commit()
    second = chair.rewinder.look(chair.state, command)
    chair.seat.clock.advance(DRAIN_S)
    third = chair.rewinder.look(chair.state, command)

    assert (first, second) == (None, None)
    assert third is not None
    assert chair.state.is_closed
    assert chair.rewinder.reason(chair.state) == "replay"


def test_what_is_begun_already_is_not_begun_again(chair: Chair) -> None:
    """The partition does not even come to rest."""
    chair.carry_out("replay", Rewind(id="r1"))
    again = chair.rewinder.look(chair.state, chair.command("replay", Rewind(id="r1")))

    assert again == Rewound(id="r1", turn="gone")
    assert not chair.rewinder.turn(chair.state, chair.command("replay", Rewind(id="r1")), again, 9)
    assert not chair.state.is_closed


def test_what_nobody_began_in_time_is_not_begun(chair: Chair) -> None:
    """As after an outage; whoever asked has gone home."""
    command = chair.command("replay", Rewind(id="r1"))
    chair.seat.clock.advance(LATE_S + 1)

    assert chair.rewinder.look(chair.state, command) == Rewound(id="r1", turn="late")
    assert not chair.state.is_closed


@pytest.mark.parametrize("verb", ["cancel", "undo"])
def test_what_had_settled_counts_again_beside_what_has_since(chair: Chair, verb: Verb) -> None:
    """One was open before and has settled since; one is open still, and is all that is left to run."""
    told = chair.carry_out("replay", Rewind(id="r1", start=2))
    chunk = chair.state.admit(messages(*((offset, b"a") for offset in range(2, 6))))
    assert isinstance(chunk, Chunk)
    for index in (0, 2):
        chunk.settled[index] = 1
    chair.carry_out(verb, told.rewind(), 7)
    offset, above, control, replay = chair.stored()

    assert (offset, above, control) == (9, set(), 8)
    assert (replay is not None and replay.is_ended) == (verb == "cancel")
    assert chair.state.tenure.replay_id == ""
    assert (chair.state.chain.undone is not None) == (verb == "undo")


@pytest.mark.parametrize("verb", ["cancel", "undo"])
def test_only_the_replay_that_is_meant_is_ended(chair: Chair, verb: Verb) -> None:
    """Not another one, not what a former owner has told of this one, not what can't be read."""
    told = chair.carry_out("replay", Rewind(id="r1", start=2)).rewind()
    others = [
        Rewind(id="r2", begun_by=told.begun_by, offset=told.offset, ledger=told.ledger),
        Rewind(id="r1", begun_by="00", offset=told.offset, ledger=told.ledger),
        Rewind(id="r1", begun_by=told.begun_by, offset=told.offset, ledger="s1!"),
    ]
    found = [chair.rewinder.look(chair.state, chair.command(verb, one)) for one in others]

    assert [one and one.turn for one in found] == ["gone"] * 3
    assert not chair.state.is_closed


def test_a_partition_does_not_rest_for_ever_for_an_audit_that_takes_nothing(chair: Chair) -> None:
    """It goes on where it was, the command is passed over; while the broker does not answer at all it waits."""
    command = chair.command("replay", Rewind(id="r1", start=2))
    chair.rewinder.look(chair.state, command)
    chair.seat.clock.advance(DRAIN_S + 61)
    silent = chair.rewinder.gives_up(chair.state, command, 4)
    chair.commit()
    former = chair.state
    before = len(chair.seat.consumer.commits)
    given_up = chair.rewinder.gives_up(chair.state, command, 4)
    for commit in chair.seat.consumer.commits[before:]:
        chair.seat.consumer.answer(commit)

    assert (silent, given_up) == (False, True)
    assert chair.state is not former
    assert not chair.state.is_closed
    assert chair.stored() == (4, {5, 6, 7, 8}, 5, None)


def test_a_stay_within_a_replay_reads_nothing_before_its_owner_has_heard(chair: Chair) -> None:
    """The audit may say already that it was ended; one that can hear nothing goes on after a while."""
    chair.carry_out("replay", Rewind(id="r1", start=2))
    successor = chair.open(chair.seat.assignment)
    is_held = successor.begin([chair.state])
    before = successor.reason(chair.state), successor.allowance()
    successor.has_heard(chair.state)
    heard = successor.reason(chair.state), successor.allowance()
    again = successor.begin([chair.state])
    deaf = chair.open(chair.seat.assignment)
    deaf.begin([chair.state])
    chair.seat.clock.advance(16)

    assert (is_held, again) == (True, False)
    assert before == ("replay", 1_000_000)
    assert heard == (None, None)
    assert deaf.reason(chair.state) is None


def test_a_stay_outside_a_replay_waits_for_nobody(chair: Chair) -> None:
    """One without any, and one that has passed what was to run again."""
    before = chair.rewinder.begin([chair.state])
    chair.carry_out("replay", Rewind(id="r1", start=2))
    chair.state.admit(messages(*((offset, b"a") for offset in range(2, 10))))
    through = chair.open(chair.seat.assignment).begin([chair.state])

    assert (before, through) == (False, False)


def test_without_hearing_first_what_was_undone_would_run_again(chair: Chair, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: the audit has the end of a replay, its owner dies before the commit, and the next one reads on."""
    told = chair.carry_out("replay", Rewind(id="r1", start=2))
    undo = chair.command("undo", told.rewind())
    chair.rewinder.look(chair.state, undo)
    chair.commit()
    answer = chair.rewinder.look(chair.state, undo)
    seat = Seat()
    seat.consumer.stored = chair.seat.consumer.stored
    (state,) = seat.grant(ORDERS)
    successor = chair.open(seat.assignment)
    successor.begin([state])
    holds = successor.reason(state)
    monkeypatch.setattr(rewinder, "_HEARS_WITHIN_S", 0.0)
    hasty = chair.open(seat.assignment)
    hasty.begin([state])

    assert answer is not None
    assert answer.turn == "undone"
    assert (holds, hasty.reason(state), state.ledger.position) == ("replay", None, 2)


def test_a_cap_holds_on_average_and_in_each_second() -> None:
    """A second's worth at once, then as many as time gives; held until half a second's worth may be read again."""
    pace = Pace(20, 100, 0.0)
    pace.look(100, 0.0)
    first = pace.allowance
    pace.look(120, 0.1)
    held = pace.is_held
    pace.look(120, 0.4)
    still = pace.is_held
    pace.look(120, 0.6)

    assert (first, held, still, pace.is_held, pace.allowance) == (20, True, True, False, 10)


def test_a_cap_below_one_a_second_lets_one_through_at_a_time() -> None:
    """It does not stand for ever."""
    pace = Pace(0.5, 0, 0.0)
    pace.look(1, 0.0)
    held = pace.is_held
    pace.look(1, 1.9)
    still = pace.is_held
    pace.look(1, 2.1)

    assert (held, still, pace.is_held) == (True, True, False)
