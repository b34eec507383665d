"""What a record was before it was edited is kept, found again, and judged by what the group answered."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from streams.deadletter.edit import Amendment, askings, first_of, keep, require_room
from streams.deadletter.letter import Letter
from streams.deadletter.read import find
from streams.engine.chain import dlq_topic
from streams.engine.command import Answer, Fate, audit_topic
from streams.engine.desk import Who, prepare
from streams.errors import UsageError
from streams.kafka.admin import Admin
from streams.kafka.shape import NewTopic
from streams.kafka.topics import create_topics, find_topics
from streams.record import Origin, Partition
from tests.brokers import Kafka, Topics
from tests.deadletter.burial import Burial


@pytest.fixture
def letter(kafka: Kafka, admin: Admin, topic: Topics, group: Callable[..., str]) -> Letter:
    """A dead letter of the record at offset 7."""
    name, team = topic(), group()
    create_topics(admin, [NewTopic(dlq_topic(name, team), 1)])
    prepare(admin, team)
    topic_id = find_topics(admin, [name])[name].topic_id
    Burial(kafka, team).bury(Origin(name, 0, 7, 1_000), b"first", topic_id=topic_id)
    return find(admin, team, Partition(name, 0), 7)


def answer(kafka: Kafka, amendment: Amendment, fate: Fate) -> None:
    """The group answers."""
    command = amendment.command
    told = Answer(
        id=command.id,
        verb="edit",
        group=amendment.letter.header.group,
        topic=command.topic,
        partition=command.partition,
        fates=((command.letters[0].origin, fate),),
    )
    kafka.write(audit_topic(told.group), told.pack(), command.key)


def test_what_was_asked_for_is_found_with_its_answer(kafka: Kafka, admin: Admin, letter: Letter) -> None:
    """Oldest first; an answer that came again and found it gone takes nothing back; of other records nothing."""
    group, place = letter.header.group, letter.source
    first, second = (Amendment.of(letter, value, Who("ann")) for value in (b"second", b"third"))
    keep(admin, first.kept)
    answer(kafka, first, "edited")
    answer(kafka, first, "gone")
    keep(admin, second.kept)
    kafka.write(audit_topic(group), b"{", first.kept.key)
    found = askings(admin, group, place, 7)

    assert [(one.kept.kept, one.fate) for one in found] == [(first.id, "edited"), (second.id, None)]
    assert found[0].where == f"streams.{group}.audit/0/0"
    assert [one.kept.kept for one in askings(admin, group, place, 7, since_ms=1_000)] == [first.id, second.id]
    assert askings(admin, group, place, 8) == []
    assert askings(admin, "nobody", place, 7) == []
    kept = first_of(found, None)
    assert kept is not None
    assert (kept.value, kept.was) == (b"first", first.command.edit.was if first.command.edit else "")


def test_of_a_topic_that_was_made_anew_the_letters_own_record_is_meant(admin: Admin, letter: Letter) -> None:
    """Offsets begin again there: another record had the same one."""
    kept = Amendment.of(letter, b"second", Who("ann")).kept
    keep(admin, msgspec.structs.replace(kept, kept="another", topic_id="former"))
    keep(admin, kept)
    asked = askings(admin, letter.header.group, letter.source, 7)
    found = first_of(asked, letter)

    assert [one.kept.topic_id for one in asked] == ["former", letter.header.topic_id]
    assert found == kept


def test_what_the_source_would_not_take_is_refused(
    kafka: Kafka, admin: Admin, topic: Topics, group: Callable[..., str]
) -> None:
    """A copy that is refused would stop its partition; so it is not asked for."""
    name, team = topic(config={"max.message.bytes": "5000"}), group()
    create_topics(admin, [NewTopic(dlq_topic(name, team), 1)])
    topic_id = find_topics(admin, [name])[name].topic_id
    burial = Burial(kafka, team)
    burial.bury(Origin(name, 0, 7, 1_000), topic_id=topic_id)
    burial.bury(Origin(name, 0, 8, 1_000), topic_id="former")
    now, former = (find(admin, team, Partition(name, 0), offset) for offset in (7, 8))
    require_room(admin, Amendment.of(now, bytes(3_000), Who("ann")))

    with pytest.raises(UsageError, match="takes 5,000"):
        require_room(admin, Amendment.of(now, bytes(4_500), Who("ann")))
    with pytest.raises(UsageError, match="earlier topic"):
        require_room(admin, Amendment.of(former, b"x", Who("ann")))
