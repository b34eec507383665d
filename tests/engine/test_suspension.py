"""A route stands still while what it needs is down or its dead letters are too many, and no other does."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.app import App
from streams.engine.context import Send, Sends
from streams.engine.executors.executor import NOT_STARTED, NotStarted
from streams.engine.guard import Guard
from streams.engine.partition import Item, Run
from streams.engine.route import Ended
from streams.engine.suspension import Suspension
from streams.errors import HandlerTimeoutError
from streams.observer import PauseReason
from streams.outcome import Ack, DeadLetter, Retry, Skip
from streams.record import Partition
from streams.testing.clock import ManualClock
from tests.engine.stage import ORDERS, Heard, message

DOWN = Retry(ConnectionError("refused"))
BAD = Retry(ValueError("bad"))
LATE = Retry(HandlerTimeoutError("ran past its time"))
SENT = Sends(Ack(), [Send("invoices", None, b"{}", [])])
WAIT_S = 30.0


class Still:
    """A partition of which only matters whether it starts records, and which it holds."""

    def __init__(self, partition: Partition = ORDERS) -> None:
        self.partition = partition
        self.is_dropped = False
        self.is_suspended = False
        self.held: deque[Item] = deque()

    def suspend(self) -> None:
        self.is_suspended = True

    def resume(self) -> None:
        self.is_suspended = False

    def can_probe(self, now_s: float) -> bool:
        return bool(self.held)

    def probe(self, now_s: float) -> Run | None:
        return (self.held.popleft(),) if self.held else None

    def item(self, offset: int) -> Item:
        """One of its records, with a key of its own."""
        read = message(offset, b"%d" % offset, partition=self.partition)
        return cast("Item", (read, bytearray(1), 0, read.key(), self))

    def hold(self, *offsets: int) -> None:
        """Records that wait to be started."""
        self.held.extend(map(self.item, offsets))


def handle(order: dict[str, Any]) -> None:
    """Any handler."""


class Standstill:
    """A suspension of four topics, with its clock and what it told.

    ``orders`` and ``refunds`` need payments, ``mails`` needs payments and mail, ``audit`` needs nothing.
    """

    def __init__(self, guard: Guard | None = None, **options: Any) -> None:
        app = App("billing", handler_timeout_s=10)
        payments = app.dependency("payments", errors=(ConnectionError,), **options)
        mail = app.dependency("mail", errors=(LookupError,), failures=1)
        app.on("orders", needs=[payments], guard=guard)(handle)
        app.on("refunds", needs=[payments], guard=guard)(handle)
        app.on("mails", needs=[payments, mail], guard=guard)(handle)
        app.on("audit", guard=guard)(handle)
        self.clock = ManualClock()
        self.heard = Heard()
        self.room = Suspension(app.routes, self.clock, self.heard)
        self.states = {topic: Still(Partition(topic, 0)) for topic in app.routes}
        self.offset = 1_000

    def end(self, *outcomes: Ended | NotStarted, topic: str = "orders") -> list[bool]:
        """Runs of fresh records end in *outcomes*; say which are held."""
        self.offset += 1
        return [self.room.takes(self.states[topic].item(self.offset), outcome) for outcome in outcomes]

    def break_down(self, topic: str = "orders") -> None:
        """As many runs fail as open the breaker of payments."""
        self.end(*[DOWN] * 5, topic=topic)
        self.room.turn(self.all)

    def wait(self, seconds: float = WAIT_S) -> list[Run]:
        """Time passes, and a turn of the loop comes; give the probes."""
        self.clock.advance(seconds)
        return self.room.turn(self.all)

    def turn(self) -> list[Run]:
        """One turn of the loop; give the probes."""
        return self.room.turn(self.all)

    @property
    def all(self) -> Sequence[Still]:
        return list(self.states.values())

    @property
    def still(self) -> list[str]:
        """The topics that stand still."""
        return [topic for topic, state in self.states.items() if state.is_suspended]

    def told(self, name: str) -> list[tuple[str, str]]:
        """Whose circuit turned to what, in order, after the start."""
        return [(who, state) for who, state, why in self.heard.of(name) if why]

    def reasons(self) -> dict[str, PauseReason | None]:
        """Why each topic's intake is paused."""
        return {topic: self.room.reason(state) for topic, state in self.states.items()}


@pytest.fixture
def still() -> Standstill:
    """Four topics without guards, all going on."""
    return Standstill()


def offsets(runs: Sequence[Run]) -> list[int | None]:
    """The records of *runs*."""
    return [item[0].offset() for run in runs for item in run]


def named(outcome: object) -> str:
    """What a test is called by."""
    return type(outcome).__name__ + type(getattr(outcome, "cause", None)).__name__


# -- a dependency is down -------------------------------------------------------------------------------


def test_everything_is_told_closed_at_the_start() -> None:
    """What can stand still is known from the first moment on."""
    still = Standstill(Guard())

    assert still.heard.of("breaker_turned") == [("payments", "closed", ""), ("mail", "closed", "")]
    assert [(topic, state) for topic, state, _ in still.heard.of("guard_turned")] == [
        (topic, "closed") for topic in still.states
    ]
    assert not still.room.is_active


def test_the_failure_that_opens_the_breaker_is_held(still: Standstill) -> None:
    """Those before it are ordinary failures; it and all after it count no attempt."""
    assert still.end(*[DOWN] * 7) == [False] * 4 + [True] * 3
    assert still.told("breaker_turned") == [("payments", "open")]
    assert still.room.is_active


def test_only_the_routes_that_need_it_stand_still(still: Standstill) -> None:
    """One breaker stops every route that names its dependency, and no other."""
    still.end(DOWN, DOWN, topic="orders")
    still.end(DOWN, DOWN, DOWN, topic="refunds")
    runs = still.turn()

    assert runs == []
    assert still.still == ["orders", "refunds", "mails"]
    assert still.reasons() == {"orders": "breaker", "refunds": "breaker", "mails": "breaker", "audit": None}
    assert still.room.why("orders") == (
        "the breaker of dependency payments is open: 5 of 5 runs within 10 s failed by it, the last in ConnectionError"
    )
    assert still.room.why("audit") is None


def test_a_dead_letter_by_its_error_counts_too(still: Standstill) -> None:
    """A handler that gives records up because of it fills the dead letters no more than one that raises."""
    given_up = DeadLetter(ConnectionError("refused"))

    assert still.end(*[given_up] * 6) == [False] * 4 + [True] * 2


@pytest.mark.parametrize(
    "outcome", [BAD, DeadLetter(ValueError("bad")), LATE, Skip(), SENT, NOT_STARTED, None], ids=named
)
def test_nothing_else_is_held(still: Standstill, outcome: Ended | NotStarted) -> None:
    """Other errors and other ends take their way, closed or open."""
    before = still.end(*[outcome] * 100)
    still.break_down()
    after = still.end(outcome)

    assert not any(before + after)


def test_good_runs_of_its_routes_speak_for_it(still: Standstill) -> None:
    """A few failures among many records that ended well, of any route that needs it, are no outage."""
    still.room.passed("refunds", (), 80)
    still.end(*[SENT] * 10)

    assert not any(still.end(*[DOWN] * 89))
    assert any(still.end(*[DOWN] * 2))


def test_a_partition_that_comes_later_stands_still_too(still: Standstill) -> None:
    """What the group gives while the route stands still starts nothing."""
    still.break_down()
    still.states["orders"] = late = Still()
    still.turn()

    assert late.is_suspended


# -- a few try -------------------------------------------------------------------------------------------


def test_a_few_records_try_once_the_wait_is_over(still: Standstill) -> None:
    """No more than declared, in the order in which they are held, over all routes that need it."""
    still.break_down()
    still.states["orders"].hold(1, 2, 3, 4)
    still.states["refunds"].hold(7)
    early = still.wait(WAIT_S - 1)
    first = still.wait(1)
    second = still.turn()
    third = still.turn()

    assert (offsets(early), offsets(first), offsets(second), offsets(third)) == ([], [1, 7], [2], [])
    assert still.still == ["orders", "refunds", "mails"]


def test_all_goes_on_when_they_end_well(still: Standstill) -> None:
    """The majority of the probes is enough; then every record may start again."""
    still.break_down()
    still.states["orders"].hold(1, 2, 3)
    for _ in range(2):
        (run,) = still.wait()
        still.room.passed("orders", [run], 1)
    before = still.still
    still.turn()

    assert before == ["orders", "refunds", "mails"]
    assert still.still == []
    assert not still.room.is_active
    assert still.told("breaker_turned") == [("payments", "open"), ("payments", "half_open"), ("payments", "closed")]


def test_failed_probes_are_held_and_the_wait_begins_anew(still: Standstill) -> None:
    """They cost no attempt either."""
    still.break_down()
    still.states["orders"].hold(1, 2, 3)
    held: list[bool] = []
    for _ in range(2):
        (run,) = still.wait(WAIT_S if not held else 0)
        held.append(still.room.takes(run[0], DOWN))
    after = still.wait(WAIT_S - 1)
    again = still.wait(1)

    assert held == [True, True]
    assert (offsets(after), offsets(again)) == ([], [3])
    assert [state for _, state in still.told("breaker_turned")] == ["open", "half_open", "open", "half_open"]


def test_one_bad_record_among_the_probes_decides_nothing(still: Standstill) -> None:
    """A record that always fails like an outage can't hold up its topic by itself."""
    still.break_down()
    still.states["orders"].hold(1, 2, 3)
    runs = still.wait() + still.turn() + still.turn()
    still.room.takes(runs[0][0], DOWN)
    still.room.passed("orders", runs[1:], 2)
    still.turn()

    assert still.still == []


def test_a_probe_that_runs_past_its_time_failed_and_is_held(still: Standstill) -> None:
    """What is down often does not answer; elsewhere a timeout is the record's own affair."""
    still.break_down()
    still.states["orders"].hold(1, 2)
    held = [still.room.takes(run[0], LATE) for run in still.wait() + still.turn()]

    assert held == [True, True]
    assert still.told("breaker_turned")[-1] == ("payments", "open")


def test_a_probe_that_never_ends_failed_after_a_run_s_time(still: Standstill) -> None:
    """A stuck handler does not keep the route in between; its late end says nothing more."""
    still.break_down()
    still.states["orders"].hold(1, 2, 3, 4)
    stuck = still.wait() + still.turn()
    still.wait(10)
    state = still.told("breaker_turned")[-1]
    still.wait(WAIT_S)
    still.room.passed("orders", stuck, 2)

    assert state == ("payments", "open")
    assert still.told("breaker_turned")[-1] == ("payments", "half_open")


def test_a_run_that_began_before_neither_closes_nor_opens_it(still: Standstill) -> None:
    """Only probes decide; a straggler that fails is held all the same."""
    still.break_down()
    still.wait()
    still.room.passed("orders", [(still.states["orders"].item(9),)], 1_000)
    held = still.end(DOWN, DOWN, DOWN)

    assert held == [True] * 3
    assert still.told("breaker_turned")[-1] == ("payments", "half_open")


@pytest.mark.parametrize("outcome", [BAD, DeadLetter(ValueError("bad")), Skip(), NOT_STARTED], ids=named)
def test_a_probe_that_says_nothing_is_replaced(still: Standstill, outcome: Ended | NotStarted) -> None:
    """An error of its own, a skip, a start that did not happen: the next record tries in its place."""
    still.break_down()
    still.states["orders"].hold(*range(20))
    tried = []
    for run in still.wait() + [one for _ in range(9) for one in still.turn()]:
        tried += offsets([run])
        assert not still.room.takes(run[0], outcome)
    more = still.turn()

    assert len(tried) == 3
    assert len(more) == 1
    assert still.told("breaker_turned")[-1] == ("payments", "half_open")


def test_probes_of_a_partition_that_went_are_replaced(still: Standstill) -> None:
    """Nobody tells how they end, so they keep nobody waiting."""
    still.break_down()
    gone = still.states["orders"]
    gone.hold(1, 2, 3)
    tried = still.wait() + still.turn() + still.turn()
    gone.is_dropped = True
    still.states["orders"] = Still(Partition("orders", 1))
    still.states["orders"].hold(7)

    assert (offsets(tried), offsets(still.turn())) == ([1, 2, 3], [7])


def test_a_route_tries_only_when_all_that_it_needs_has_room(still: Standstill) -> None:
    """A record of a route whose other dependency is down could not end well."""
    still.break_down()
    still.wait(WAIT_S / 2)
    still.end(Retry(LookupError("no such host")), topic="mails")
    still.states["mails"].hold(1)
    one_is_open = still.wait(WAIT_S / 2)
    both_try = still.wait(WAIT_S / 2)
    still.room.passed("mails", both_try, 1)
    why = still.room.why("mails")

    assert (offsets(one_is_open), offsets(both_try)) == ([], [1])
    assert why == (
        "the breaker of dependency payments is half_open: the wait is over; "
        "the breaker of dependency mail is half_open: the wait is over"
    )


def test_where_nothing_is_held_reading_goes_on_for_the_probes(still: Standstill) -> None:
    """Else a partition that holds no record would stand still for ever."""
    still.break_down()
    still.states["orders"].hold(1, 2, 3, 4)
    while_open = still.reasons()
    runs = still.wait()
    while_half_open = still.reasons()
    runs += still.turn() + still.turn()
    without_room = still.reasons()

    assert len(runs) == 3
    assert while_open == {"orders": "breaker", "refunds": "breaker", "mails": "breaker", "audit": None}
    assert while_half_open == {"orders": "breaker", "refunds": None, "mails": None, "audit": None}
    assert without_room == while_open


# -- too many dead letters --------------------------------------------------------------------------------


def test_a_route_without_a_guard_writes_every_dead_letter(still: Standstill) -> None:
    """Who wants none has none."""
    assert not any(still.room.refuses("orders") for _ in range(1_000))


def test_too_many_dead_letters_stop_their_topic() -> None:
    """The one too many and all after it are held; other topics go on."""
    still = Standstill(Guard(in_a_row=3))
    refused = [still.room.refuses("orders") for _ in range(5)]
    still.turn()

    assert refused == [False, False, True, True, True]
    assert still.still == ["orders"]
    assert still.reasons()["orders"] == "guard"
    assert still.told("guard_turned") == [("orders", "open")]
    assert still.room.why("orders") == "the guard before its dead letters is open: 3 dead letters in a row"


@pytest.mark.parametrize("outcome", [Skip(), SENT, None], ids=named)
def test_every_other_end_interrupts_the_run(outcome: Ended) -> None:
    """Done, sent or skipped: it was no dead letter."""
    still = Standstill(Guard(in_a_row=3))
    for _ in range(10):
        still.end(outcome)
        refused = [still.room.refuses("orders") for _ in range(2)]
        still.room.passed("orders", (), 1)

        assert not any(refused)


def test_an_operator_lets_it_go_on() -> None:
    """By default nothing else does; and it may trip again."""
    still = Standstill(Guard(in_a_row=3))
    for _ in range(3):
        still.room.refuses("orders")
    still.wait(1_000_000)
    before = still.still
    resumed = [still.room.resume("orders"), still.room.resume("orders"), still.room.resume("audit")]
    still.turn()

    assert (before, still.still, resumed) == (["orders"], [], [True, False, False])
    assert [still.room.refuses("orders") for _ in range(3)] == [False, False, True]
    assert still.told("guard_turned") == [("orders", "open"), ("orders", "closed"), ("orders", "open")]


def test_with_a_wait_a_few_held_records_try() -> None:
    """Done or skipped they let the topic go on."""
    still = Standstill(Guard(in_a_row=3, probe_after="1m"))
    for _ in range(3):
        still.room.refuses("orders")
    still.states["orders"].hold(1, 2, 3)
    (first,) = still.wait(60)
    still.room.takes(first[0], Skip())
    (second,) = still.turn()
    still.room.passed("orders", [second], 1)
    still.turn()

    assert still.still == []
    assert [state for _, state in still.told("guard_turned")] == ["open", "half_open", "closed"]


def test_a_record_that_tries_in_vain_stays_out_of_the_dead_letters() -> None:
    """It is held again, and the wait begins anew."""
    still = Standstill(Guard(in_a_row=3, probe_after="1m"))
    for _ in range(3):
        still.room.refuses("orders")
    still.states["orders"].hold(1, 2)
    (run,) = still.wait(60)
    still.room.takes(run[0], BAD)

    assert still.room.refuses("orders")
    assert (still.wait(59), offsets(still.wait(1))) == ([], [2])


def test_the_guard_is_the_reason_where_both_stand() -> None:
    """It is the one that needs somebody."""
    still = Standstill(Guard(in_a_row=1))
    still.break_down()
    still.room.refuses("orders")
    still.turn()

    assert still.reasons() == {"orders": "guard", "refunds": "breaker", "mails": "breaker", "audit": None}


# -- whatever happens -------------------------------------------------------------------------------------

TOPICS = ["orders", "refunds", "mails", "audit"]
ENDS = [DOWN, DOWN, DOWN, BAD, LATE, Retry(LookupError()), DeadLetter(ValueError()), Skip(), SENT, NOT_STARTED, None]
STEP = st.tuples(
    st.sampled_from(["end", "end", "end", "letter", "letter", "hold", "probe", "probe", "turn", "drop", "resume"]),
    st.sampled_from(TOPICS),
    st.sampled_from(ENDS),
    st.integers(0, 40),
)


class Restless(Standstill):
    """Topics to which anything happens, and the probes that were given and have not ended."""

    def __init__(self, probes: int) -> None:
        super().__init__(Guard(in_a_row=3, probe_after="20s"), probes=probes)
        self.given: list[Run] = []

    def happen(self, what: str, topic: str, outcome: Ended | NotStarted, number: int) -> None:
        """One of everything."""
        self.offset += 1
        match what:
            case "end":
                self.end(outcome, topic=topic)
            case "letter":
                self.room.refuses(topic)
            case "hold":
                self.states[topic].hold(self.offset)
            case "probe" if self.given:
                self.end_probe(self.given.pop(number % len(self.given)), outcome)
            case "drop":
                self.states[topic].is_dropped = True
                self.states[topic] = Still(Partition(topic, self.offset))
            case "resume":
                self.room.resume(topic)
            case "turn":
                self.given += self.wait(number)

    def end_probe(self, run: Run, outcome: Ended | NotStarted) -> None:
        """One probe ends, as the loop would tell it."""
        if outcome is None:
            self.room.passed(run[0][4].partition.topic, [run], 1)
        elif not run[0][4].is_dropped:
            self.room.takes(run[0], outcome)

    def recover(self) -> None:
        """Time passes, and whatever tries from now on ends well."""
        for topic in TOPICS:
            self.states[topic].hold(self.offset)
        for run in self.wait():
            self.end_probe(run, None)


@given(steps=st.lists(STEP, max_size=100), probes=st.integers(1, 4))
def test_exactly_the_topics_with_a_reason_stand_still(
    steps: list[tuple[str, str, Ended | NotStarted, int]], probes: int
) -> None:
    """Whatever happens, after every turn, and probes are records of these alone."""
    still = Restless(probes)
    for step in steps:
        still.happen(*step)
        before = len(still.given)
        still.given += still.turn()

        assert {run[0][4].partition.topic for run in still.given[before:]} <= set(still.still)
        assert still.still == [topic for topic in TOPICS if still.room.why(topic)]
        assert still.room.is_active == bool(still.still)
        assert {topic for topic, reason in still.reasons().items() if reason} <= set(still.still)


@given(steps=st.lists(STEP, max_size=100), probes=st.integers(1, 4))
def test_everything_goes_on_once_records_end_well_again(
    steps: list[tuple[str, str, Ended | NotStarted, int]], probes: int
) -> None:
    """No sequence of events leaves a topic standing for ever: not lost probes, not late ones, not other partitions."""
    still = Restless(probes)
    for step in steps:
        still.happen(*step)
    for _ in range(12):
        still.recover()
    still.turn()

    assert still.still == []
