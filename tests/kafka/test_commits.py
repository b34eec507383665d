"""What the group has committed is told as it is, and so is what became of a request."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack

import pytest
from confluent_kafka import KafkaError, TopicPartition

from streams.config import Settings
from streams.engine.snapshot import decode
from streams.errors import LedgerError
from streams.kafka.commits import NO_TEXT, CommitAnswer, Entry, Flight, answer_to, metadata_of, places_of
from streams.kafka.consumer import GroupConsumer, Stored
from streams.record import Partition
from tests.brokers import Kafka, Topics
from tests.waiting import eventually

TOO_LARGE = "x" * 4_096


class Foreign:
    """A committed offset whose metadata the client can't read."""

    @property
    def metadata(self) -> str:
        """What another program wrote, and what follows it in memory."""
        return b"o:\x80\xc5".decode()


def test_metadata_that_can_not_be_read_is_nobodys_ledger() -> None:
    """The offset beside it counts all the same: a group can be taken over from another program."""
    found = metadata_of(Foreign())  # type: ignore[arg-type]  # as much of one as is looked at

    assert found == NO_TEXT
    with pytest.raises(LedgerError, match="not written by streams"):
        decode(found)


class Owner:
    """A member of a group that takes what it is given, and keeps the answers to its commits."""

    def __init__(self, settings: Settings, protocol: str) -> None:
        self.owned: list[Partition] = []
        self.answers: list[CommitAnswer] = []
        self.consumer = GroupConsumer(settings, protocol, self.answers.append)

    def granted(self, partitions: list[Partition]) -> None:
        """Begin to read them."""
        self.consumer.assign(dict.fromkeys(partitions, 0))
        self.owned += partitions

    def revoked(self, partitions: list[Partition]) -> None:
        """Let go of them."""
        self.consumer.unassign(partitions)

    lost = revoked

    def until(self, condition: Callable[[], object]) -> None:
        """Poll until *condition* holds."""

        def met() -> object:
            self.consumer.poll(100, 0.02)
            return condition()

        eventually(met, every_s=0)

    def commit(self, entries: Sequence[Entry]) -> CommitAnswer:
        """Commit *entries* and wait for the answer as the engine does."""
        self.consumer.commit(entries)
        self.until(lambda: self.answers)
        return self.answers.pop()


Join = Callable[..., Owner]


@pytest.fixture
def join(kafka: Kafka, group: Callable[..., str]) -> Iterator[Join]:
    """Make a member that owns all partitions of a topic."""
    with ExitStack() as closing:

        def make(topic: str, protocol: str = "consumer") -> Owner:
            owner = Owner(Settings(bootstrap=kafka.bootstrap, group=group()), protocol)
            closing.callback(owner.consumer.close, 10)
            owner.consumer.subscribe([topic], owner)
            owner.until(lambda: owner.owned)
            return owner

        yield make


def chain_of(topics: Topics, number: int = 1) -> list[Entry]:
    """One partition of a source topic and of six topics whose names sort before and after the source's."""
    names = [topics("m-orders", partitions=2)]
    names += [topics(name, partitions=2) for name in ("a-1m", "n-10m", "b-1h", "z-1d", "c-parked", "y-dlq")]
    return [Entry(Partition(name, number), 10 + at, f"s1-{at}") for at, name in enumerate(names)]


def stored(entries: Sequence[Entry]) -> dict[Partition, Stored]:
    """What is read back once all of *entries* stand with the broker."""
    return {entry.partition: Stored(entry.offset, entry.metadata) for entry in entries}


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_a_source_and_its_chain_are_committed_together(protocol: str, join: Join, topic: Topics) -> None:
    """One request stores all seven with their metadata, and its answer names them as they were sent."""
    entries = chain_of(topic)
    owner = join(entries[0].partition.topic, protocol)
    answer = owner.commit(entries)

    assert answer == CommitAnswer(tuple(entries), None, "")
    assert owner.consumer.committed([entry.partition for entry in entries], 10) == stored(entries)


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_a_commit_that_is_waited_for_stores_them_as_well(protocol: str, join: Join, topic: Topics) -> None:
    """The last commit before partitions are given away is whole too."""
    entries = chain_of(topic)
    owner = join(entries[0].partition.topic, protocol)
    answer = owner.consumer.commit_now(entries)

    assert answer == CommitAnswer(tuple(entries), None, "")
    assert owner.consumer.committed([entry.partition for entry in entries], 10) == stored(entries)


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
@pytest.mark.parametrize("refused", [0, 3, 6])
def test_one_entry_that_is_refused_is_an_error_of_the_whole(
    protocol: str, refused: int, join: Join, topic: Topics
) -> None:
    """Though the others are stored: what stands with the broker has to be read back."""
    entries = chain_of(topic)
    owner = join(entries[0].partition.topic, protocol)
    entries[refused] = entries[refused]._replace(metadata=TOO_LARGE)
    answer, waited_for = owner.commit(entries), owner.consumer.commit_now(entries)
    found = owner.consumer.committed([entry.partition for entry in entries], 10)

    assert answer == CommitAnswer(tuple(entries), KafkaError.OFFSET_METADATA_TOO_LARGE, "OFFSET_METADATA_TOO_LARGE")
    assert waited_for == answer
    assert found.pop(entries[refused].partition) == Stored(None, "")
    assert found == stored(entries[:refused] + entries[refused + 1 :])


def test_a_topic_of_the_chain_that_is_missing_is_an_error_of_the_whole(join: Join, topic: Topics) -> None:
    """A commit can't lose a part of its chain unheard."""
    entries = chain_of(topic)
    owner = join(entries[0].partition.topic)
    entries[2] = Entry(Partition("absent-topic", 1), 3, "s1")
    answer = owner.commit(entries)

    assert (answer.code, answer.error) == (KafkaError.UNKNOWN_TOPIC_OR_PART, "UNKNOWN_TOPIC_OR_PART")
    assert answer.entries == tuple(entries)


def test_of_a_chain_that_was_never_committed_nothing_is_told(join: Join, topic: Topics) -> None:
    """Partitions without a commit are in the answer, without an offset."""
    source, *chain = chain_of(topic)
    owner = join(source.partition.topic)
    owner.consumer.commit_now([source])
    found = owner.consumer.committed([entry.partition for entry in [source, *chain]], 10)

    assert found == stored([source]) | {entry.partition: Stored(None, "") for entry in chain}


def test_the_worst_error_of_a_request_is_its_error() -> None:
    """What leaves open what was stored outweighs what only says: once more."""
    request = (Entry(Partition("orders", 0), 5, "s1"),)
    passing, ending, unclear = map(
        KafkaError, (KafkaError.NOT_COORDINATOR, KafkaError.UNKNOWN_MEMBER_ID, KafkaError.UNKNOWN)
    )

    assert answer_to(request, [None, None]) == CommitAnswer(request, None, "")
    assert answer_to(request, [None, passing]) == CommitAnswer(request, KafkaError.NOT_COORDINATOR, "NOT_COORDINATOR")
    assert answer_to(request, [passing, ending, None]).code == KafkaError.UNKNOWN_MEMBER_ID
    assert answer_to(request, [ending, unclear, passing]).code == KafkaError.UNKNOWN


def test_an_answer_names_its_request_in_the_order_that_was_sent() -> None:
    """The client sorts by topic; the source partition comes first again."""
    flight = Flight()
    sent = [Entry(Partition(name, 0), 5, "s1") for name in ("orders", "a-chain", "z-chain")]
    flight.add(sent)

    assert flight.land(sorted(places_of(sent), key=lambda place: place.topic)) == tuple(sent)


def test_an_answer_to_nobody_is_told_as_it_came() -> None:
    """The second of two equal requests, whose first has the answer already."""
    flight = Flight()

    assert flight.land([TopicPartition("orders", 0, 5, "s1")]) == (Entry(Partition("orders", 0), 5, "s1"),)
