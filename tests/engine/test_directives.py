"""What operators want for as long as it stands holds from the start, and is followed once it is written."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from streams.engine.directive import VERSION, Directive, Kind
from streams.engine.directives import Directives
from streams.errors import BrokerError, RightsError
from streams.kafka.message import Message, make_message
from streams.observer import Observer
from streams.testing.clock import ManualClock
from tests.engine.test_control import Script


class Member:
    """Who follows."""

    def __init__(self) -> None:
        self.halted: Mapping[str, str] = {}
        self.restarts = self.drains = 0
        self.resumed: list[str] = []

    def halt(self, topics: Mapping[str, str]) -> None:
        self.halted = topics

    def resume(self, topics: Iterable[str]) -> None:
        self.resumed += topics

    def restart(self) -> None:
        self.restarts += 1

    def drain(self) -> None:
        self.drains += 1


class Ear(Observer):
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.directed_: list[tuple[str, str, bool]] = []
        self.misheard_: list[int | None] = []
        self.followed_: list[int] = []

    def directed(self, offset: int, kind: str, topic: str, value: str, *, is_lifted: bool) -> None:
        self.directed_.append((kind, value, is_lifted))

    def misheard(self, offset: int | None, cause: str) -> None:
        self.misheard_.append(offset)

    def followed(self, offset: int) -> None:
        self.followed_.append(offset)


class Log(Script):
    """The topic, with keys."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[tuple[bytes, bytes | None]] = []

    def write(self, kind: Kind, topic: str = "", *, lifted: bool = False, **fields: Any) -> None:
        one = Directive(id="1", kind=kind, topic=topic, **fields)
        self.records.append((one.key, None if lifted else one.pack()))

    def messages(self) -> list[Message]:
        return [make_message("d", 0, at, key=key, value=value) for at, (key, value) in enumerate(self.records)]

    def take(self, limit: int) -> list[Message]:
        part = self.messages()[self._at : self._at + limit]
        self._at += len(part)
        return part


class Room:
    """A member of two topics that reads the log."""

    def __init__(self, log: Log, error: Exception | None = None) -> None:
        self.error = error
        self.log, self.member, self.ear, self.clock = log, Member(), Ear(), ManualClock()
        self.directives = Directives(
            topics=("orders", "refunds"),
            recorded=self.recorded,
            source=log,
            follower=self.member,
            clock=self.clock,
            observer=self.ear,
            rng=random.Random(1),
        )

    def recorded(self) -> tuple[list[Message], int]:
        """All that stands now; or what goes wrong."""
        if self.error is not None:
            raise self.error
        return self.log.messages(), len(self.log.records)

    def look(self, after_s: float = 0.2) -> None:
        self.clock.advance(after_s)
        self.directives.look()


@pytest.fixture
def log() -> Log:
    """A topic in which nothing stands."""
    return Log()


def begun(log: Log) -> Room:
    """A member that has just begun."""
    room = Room(log)
    room.directives.begin()
    return room


def test_a_pause_holds_from_the_start(log: Log) -> None:
    """Whoever begins while it stands begins with nothing."""
    log.write("pause", "orders", who="ann", why="moving")

    assert begun(log).member.halted == {"orders": "ann paused it: moving"}


def test_a_pause_is_followed_and_lifted(log: Log) -> None:
    """Of one topic and of the whole group; each is lifted by itself."""
    room = begun(log)
    log.write("pause", "orders")
    room.look()
    one = set(room.member.halted)
    log.write("pause")
    room.look()
    both = set(room.member.halted)
    log.write("pause", lifted=True)
    room.look()
    again = set(room.member.halted)
    log.write("pause", "orders", lifted=True)
    room.look()

    assert (one, both, again, set(room.member.halted)) == ({"orders"}, {"orders", "refunds"}, {"orders"}, set())
    assert room.ear.followed_ == [0, 1, 2, 3, 4]


def test_a_pause_that_was_lifted_does_not_hold(log: Log) -> None:
    """Also where compaction has not run yet."""
    log.write("pause")
    log.write("pause", lifted=True)

    assert begun(log).member.halted == {}


def test_a_pause_of_another_topic_concerns_nobody(log: Log) -> None:
    """It may be that of another app of the group."""
    log.write("pause", "invoices")

    assert begun(log).member.halted == {}


def test_what_a_guard_stopped_is_let_go_on(log: Log) -> None:
    """Once, of one topic or of all; a pause stays."""
    log.write("pause", "orders")
    room = begun(log)
    log.write("resume", "orders")
    room.look()
    one = list(room.member.resumed)
    log.write("resume")
    room.look()
    room.look()

    assert one == ["orders"]
    assert room.member.resumed == ["orders", "orders", "refunds"]
    assert set(room.member.halted) == {"orders"}


@pytest.mark.parametrize("kind", ["restart", "drain", "resume"])
def test_who_begins_after_a_restart_or_a_drain_has_it_behind(log: Log, kind: Kind) -> None:
    """Else a member would restart for ever; it depends on offsets, and on no clock."""
    log.write(kind, time_ms=1 << 50)
    room = begun(log)
    room.look()
    room.look(1e6)

    assert (room.member.restarts, room.member.drains, room.member.resumed) == (0, 0, [])


def test_a_restart_comes_within_the_time_over_which_members_spread(log: Log) -> None:
    """Not at once, and not later."""
    room = begun(log)
    log.write("restart", value="60")
    room.look()
    at_once = room.member.restarts
    room.look(60)

    assert (at_once, room.member.restarts) == (0, 1)


@pytest.mark.parametrize("value", ["", "soon", "-1", "nan"])
def test_a_restart_with_no_time_comes_at_once(log: Log, value: str) -> None:
    """What can't be read as seconds is none."""
    room = begun(log)
    log.write("restart", value=value)
    room.look()
    room.look()

    assert room.member.restarts >= 1


def test_a_drain_is_followed_at_once(log: Log) -> None:
    """Once."""
    room = begun(log)
    log.write("drain")
    room.look()
    room.look()

    assert room.member.drains == 1


def test_a_log_level_is_told_of_at_the_start_and_when_it_changes(log: Log) -> None:
    """Who writes the log hears of it."""
    log.write("log_level", value="DEBUG")
    room = begun(log)
    log.write("log_level", lifted=True)
    room.look()

    assert room.ear.directed_ == [("log_level", "DEBUG", False), ("log_level", "", True)]


def test_what_is_no_directive_is_passed_over_and_takes_away_what_stood(log: Log) -> None:
    """Its key was written by somebody; the others stand."""
    log.write("pause", "orders")
    room = begun(log)
    log.records.append((b"x", b"{"))
    log.records.append((b"y", Directive(version=VERSION + 1, id="1", kind="pause").pack()))
    room.look()

    assert room.ear.misheard_ == [1, 2]
    assert set(room.member.halted) == {"orders"}


def test_a_broker_that_does_not_answer_lets_nothing_start(log: Log) -> None:
    """A pause may stand."""
    room = Room(log, BrokerError("no answer"))

    with pytest.raises(BrokerError):
        room.directives.begin()


def test_who_may_not_read_the_topic_goes_on_and_says_so(log: Log) -> None:
    """Nobody could pause it."""
    room = Room(log, RightsError("not authorized"))
    room.directives.begin()

    assert room.ear.misheard_ == [None]
