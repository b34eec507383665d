"""The index of dead letters: it lists what counts, and no more than it may."""

from __future__ import annotations

import pytest
from confluent_kafka.cimpl import NewTopic

from streams.config import Settings
from streams.deadletter.letter import Filter
from streams.deadletter.read import letter_topics, newest
from streams.engine.chain import dlq_topic
from streams.engine.snapshot import Snapshot, encode
from streams.errors import UsageError
from streams.kafka.admin import Admin
from streams.kafka.offsets import Committed
from streams.monitor.dashboard.choice import Choice
from streams.monitor.dashboard.letters import LetterIndex, kinds
from streams.monitor.dashboard.masking import Mask
from streams.monitor.dashboard.survey import Commit
from streams.record import Origin, Partition
from tests.brokers import Kafka, Topics
from tests.deadletter.burial import Burial

OWNER = b"12345678"


class Buried:
    """A dead-letter topic, and an index that reads it."""

    def __init__(self, kafka: Kafka, topic: Topics, *, most: int = 1_000) -> None:
        self.orders = topic()
        self.group = "billing"
        self.settings = Settings(bootstrap=kafka.bootstrap)
        self.place = Partition(dlq_topic(self.orders, self.group), 0)
        topic.made.append(self.place.topic)
        kafka.admin.create_topics([NewTopic(self.place.topic, 1)])[self.place.topic].result(30)
        self.burial = Burial(kafka, self.group)
        self.index = LetterIndex(self.settings, Mask(), most=most)

    def bury(self, count: int, **more: object) -> None:
        """Bury records of the offsets below *count*, a second apart."""
        for offset in range(count):
            chosen = {"died_ms": 1_000_000 + offset * 1_000, "topic_id": "now", **more}
            self.burial.bury(Origin(self.orders, 0, offset, 5), **chosen)  # type: ignore[arg-type]  # as named above

    def update(self, offset: int, end: int, *, runs: tuple[int, ...] = (), owner: bytes = OWNER) -> None:
        """Take in that *offset* is committed, with settled *runs* above it, and that the topic ends at *end*."""
        ledger = Committed(offset, encode(Snapshot(owner, runs=runs, scan_end=0)))
        while not self.index.update({self.place: Commit(ledger, end, end, "now", self.group, 0)}):
            pass

    @property
    def offsets(self) -> list[int]:
        """The records that are listed, newest first."""
        return [row.origin.offset for row in self.index.shelf(self.group).rows]


@pytest.fixture
def buried(kafka: Kafka, topic: Topics) -> Buried:
    """One that is empty."""
    return Buried(kafka, topic)


def test_what_is_settled_leaves_the_list(buried: Buried) -> None:
    """Below the commit, and in its ledger; what comes later is read on from there."""
    buried.bury(6)
    buried.update(0, 4)
    first = buried.offsets
    buried.update(1, 6, runs=(1, 1, 1, 1))
    second = buried.offsets

    assert first == [3, 2, 1, 0]
    assert second == [5, 3, 1]
    assert len(buried.index) == 3


def test_it_lists_what_the_command_lists(buried: Buried) -> None:
    """The same letters, of which each is one, whichever of its copies counts."""
    buried.bury(4)
    buried.bury(2, hop=3)
    buried.update(0, 6)
    with Admin(buried.settings) as admin:
        topics = letter_topics(admin, group=buried.group)
        told = newest(admin, [one for one in topics if one.source == buried.orders], Filter(), 50)

    assert sorted(buried.offsets) == sorted(one.origin.offset for one in told.letters) == [0, 1, 2, 3]
    assert {row.hop for row in buried.index.shelf().rows if row.origin.offset < 2} == {3}


def test_a_copy_that_came_late_is_not_listed(buried: Buried) -> None:
    """Its owner had lost the partition; where nobody knows, it is, with the doubt."""
    buried.bury(2)
    buried.update(0, 2, owner=b"another!")
    fenced = buried.offsets
    index = LetterIndex(buried.settings, Mask())
    index.update({buried.place: Commit(None, 2, 2, "now", buried.group, 0)})

    assert fenced == []
    assert [bool(row.doubt) for row in index.shelf().rows] == [True, True]


def test_the_list_is_bounded_and_says_so(kafka: Kafka, topic: Topics) -> None:
    """The oldest leave it; the rest is what it was."""
    buried = Buried(kafka, topic, most=10)
    buried.bury(25)
    buried.update(0, 25)
    shelf = buried.index.shelf(buried.group)

    assert len(shelf.rows) == 10
    assert buried.offsets == list(range(24, 14, -1))
    assert (shelf.given_up, shelf.is_whole) == (15, False)


def test_letters_are_counted_by_kind_and_chosen_by_filters(buried: Buried) -> None:
    """By error, key, time and name; a filter that is none is told."""
    buried.bury(3, error=KeyError("currency"))
    buried.burial.bury(Origin(buried.orders, 0, 9, 5), key=b"other", topic_id="now", died_ms=5_000_000)
    buried.update(0, 4)
    rows = buried.index.shelf().rows

    def chosen(**texts: str) -> list[int]:
        choice = Choice.of({name: [text] for name, text in texts.items()})
        return sorted(row.origin.offset for row in choice.rows(rows, is_masked=True))

    assert [count for _, count in kinds(rows, is_masked=True)] == [3, 1]
    assert chosen(error="CURRENCY") == [0, 1, 2]
    assert chosen(key="other") == [9]
    assert chosen(key="hex:6f74686572") == [9]
    assert chosen(since="1970-01-01T00:20:00") == [9]
    assert chosen(until="1970-01-01T00:16:41") == [0]
    assert chosen(origin=f"{buried.orders}/0/2") == [2]
    assert chosen(handler="CHARGE", topic=buried.orders) == [0, 1, 2, 9]
    assert chosen() == [0, 1, 2, 9]
    with pytest.raises(UsageError):
        chosen(since="soon")
    with pytest.raises(UsageError):
        chosen(key="hex:xyz")
