"""Dead letters are found, each record once, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from streams.deadletter.letter import Filter, Letter
from streams.deadletter.read import Listing, find, letter_topics, newest
from streams.engine.chain import dlq_topic
from streams.errors import TopicError
from streams.kafka.admin import Admin
from streams.kafka.shape import NewTopic
from streams.kafka.topics import create_topics, find_topics
from streams.record import Origin, Partition
from tests.brokers import Kafka, Topics
from tests.deadletter.burial import Burial
from tests.kafka.logs import write

ANY = Filter()


@pytest.fixture
def grave(kafka: Kafka, topic: Topics, group: Callable[..., str], admin: Admin) -> tuple[str, Burial]:
    """A source topic of two partitions, and who buries its records."""
    name, team = topic(partitions=2), group()
    create_topics(admin, [NewTopic(dlq_topic(name, team), 2, config={"max.message.bytes": "12000000"})])
    return name, Burial(kafka, team)


def listed(admin: Admin, burial: Burial, wanted: Filter = ANY, limit: int = 50) -> Listing:
    """List the letters of the group."""
    return newest(admin, letter_topics(admin, group=burial.group), wanted, limit)


def test_letters_are_listed_oldest_first(admin: Admin, grave: tuple[str, Burial]) -> None:
    """Of all partitions, in the order in which they died."""
    name, burial = grave
    for number in range(6):
        burial.bury(Origin(name, number % 2, 10 + number, 5), died_ms=1_000 + number)
    listing = listed(admin, burial)

    assert [letter.origin.offset for letter in listing.letters] == [10, 11, 12, 13, 14, 15]
    assert (listing.found, listing.unreadable) == (6, 0)


def test_a_topic_that_goes_while_it_is_read_is_left_out(admin: Admin, grave: tuple[str, Burial]) -> None:
    """It has no letters any more; those of the others are told."""
    name, burial = grave
    burial.bury(Origin(name, 0, 10, 5), died_ms=1_000)
    (there,) = letter_topics(admin, group=burial.group)
    gone = there._replace(name=f"gone.{burial.group}.dlq")
    listing = newest(admin, [gone, there], ANY, 50)

    assert [letter.origin.offset for letter in listing.letters] == [10]


def test_only_the_newest_are_kept(admin: Admin, grave: tuple[str, Burial]) -> None:
    """The limit bounds what is kept; the count tells them all."""
    name, burial = grave
    for number in range(9):
        burial.bury(Origin(name, number % 2, number, 5), died_ms=1_000 + number)
    listing = listed(admin, burial, limit=3)

    assert [letter.origin.offset for letter in listing.letters] == [6, 7, 8]
    assert listing.found == 9


def test_of_two_copies_one_is_shown(admin: Admin, grave: tuple[str, Burial]) -> None:
    """The highest hop counts, then the copy that was written first."""
    name, burial = grave
    burial.bury(Origin(name, 0, 7, 5), b"first", hop=1)
    burial.bury(Origin(name, 0, 7, 5), b"written twice", hop=1)
    burial.bury(Origin(name, 0, 8, 5), b"before", hop=1)
    burial.bury(Origin(name, 0, 8, 5), b"moved", hop=2)
    burial.bury(Origin(name, 1, 7, 5), b"another partition")
    listing = listed(admin, burial)

    assert sorted(letter.value or b"" for letter in listing.letters) == [b"another partition", b"first", b"moved"]
    assert listing.found == 3
    assert find(admin, burial.group, Partition(name, 0), 7).value == b"first"
    assert find(admin, burial.group, Partition(name, 0), 8).value == b"moved"


@pytest.mark.parametrize(
    ("wanted", "offsets"),
    [
        (Filter(error="TIMEOUT"), [1]),
        (Filter(error="no answer"), [1]),
        (Filter(error="attempt 2 of 2"), [1, 2]),
        (Filter(key=b"o-2"), [2]),
        (Filter(key=b"o-2", error="timeout"), []),
    ],
)
def test_letters_are_picked_by_error_and_key(
    admin: Admin, grave: tuple[str, Burial], wanted: Filter, offsets: list[int]
) -> None:
    """Class, message and reason are searched, whatever their case; keys are compared whole."""
    name, burial = grave
    burial.bury(Origin(name, 0, 1, 5), key=b"o-1", error=TimeoutError("no answer"), died_ms=1)
    burial.bury(Origin(name, 0, 2, 5), key=b"o-2", died_ms=2)

    assert [letter.origin.offset for letter in listed(admin, burial, wanted).letters] == offsets


def test_a_letter_is_found_whole(admin: Admin, grave: tuple[str, Burial]) -> None:
    """Value, key and headers are the source record's; origin, attempts and error are told."""
    name, burial = grave
    value = b"x" * 10_000_000
    headers = [("trace", b"1"), ("trace", b"2"), ("empty", None)]
    burial.bury(Origin(name, 1, 99, 4_000), value, key=b"", headers=headers, error=TimeoutError("no answer"))
    letter = find(admin, burial.group, Partition(name, 1), 99)

    assert (letter.value, letter.key, letter.headers) == (value, b"", headers)
    assert (letter.origin, letter.header.attempts) == (Origin(name, 1, 99, 4_000), 2)
    assert letter.error is not None
    assert (letter.error.error, letter.error.message) == ("TimeoutError", "no answer")


def test_a_tombstone_without_a_key_is_a_letter_too(admin: Admin, grave: tuple[str, Burial]) -> None:
    """Null stays null."""
    name, burial = grave
    burial.bury(Origin(name, 0, 1, 5), None, key=None)
    letter = find(admin, burial.group, Partition(name, 0), 1)

    assert (letter.value, letter.key) == (None, None)


def test_the_source_that_exists_now_counts(admin: Admin, grave: tuple[str, Burial]) -> None:
    """Where the source was made anew, its present lineage is shown, though an older letter is the newer one."""
    name, burial = grave
    present = find_topics(admin, [name])[name].topic_id
    burial.bury(Origin(name, 0, 3, 5), b"of today", topic_id=present, died_ms=1)
    burial.bury(Origin(name, 0, 3, 5), b"of its namesake", topic_id="gone", died_ms=2)

    assert find(admin, burial.group, Partition(name, 0), 3).value == b"of today"
    assert listed(admin, burial).found == 2


def test_what_streams_did_not_write_is_counted_not_shown(admin: Admin, kafka: Kafka, grave: tuple[str, Burial]) -> None:
    """Foreign records and those of another group do not hide among the letters."""
    name, burial = grave
    write(kafka, dlq_topic(name, burial.group), [b"foreign"])
    burial.bury(Origin(name, 0, 1, 5), group="another")
    burial.bury(Origin(name, 0, 2, 5))
    listing = listed(admin, burial)

    assert (listing.found, listing.unreadable) == (1, 2)


def test_what_is_not_there_is_said(admin: Admin, grave: tuple[str, Burial]) -> None:
    """An unknown origin, and a topic without dead letters, are told apart."""
    name, burial = grave

    with pytest.raises(TopicError, match=f"no dead letter {name}/0/5"):
        find(admin, burial.group, Partition(name, 0), 5)
    with pytest.raises(TopicError, match="no topic absent-topic"):
        find(admin, burial.group, Partition("absent-topic", 0), 5)


def test_a_listing_keeps_no_payloads(admin: Admin, grave: tuple[str, Burial]) -> None:
    """What a table does not show is not held."""
    name, burial = grave
    burial.bury(Origin(name, 0, 1, 5), b"x" * 100_000, headers=[("h", b"v")])
    (letter,) = listed(admin, burial).letters

    assert isinstance(letter, Letter)
    assert len(letter.value or b"") <= 1_024
    assert letter.headers == []
