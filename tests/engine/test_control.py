"""What operators want is heard, done in its order, and answered; and what is committed of it is true."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from streams.engine.command import Command, Verb, Wanted, audit_topic, read_answer
from streams.engine.control import Control
from streams.engine.edit import MOST_VALUE, Edit, digest
from streams.engine.partition import Bury, PartitionState
from streams.engine.plan import ChainPlan
from streams.engine.replay import Rewind, Rewound
from streams.errors import BrokerError
from streams.kafka.message import Message, make_message
from streams.kafka.producer import Fate, Parcel
from streams.observer import Observer
from streams.testing.clock import ManualClock
from tests.engine.shelf import Shelf
from tests.engine.stage import AT_DLQ, PARK, TOPIC_ID
from tests.engine.test_redrive import ONCE


class Script:
    """A control topic that is written by the test."""

    def __init__(self) -> None:
        self.log: list[bytes | None] = []
        self.begun: list[int | None] = []
        self.position: int | None = None
        self.was_reset = False
        self.trouble = ""
        self.is_anew = False
        """It has nothing at the offset that is asked for, and begins anew."""
        self.ends: list[int | None] = []
        """What the broker says of where it ends; None: it does not answer."""
        self._at = 0

    def begin(self, offset: int | None) -> None:
        self.begun.append(offset)
        self._at, self.position = 0 if self.is_anew else offset or 0, offset

    def take(self, limit: int) -> Sequence[Message]:
        self.was_reset = self.is_anew
        part = self.log[self._at : self._at + limit]
        found = [make_message("control", 0, self._at + index, value=value) for index, value in enumerate(part)]
        self._at += len(part)
        self.position = self._at if part else self.position
        return found

    def end(self) -> int:
        answer = self.ends.pop(0)
        if answer is None:
            raise BrokerError("timed out")
        return answer

    def close(self) -> None:
        """Nothing to let go of."""


class Post:
    """Takes answers, and says of each what becomes of it."""

    def __init__(self) -> None:
        self.sent: list[Parcel[Any]] = []
        self.fates: list[Fate] = []
        self.is_full = False

    def produce(self, parcels: Sequence[Parcel[Any]]) -> int:
        if self.is_full:
            return 0
        self.sent += parcels
        return len(parcels)

    def acknowledge(self, timeout_s: float = 0) -> list[Parcel[Any]]:
        told = []
        for fate in self.fates:
            parcel = self.sent[-1]
            parcel.fate = fate
            told.append(parcel)
        self.fates = []
        return told

    def push(self, timeout_s: float) -> int:
        return 0


class Ear(Observer):
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.heard: list[tuple[Any, ...]] = []

    def misheard(self, offset: int | None, cause: str) -> None:
        self.heard.append(("misheard", offset))

    def unanswered(self, command: str, code: str) -> None:
        self.heard.append(("unanswered", command))


class Rests:
    """Brings a partition to rest when the test says so, and notes what it is told to do."""

    def __init__(self) -> None:
        self.rests = self.is_given_up = False
        self.resting: list[PartitionState] = []
        self.turned: list[tuple[str, int]] = []
        self.deaf: list[PartitionState] = []

    def is_deaf(self, state: PartitionState) -> bool:
        return state in self.deaf

    def has_heard(self, state: PartitionState) -> None:
        self.deaf.remove(state)

    def is_resting(self, state: PartitionState) -> bool:
        return state in self.resting

    def look(self, state: PartitionState, command: Command) -> Rewound | None:
        if command.rewind is not None and command.rewind.id == "done":
            return Rewound(id="done", turn="gone")
        state.close()
        self.resting.append(state)
        return Rewound(id="r1", turn="begun", offset=7) if self.rests else None

    def turn(self, state: PartitionState, command: Command, told: Rewound, offset: int) -> bool:
        self.turned.append((command.id, offset))
        return told.turn == "begun"

    def gives_up(self, state: PartitionState, command: Command, offset: int) -> bool:
        return self.is_given_up


class Room:
    """Control over a shelf with dead letters of the keys a and b."""

    def __init__(self) -> None:
        self.shelf = Shelf(PARK, policy=ONCE)
        for place in ((0, b"a"), (1, b"b")):
            for run in self.shelf.read(place):
                decision = self.shelf.decide(run)
                assert isinstance(decision, Bury)
                self.shelf.take(decision)
        self.source, self.post, self.ear, self.clock = Script(), Post(), Ear(), ManualClock()
        self.rewinder = Rests()
        self.control = self.open()

    def open(self) -> Control:
        """A member begins."""
        plan = ChainPlan("orders", "billing", TOPIC_ID, PARK, "park", "continue")
        return Control(
            group="billing",
            plans={"orders": plan},
            source=self.source,
            producer=lambda: self.post,  # type: ignore[arg-type,return-value]  # as much of one as is asked for
            rewinder=self.rewinder,  # type: ignore[arg-type]  # the same
            clock=self.clock,
            observer=self.ear,
        )

    @property
    def state(self) -> PartitionState:
        """The partition, in its present owner's hands."""
        return self.shelf.state

    def look(self, *fates: Fate) -> None:
        """A moment passes; the answers that were sent meet their *fates*."""
        self.post.fates = list(fates)
        self.clock.advance(6)
        self.control.look([self.state])

    def obey(self) -> None:
        """The dead letters are read, and what moves arrives."""
        for move in self.shelf.load(AT_DLQ)[1]:
            self.shelf.take(move)


def command(name: str, *origins: int, verb: Verb = "forget", topic_id: str = TOPIC_ID, partition: int = 0) -> bytes:
    """A command about letters that stand where their origin says."""
    letters = tuple(Wanted(origin, 0, 0) for origin in origins)
    return Command(
        id=name, verb=verb, topic="orders", topic_id=topic_id, partition=partition, letters=letters, who="ann"
    ).pack()


def editing(name: str, origin: int, value: bytes = b"{}") -> bytes:
    """A command that edits the letter that stands where its origin says."""
    return Command(
        id=name,
        verb="edit",
        topic="orders",
        topic_id=TOPIC_ID,
        partition=0,
        letters=(Wanted(origin, 0, 0),),
        edit=Edit(value, digest(b"{}")),
    ).pack()


def replaying(name: str, replay_id: str = "r1") -> bytes:
    """A command that has the partition go back to its beginning."""
    return Command(
        id=name, verb="replay", topic="orders", topic_id=TOPIC_ID, partition=0, rewind=Rewind(id=replay_id)
    ).pack()


def told(room: Room) -> list[tuple[str, tuple[tuple[int, str], ...]]]:
    """The answers that were sent."""
    answers = [read_answer(parcel.value) for parcel in room.post.sent]
    return [(answer.id, answer.fates) for answer in answers]


def test_a_command_is_done_answered_and_then_committed() -> None:
    """Not before its answer is acknowledged does a commit say that it was carried out."""
    room = Room()
    room.source.log += [command("one", 0)]
    room.look()
    asked = room.state.tenure.control
    room.obey()
    room.look()
    sent = room.state.tenure.control
    room.look("stored")

    assert (asked, sent, room.state.tenure.control) == (0, 0, 1)
    assert told(room) == [("one", ((0, "forgotten"),))]
    assert room.post.sent[0].topic == audit_topic("billing")


def test_commands_of_a_partition_are_done_one_after_the_other() -> None:
    """The second begins when the first is answered."""
    room = Room()
    room.source.log += [command("one", 0), command("two", 1)]
    room.look()
    first = list(room.state.chain.asked)
    room.obey()
    room.look()
    room.look("stored")
    room.look()
    second = list(room.state.chain.asked)
    room.obey()
    room.look()
    room.look("stored")

    assert (first, second) == ([0], [1])
    assert [name for name, _ in told(room)] == ["one", "two"]
    assert room.state.tenure.control == 2


@pytest.mark.parametrize("fate", ["refused", "unknown"])
def test_an_answer_that_is_not_taken_is_sent_again(fate: Fate) -> None:
    """Told twice is better than never; until then nothing of it is committed as done."""
    room = Room()
    room.source.log += [command("one", 0)]
    room.look()
    room.obey()
    room.look()
    room.look(fate)
    between = room.state.tenure.control
    room.look()
    room.look("stored")

    assert between == 0
    assert [name for name, _ in told(room)] == ["one", "one"]
    assert ("unanswered", "one") in room.ear.heard
    assert room.state.tenure.control == 1


def test_an_answer_waits_while_the_producer_is_full() -> None:
    """It is sent once there is room."""
    room = Room()
    room.source.log += [command("one", 0)]
    room.look()
    room.obey()
    room.post.is_full = True
    room.look()
    room.post.is_full = False
    room.look()

    assert [name for name, _ in told(room)] == ["one"]


@pytest.mark.parametrize("value", [command("x", 0, topic_id="another"), command("x", 0, partition=7), b"{", None])
def test_what_does_not_concern_a_partition_is_passed_over(value: bytes | None) -> None:
    """Another partition's, another lineage's, no command: nothing is asked for, and the next one is done."""
    room = Room()
    room.source.log += [value, command("one", 0)]
    room.look()
    room.obey()
    room.look()

    assert [name for name, _ in told(room)] == ["one"]
    assert (("misheard", 0) in room.ear.heard) == (value in {b"{", None})


def test_an_edit_is_answered_as_one() -> None:
    """And the letter has moved by then."""
    room = Room()
    room.source.log += [editing("one", 0)]
    room.look()
    room.obey()
    room.look()

    assert told(room) == [("one", ((0, "edited"),))]
    assert read_answer(room.post.sent[0].value).verb == "edit"


def test_a_verb_that_is_not_known_is_told_and_passed_over() -> None:
    """As a member of before does with an edit: nothing of it is done, and the next command is."""
    room = Room()
    room.source.log += [editing("one", 0).replace(b'"edit"', b'"mend"', 1), command("two", 0)]
    room.look()
    room.obey()
    room.look()

    assert ("misheard", 0) in room.ear.heard
    assert told(room) == [("two", ((0, "forgotten"),))]


def test_payloads_that_wait_are_bounded_by_their_bytes() -> None:
    """No further command is read until the partition has caught up; then the others are."""
    room = Room()
    room.source.log += [editing(str(at), 0, bytes(MOST_VALUE)) for at in range(120)]
    room.look()
    first = room.source.position
    room.look()
    held = room.source.position
    for _ in range(200):
        room.obey()
        room.look()
        room.look("stored")

    assert (first, held) == (100, 100)
    assert [name for name, _ in told(room)] == [str(at) for at in range(120)]


def test_the_next_owner_goes_on_where_the_commits_say() -> None:
    """What was answered is not heard again; what was not is."""
    room = Room()
    room.source.log += [command("one", 0), command("two", 1)]
    room.look()
    room.obey()
    room.look()
    room.look("stored")
    room.shelf.commit()
    room.shelf.own(b"second")
    room.state.begin_chain()
    tenure = room.state.tenure
    tenure.control = 1  # the shelf keeps no tenure from one owner to the next
    room.control = room.open()
    room.look()

    assert room.source.begun == [None, 1]
    assert list(room.state.chain.asked) == [1]


def test_a_control_topic_that_was_made_anew_is_heard_from_its_beginning() -> None:
    """Its offsets begin again, below what was heard of the old one."""
    room = Room()
    room.state.tenure.control = 50
    room.source.is_anew = True
    room.source.log += [command("one", 0)]
    room.look()

    assert room.source.begun == [50]
    assert list(room.state.chain.asked) == [0]


def test_who_can_not_be_heard_is_told() -> None:
    """No right to read the topic: members go on, and say so."""
    room = Room()
    room.source.trouble = "TOPIC_AUTHORIZATION_FAILED"
    room.look()

    assert ("misheard", None) in room.ear.heard


def test_a_partition_that_went_is_forgotten() -> None:
    """Its commands are its next owner's."""
    room = Room()
    room.source.log += [command("one", 0)]
    room.look()
    room.state.close()
    room.look()
    room.obey()
    room.look()

    assert told(room) == []


def test_a_replay_is_done_once_the_partition_rests_and_the_audit_has_what_was() -> None:
    """Not while it comes to rest, and not before the answer is stored; a partition that was closed for it is kept."""
    room = Room()
    room.source.log = [replaying("first")]
    room.look()
    room.look()
    before = list(room.post.sent)
    room.rewinder.rests = True
    room.look()
    sent = list(room.rewinder.turned)
    room.look("stored")
    room.look()

    assert room.state.is_closed
    assert before == []
    assert sent == []
    assert [read_answer(parcel.value).rewound for parcel in room.post.sent] == [
        Rewound(id="r1", turn="begun", offset=7)
    ]
    assert room.rewinder.turned == [("first", 0)]


def test_a_replay_that_is_done_already_is_answered_and_the_next_command_follows() -> None:
    """Nothing comes to rest for it."""
    room = Room()
    room.source.log = [replaying("again", "done"), command("next", 0)]
    for _ in range(3):
        room.look("stored")
    room.obey()
    room.look("stored")

    assert told(room)[0] == ("again", ())
    assert told(room)[1][0] == "next"
    assert room.state.tenure.control >= 1


def test_a_stay_within_a_replay_hears_what_there_is_before_it_is_read() -> None:
    """All that stood in the topic when it was taken is read and done; a broker that does not answer is asked again."""
    room = Room()
    room.rewinder.deaf, room.rewinder.rests = [room.state], True
    room.source.ends = [None, 3]
    room.source.log = [replaying("again", "done"), None]
    room.look()
    room.look("stored")
    unread = list(room.rewinder.deaf)
    room.source.log.append(command("next", 0))
    room.look()
    undone = list(room.rewinder.deaf)
    room.obey()
    room.look()
    room.look("stored")

    assert unread == undone == [room.state]
    assert room.rewinder.deaf == []
    assert ("misheard", None) in room.ear.heard


def test_what_has_no_commands_is_read_at_once() -> None:
    """A control topic that is empty, or is not there, ends at 0."""
    room = Room()
    room.rewinder.deaf, room.source.ends = [room.state], [0]
    room.look()

    assert room.rewinder.deaf == []


def test_a_replay_that_no_audit_takes_is_given_up() -> None:
    """The partition has gone on by then; the answer is not sent once more."""
    room = Room()
    room.source.log = [replaying("first")]
    room.rewinder.is_given_up = True
    room.look()
    room.look()

    assert room.post.sent == []
