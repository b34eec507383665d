"""`streams dlq retry` and `forget`, while members run and while none does: done once, in key order, written down."""

from __future__ import annotations

import threading

import pytest

from streams import App, DeadLetter, Record, RetryPolicy
from streams.deadletter.act import act, commands
from streams.deadletter.letter import Filter
from streams.deadletter.read import each, letter_topics
from streams.engine.command import Command, control_topic
from streams.engine.desk import Who, prepare
from streams.engine.policy import DeadLetterPolicy
from streams.kafka.admin import Admin
from streams.outcome import Outcome
from tests.brokers import Topics
from tests.cli.shell import Shell
from tests.path.members import Bench, Running

QUICK = RetryPolicy(delays=("50ms",), max_attempts=1)


class DownError(Exception):
    """The service is not there."""


class Service:
    """What a handler calls: down until it is mended, and what it was called with while it was up."""

    def __init__(self) -> None:
        self.is_down = True
        self.served: list[tuple[bytes | None, int]] = []
        self._lock = threading.Lock()

    def call(self, record: Record) -> Outcome | None:
        """Serve *record*; what says so is refused while it is down."""
        if self.is_down and record.value == b"needs":
            return DeadLetter(DownError("try later"))
        with self._lock:
            self.served.append((record.key, record.offset))
        return None


@pytest.fixture
def service() -> Service:
    """One that is down."""
    return Service()


@pytest.fixture
def streams(bench: Bench) -> Shell:
    """The `streams` command."""
    return Shell(bench.bootstrap)


def declare(app: App, orders: str, service: Service, dead_letters: DeadLetterPolicy = "continue") -> None:
    """Have records of *orders* served."""

    @app.on(orders, policy="park", retry=QUICK, dead_letters=dead_letters)
    def handle(record: Record) -> Outcome | None:
        return service.call(record)


def dead(member: Running, count: int) -> None:
    """Wait until so many dead letters stand in the topic, and all is committed."""
    member.until(lambda: len(member.ear.heard("dead_lettered")) >= count)
    member.passed()


def listed(streams: Shell, app: App) -> int:
    """How many dead letters the group has."""
    return int(streams(f"dlq list {app.group} --json").json["found"])


@pytest.mark.parametrize("dead_letters", ["continue", "hold", "follow"])
def test_a_mended_service_gets_its_dead_letters_in_the_order_of_their_keys(  # noqa: PLR0917  # fixtures
    dead_letters: DeadLetterPolicy, bench: Bench, topic: Topics, app: App, service: Service, streams: Shell
) -> None:
    """All of them, chosen by their error, while the group runs: none is left, and the audit says who and why."""
    orders = topic()
    declare(app, orders, service, dead_letters)
    bench.write(orders, [(b"ab"[at % 2 : at % 2 + 1], b"needs" if at < 6 else b"free") for at in range(10)])
    member = bench.run(app)
    dead(member, 6 if dead_letters == "continue" else 2)
    service.is_down = False
    shown = streams(f"dlq retry {app.group} --error Down")
    before = listed(streams, app)
    some = streams(f"dlq retry {app.group} --error Down --limit 1 --json").json
    told = streams(f"dlq retry {app.group} --error Down --why mended --who ann --rate 100 --yes --json").json
    member.settled()
    letters = {"continue": 6, "hold": 2, "follow": 10}[dead_letters]
    asked = 6 if dead_letters == "continue" else 2
    if dead_letters == "follow":  # those that joined the dead ones died of another error
        streams(f"dlq retry {app.group} --all --yes")
        member.settled()
    by_key = {key: [at for one, at in service.served if one == key and at < 6] for key in (b"a", b"b")}
    answers = streams(f"audit {app.group} --json").json["answers"]

    assert "Nothing was changed" in shown.out
    assert (before, some["letters"]) == (letters, 1)
    assert told["fates"] == {"retried": asked}
    assert (told["asked"], told["unanswered"]) == (asked, 0)
    assert by_key == {b"a": [0, 2, 4], b"b": [1, 3, 5]}
    assert len(service.served) == 10
    assert listed(streams, app) == 0
    assert {(one["who"], one["why"], one["verb"]) for one in answers[:1]} == {("ann", "mended", "retry")}


def test_a_letter_that_dies_again_is_one_letter_with_its_history(
    bench: Bench, topic: Topics, app: App, service: Service, streams: Shell
) -> None:
    """Still down: it is dead again, is counted once, and tells of both runs and that it was retried."""
    orders = topic()
    declare(app, orders, service)
    bench.write(orders, [(b"a", b"needs")])
    member = bench.run(app)
    dead(member, 1)
    streams(f"dlq retry {app.group} {orders}/0/0 --yes")
    member.until(lambda: len(member.ear.heard("dead_lettered")) == 2)
    member.settled()
    letter = streams(f"dlq show {app.group} {orders}/0/0 --json").json
    left = streams(f"dlq retry {app.group} --all --max-redrives 1 --json").json
    again = streams(f"dlq retry {app.group} --all --max-redrives 2 --json").json

    assert listed(streams, app) == 1
    assert (letter["attempts"], letter["redrives"], len(letter["history"])) == (2, 1, 2)
    assert (left["letters"], again["letters"]) == (0, 1)


def test_a_command_that_comes_twice_is_done_once(
    bench: Bench, topic: Topics, app: App, service: Service, streams: Shell
) -> None:
    """The same bytes again, and again behind a later one: the record runs once more, and each gets its answer."""
    orders = topic()
    declare(app, orders, service)
    bench.write(orders, [(b"a", b"needs"), (b"b", b"needs")])
    member = bench.run(app)
    dead(member, 2)
    service.is_down = False
    with Admin(app.settings.over(bootstrap=bench.bootstrap)) as admin:
        first, second = commands_for(admin, app)
        prepare(admin, app.group)
        act(admin, app.group, [first], wait_s=30)
    bench.write(control_topic(app.group), [(one.key, one.pack()) for one in (first, second, first, second)])
    member.until(lambda: len(member.ear.heard("obeyed")) == 5)
    member.settled()
    fates = [fate for one in member.ear.heard("obeyed") for fate in one[2]]

    assert fates == ["retried", "gone", "retried", "gone", "gone"]
    assert sorted(service.served) == [(b"a", 0), (b"b", 1)]
    assert listed(streams, app) == 0


def commands_for(admin: Admin, app: App) -> tuple[Command, Command]:
    """One command for each of the two letters."""
    letters = each(admin, letter_topics(admin, group=app.group), Filter())
    first, second = commands(letters, "retry", Who("test"), most=1)
    return first, second


def test_what_is_asked_of_a_stopped_group_is_done_when_it_starts(
    bench: Bench, topic: Topics, app: App, service: Service, streams: Shell
) -> None:
    """The command waits; the next member carries it out, and the one after that does not again."""
    orders = topic()
    declare(app, orders, service)
    bench.write(orders, [(b"a", b"needs"), (b"a", b"free")])
    member = bench.run(app)
    dead(member, 1)
    member.stop()
    service.is_down = False
    said = streams(f"dlq retry {app.group} {orders}/0/0 --yes")
    second = bench.run(app)
    second.until(lambda: second.ear.heard("obeyed"))
    second.until(lambda: any(state.tenure.control > 0 for state in second.member.assignment.all()))
    second.settled()
    second.stop()
    third = bench.run(app)
    bench.write(orders, [(b"a", b"free")])
    third.until(lambda: len(service.served) == 3)
    third.settled()

    assert "No member of group" in said.err
    assert "1 not answered yet" in said.out
    assert service.served == [(b"a", 1), (b"a", 0), (b"a", 2)]
    assert third.ear.heard("obeyed") == []


def test_a_forgotten_letter_frees_its_key(
    bench: Bench, topic: Topics, app: App, service: Service, streams: Shell
) -> None:
    """Under hold the key stands still behind it; dropped, it is no dead letter any more, and the key goes on."""
    orders = topic()
    declare(app, orders, service, "hold")
    bench.write(orders, [(b"a", b"needs"), (b"a", b"free")])
    member = bench.run(app)
    member.until(lambda: member.ear.heard("dead_lettered"))
    told = streams(f"dlq forget {app.group} {orders}/0/0 --why spam --yes --json").json
    member.until(lambda: service.served)
    member.settled()
    (answer,) = streams(f"audit {app.group} --json").json["answers"]
    said = streams(f"audit {app.group}").out

    assert told["fates"] == {"forgotten": 1}
    assert service.served == [(b"a", 1)]
    assert listed(streams, app) == 0
    assert (answer["verb"], answer["why"]) == ("forget", "spam")
    assert answer["letters"] == [{"offset": 0, "fate": "forgotten"}]
    assert f"{orders}/0/0" in said


def test_what_is_no_command_is_passed_over(
    bench: Bench, topic: Topics, app: App, service: Service, streams: Shell
) -> None:
    """It is told, and the next command is done."""
    orders = topic()
    declare(app, orders, service)
    bench.write(orders, [(b"a", b"needs")])
    with Admin(app.settings.over(bootstrap=bench.bootstrap)) as admin:
        prepare(admin, app.group)
    bench.write(control_topic(app.group), [(b"x", b"{"), (b"x", None), (b"x", b'{"version":9}')])
    member = bench.run(app)
    dead(member, 1)
    service.is_down = False
    told = streams(f"dlq retry {app.group} --all --yes --json").json

    assert told["fates"] == {"retried": 1}
    assert len(member.ear.heard("misheard")) >= 3


def test_an_empty_key_is_a_choice(bench: Bench, topic: Topics, app: App, service: Service, streams: Shell) -> None:
    """And no other key's letters are meant by it."""
    orders = topic()
    declare(app, orders, service)
    bench.write(orders, [(b"", b"needs"), (b"a", b"needs")])
    member = bench.run(app)
    dead(member, 2)

    assert streams(f"dlq retry {app.group} --json --key", "").json["letters"] == 1


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("dlq retry {group}", "say which"),
        ("dlq retry {group} {orders}/0/0 --all", "say which"),
        ("dlq forget {group} --all --error x", "say which"),
        ("dlq forget {group} nonsense", "TOPIC/PARTITION/OFFSET"),
        ("dlq forget {group} --all --why " + "x" * 2_001, "2,000"),
    ],
)
def test_who_does_not_say_which_is_told(line: str, reason: str, topic: Topics, app: App, streams: Shell) -> None:
    """Nothing is done without a choice, and two of them are none."""
    said = streams(line.format(group=app.group, orders=topic()), code=2)

    assert reason in said.err
