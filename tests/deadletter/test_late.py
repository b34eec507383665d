"""A dead letter that came too late is not listed, beside a real group."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from streams import App, DeadLetter, Record
from streams.deadletter.counting import FENCED, SETTLED
from streams.deadletter.letter import Filter
from streams.deadletter.read import Listing, find, letter_topics, newest
from streams.engine.chain import dlq_topic
from streams.errors import TopicError
from streams.kafka.admin import Admin
from streams.kafka.offsets import Committed, commit_for_stopped
from streams.kafka.topics import find_topics
from streams.record import Origin, Partition
from tests.brokers import Kafka, Topics
from tests.deadletter.burial import Burial
from tests.path.members import Bench


@pytest.fixture
def bench(kafka: Kafka, topic: Topics) -> Iterator[Bench]:
    """A broker on which members run; they end with the test, before its topics go."""
    bench = Bench(kafka, topic)
    yield bench
    bench.end()


class Late:
    """A group that ended one record well and gave one up; then a former owner's copy of the first one arrived."""

    def __init__(self, admin: Admin, bench: Bench, orders: str, app: App) -> None:
        self._admin = admin
        self._bench = bench
        self.orders = orders
        self.app = app

        @app.on(orders, run="inline")
        def charge(order: Record) -> DeadLetter | None:
            return DeadLetter(ValueError("no total")) if order.value == b"bad" else None

        bench.write(orders, [(b"a", b"good"), (b"b", b"bad")])
        self.own()
        present = find_topics(admin, [orders])[orders].topic_id
        Burial(bench.kafka, app.group).bury(Origin(orders, 0, 0, 5), topic_id=present)

    def own(self) -> None:
        """Have an owner take the partition, end what it finds, and leave it."""
        owner = self._bench.run(self.app)
        owner.settled()
        owner.stop()

    def listed(self, *, shows_all: bool = False) -> Listing:
        """List the letters of the group."""
        topics = letter_topics(self._admin, group=self.app.group)
        return newest(self._admin, topics, Filter(), 50, shows_all=shows_all)

    def shown(self, *, shows_all: bool = False) -> list[tuple[int, str]]:
        """Which records are listed, and whether they count."""
        letters = self.listed(shows_all=shows_all).letters
        return sorted((letter.origin.offset, letter.verdict.counts) for letter in letters)


@pytest.fixture
def late(admin: Admin, bench: Bench, topic: Topics, group: Callable[..., str]) -> Late:
    """Such a group."""
    return Late(admin, bench, topic(), App(group()))


def test_a_record_that_ended_well_is_not_listed(late: Late) -> None:
    """Its late copy is none that counts; asked for, it is told why."""
    listing = late.listed()

    assert late.shown() == [(1, "yes")]
    assert (listing.found, listing.not_counting, listing.unreadable) == (1, 1, 0)
    assert late.shown(shows_all=True) == [(0, "no"), (1, "yes")]
    assert [one.verdict for one in late.listed(shows_all=True).letters if one.origin.offset == 0] == [FENCED]


def test_a_letter_that_does_not_count_is_not_found(late: Late, admin: Admin) -> None:
    """The error says that there is one, why it does not count, and how to see it."""
    place = Partition(late.orders, 0)

    with pytest.raises(TopicError, match=r"0/0 that counts: .*dlq/0/1 is fenced.*--all"):
        find(admin, late.app.group, place, 0)
    assert find(admin, late.app.group, place, 0, shows_all=True).verdict == FENCED
    assert find(admin, late.app.group, place, 1).verdict.counts == "yes"


def test_the_next_owner_says_the_same(late: Late) -> None:
    """It settles the late copy, and what counted before counts on."""
    late.own()

    assert late.shown() == [(1, "yes")]
    assert [one.verdict for one in late.listed(shows_all=True).letters if one.origin.offset == 0] == [SETTLED]


def test_without_a_readable_ledger_all_are_listed(late: Late, admin: Admin) -> None:
    """Another tool moved the group's offset of its dead letters: nothing that may be real is hidden."""
    place = Partition(dlq_topic(late.orders, late.app.group), 0)
    commit_for_stopped(admin, late.app.group, {place: Committed(2, "moved by hand")})
    listing = late.listed()

    assert late.shown() == [(0, "unknown"), (1, "unknown")]
    assert (listing.found, listing.doubts.total(), listing.not_counting) == (2, 2, 0)
    assert find(admin, late.app.group, Partition(late.orders, 0), 0).verdict.counts == "unknown"
