"""The chain is read from where its reader was put, and scanned whole to an end that the broker told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from random import Random

import pytest
from confluent_kafka import Producer
from confluent_kafka.cimpl import NewTopic

from streams.config import Settings
from streams.dev import DevCluster
from streams.errors import BrokerError
from streams.kafka.admin import Admin
from streams.kafka.chainreader import ChainReader
from streams.kafka.groups import list_groups
from streams.kafka.message import Message, place_of
from streams.kafka.offsets import delete_before, ends
from streams.kafka.reader import Stretch
from streams.record import Partition
from tests.brokers import Kafka, Topics, unique
from tests.kafka.logs import write, write_in_transaction
from tests.kafka.oddity import OddBroker
from tests.waiting import eventually


@pytest.fixture
def settings(kafka: Kafka, group: Callable[..., str]) -> Settings:
    """Of a member of a group."""
    return Settings(bootstrap=kafka.bootstrap, group=group())


@pytest.fixture
def reader(settings: Settings) -> Iterator[ChainReader]:
    """A reader that stands nowhere yet."""
    with closing(ChainReader(settings)) as reader:
        yield reader


@pytest.fixture
def place(kafka: Kafka, topic: Topics) -> Partition:
    """A partition with the records 0 to 49."""
    name = topic("orders.billing.parked", partitions=2)
    write(kafka, name, [b"%d" % number for number in range(50)])
    return Partition(name, 0)


def offsets(messages: list[Message]) -> list[int | None]:
    """Where they stand."""
    return [message.offset() for message in messages]


def poll_until(reader: ChainReader, condition: Callable[[list[Message]], object]) -> list[Message]:
    """Poll until *condition* holds for all that came."""
    messages: list[Message] = []

    def met() -> object:
        messages.extend(reader.poll(100))
        return condition(messages)

    eventually(met, every_s=0.002)
    return messages


def read(reader: ChainReader, count: int) -> list[Message]:
    """Poll until at least *count* records came."""
    return poll_until(reader, lambda messages: len(messages) >= count)


def test_records_come_from_the_offset_that_was_asked_for(reader: ChainReader, place: Partition) -> None:
    """In order, to the end of the log, and the position goes with them."""
    reader.read_from(place, 20)
    assert dict(reader.positions) == {place: 20}

    assert offsets(read(reader, 30)) == list(range(20, 50))
    assert dict(reader.positions) == {place: 50}


def test_a_record_that_comes_later_is_read(reader: ChainReader, kafka: Kafka, place: Partition) -> None:
    """The reader waits at the end of a log."""
    reader.read_from(place, 50)
    assert reader.poll(100) == []
    write(kafka, place.topic, [b"later"])

    assert [message.value() for message in read(reader, 1)] == [b"later"]


def test_no_more_records_come_than_were_asked_for(reader: ChainReader, place: Partition) -> None:
    """The rest waits, and the position tells of what was handed over only."""
    reader.read_from(place, 0)
    first = eventually(lambda: reader.poll(7), every_s=0.002)

    assert offsets(first) == list(range(len(first)))
    assert len(first) <= 7
    assert reader.positions[place] == len(first)


def test_what_was_read_ahead_is_never_given_after_a_move(reader: ChainReader, kafka: Kafka, topic: Topics) -> None:
    """However often, back and forth: the first record is the one at the offset, and the others follow it."""
    chance, name = Random(7), topic("orders.billing.parked", partitions=3)
    for number in range(3):
        write(kafka, name, [b"x" * 100] * 2_000, partition=number)
        reader.read_from(Partition(name, number), 0)
    for _ in range(60):
        read(reader, 1)
        moved, start = Partition(name, chance.randrange(3)), chance.randrange(1_900)
        reader.read_from(moved, start)
        messages = poll_until(reader, lambda found, moved=moved: moved in map(place_of, found))  # type: ignore[misc]
        found = [message.offset() for message in messages if place_of(message) == moved]

        assert found == list(range(start, start + len(found)))


def test_what_was_left_gives_nothing_more(reader: ChainReader, kafka: Kafka, place: Partition) -> None:
    """Other partitions are read on."""
    other = Partition(place.topic, 1)
    write(kafka, place.topic, [b"x"] * 50, partition=1)
    reader.read_from(place, 0)
    eventually(lambda: reader.poll(1), every_s=0.002)
    reader.leave(place)
    reader.read_from(other, 0)

    assert {place_of(message) for message in read(reader, 50)} == {other}
    assert dict(reader.positions) == {other: 50}


def test_what_was_left_can_be_read_again(reader: ChainReader, place: Partition) -> None:
    """A chain partition is read only while it holds something, again and again."""
    for start in (0, 40, 10):
        reader.read_from(place, start)
        assert offsets(read(reader, 50 - start)) == list(range(start, 50))
        reader.leave(place)

    assert dict(reader.positions) == {}


def test_leaving_what_is_not_read_is_nothing(reader: ChainReader, place: Partition) -> None:
    """Neither before anything was read nor twice."""
    reader.leave(place)
    reader.read_from(place, 0)
    reader.leave(place)
    reader.leave(place)

    assert reader.poll(10) == []


def test_at_the_end_the_position_is_the_end_of_the_log(
    reader: ChainReader, admin: Admin, kafka: Kafka, topic: Topics
) -> None:
    """Though nothing stands at the last offsets: markers of transactions are no records."""
    place = Partition(topic("orders.billing.parked"), 0)
    write_in_transaction(kafka, place.topic, [b"kept"], commits=True)
    reader.read_from(place, 0)
    poll_until(reader, lambda _: reader.positions[place] == ends(admin, [place])[place])

    assert reader.positions[place] == 2


def test_a_transaction_that_was_left_open_hides_nothing(reader: ChainReader, kafka: Kafka, topic: Topics) -> None:
    """Whoever wrote it: copies that come after it are read and scanned."""
    place = Partition(topic("orders.billing.parked"), 0)
    stranger = Producer(kafka.client(transactional_id=unique("stranger")))
    stranger.init_transactions(30)
    stranger.begin_transaction()
    stranger.produce(place.topic, b"open")
    stranger.flush(30)
    write(kafka, place.topic, [b"copy"])
    reader.read_from(place, 0)
    scanned = [message.value() for _, batch in reader.scan({place: Stretch(0, 2)}) for message in batch]

    assert scanned[-1] == b"copy"
    assert read(reader, 2)[-1].value() == b"copy"
    stranger.abort_transaction(30)


def test_a_position_whose_records_are_gone_is_told(reader: ChainReader, admin: Admin, place: Partition) -> None:
    """Once, with the offset; the partition stands still until it is read from elsewhere."""
    delete_before(admin, {place: 30})
    reader.read_from(place, 10)
    told = eventually(lambda: reader.poll(10) or reader.out_of_range(), every_s=0.002)

    assert told == {place: 10}
    assert reader.out_of_range() == {}
    assert dict(reader.positions) == {place: 10}

    reader.read_from(place, 30)

    assert offsets(read(reader, 20)) == list(range(30, 50))


def test_reading_joins_nothing(reader: ChainReader, admin: Admin, settings: Settings, place: Partition) -> None:
    """The group whose chain it is does not get a member."""
    reader.read_from(place, 0)
    read(reader, 50)

    assert settings.group not in list_groups(admin)


def test_a_broker_that_is_away_is_trouble_and_no_end(nobody: Settings) -> None:
    """The client goes on trying, and says what it meets."""
    with closing(ChainReader(nobody)) as reader:
        reader.read_from(Partition("orders.billing.parked", 0), 0)

        assert "refused" in eventually(lambda: "".join(map(str, reader.poll(10))) or reader.trouble)


@pytest.mark.xdist_group("odd_broker")
def test_a_missing_right_is_an_end(odd: OddBroker) -> None:
    """Waiting does not mend it; the error says which right."""
    with closing(ChainReader(odd.settings_of_alice(group="billing"))) as reader:
        reader.read_from(Partition(odd.topic_that_alice_sees(), 0), 0)
        with pytest.raises(BrokerError, match=r"denies a right on the topic 'orders\.billing\.parked-"):
            poll_until(reader, bool)


def test_a_reader_that_was_closed_can_be_used_again(reader: ChainReader, place: Partition) -> None:
    """A group whose chain is empty keeps no connection for it."""
    reader.read_from(place, 0)
    reader.close()
    assert dict(reader.positions) == {}
    assert reader.poll(10) == []
    reader.read_from(place, 45)

    assert offsets(read(reader, 5)) == list(range(45, 50))


# -- scan -------------------------------------------------------------------------------------------


def scanned(reader: ChainReader, ranges: dict[Partition, Stretch]) -> dict[Partition, list[int | None]]:
    """Scan *ranges*, and give what came of each."""
    found: dict[Partition, list[int | None]] = {place: [] for place in ranges}
    for place, messages in reader.scan(ranges):
        assert {place_of(message) for message in messages} == {place}
        found[place] += offsets(messages)
    return found


def test_a_scan_gives_every_record_of_its_ranges_and_no_other(reader: ChainReader, kafka: Kafka, topic: Topics) -> None:
    """Of several topics and partitions, in batches of one each, in order."""
    tier, parked = (topic(f"orders.billing.{name}", partitions=2) for name in ("retry.1m", "parked"))
    places = [Partition(name, number) for name in (tier, parked) for number in range(2)]
    for place in places[:3]:
        write(kafka, place.topic, [b"x"] * 1_200, partition=place.number)
    first, second, third, empty = places
    ranges = {first: Stretch(0, 1_200), second: Stretch(100, 700), third: Stretch(1_199, 1_200), empty: Stretch(0, 0)}

    assert scanned(reader, ranges) == {
        first: list(range(1_200)),
        second: list(range(100, 700)),
        third: [1_199],
        empty: [],
    }


def test_a_scan_of_nothing_is_nothing(reader: ChainReader) -> None:
    """An untroubled group has no chain to read."""
    assert list(reader.scan({})) == []
    assert list(reader.scan({Partition("orders.billing.parked", 0): Stretch(5, 5)})) == []


def test_a_range_may_end_in_offsets_that_do_not_exist(
    reader: ChainReader, admin: Admin, kafka: Kafka, topic: Topics
) -> None:
    """Markers of transactions stand there, and nothing is waited for; also where nothing else is left."""
    place = Partition(topic("orders.billing.parked"), 0)
    write_in_transaction(kafka, place.topic, [b"copy"], commits=True)
    end = ends(admin, [place])[place]

    assert end == 2
    assert scanned(reader, {place: Stretch(0, end)}) == {place: [0]}
    assert scanned(reader, {place: Stretch(1, end)}) == {place: []}


def test_a_scan_leaves_what_is_polled_alone(reader: ChainReader, place: Partition) -> None:
    """Other partitions go on while one is recovered."""
    reader.read_from(place, 10)
    assert scanned(reader, {place: Stretch(0, 50)}) == {place: list(range(50))}

    assert offsets(read(reader, 40)) == list(range(10, 50))


def test_an_end_before_the_one_that_was_told_is_not_the_end(
    reader: ChainReader, kafka: Kafka, place: Partition
) -> None:
    """A leader that has just become one may not show yet what its predecessor had acknowledged."""
    scan = reader.scan({place: Stretch(0, 51)})
    _, first = next(scan)
    write(kafka, place.topic, [b"shown late"])
    further = [message for _, messages in scan for message in messages]

    assert offsets(first + further) == list(range(51))


def test_a_scan_that_hears_nothing_ends(reader: ChainReader, place: Partition) -> None:
    """With an error that names the partition, not in a start without what was not read."""
    with pytest.raises(BrokerError, match=f"nothing came for 0.5 s.*reading {place}"):
        list(reader.scan({place: Stretch(0, 51)}, silence_s=0.5))


def test_a_scan_whose_beginning_is_gone_ends(reader: ChainReader, admin: Admin, place: Partition) -> None:
    """What retention removed unread is told, not passed over."""
    delete_before(admin, {place: 30})

    with pytest.raises(BrokerError, match=f"{place}/10.*retention"):
        list(reader.scan({place: Stretch(10, 50)}))


def test_a_leader_that_dies_takes_no_copy_with_it(cluster3: DevCluster) -> None:
    """What it had acknowledged is counted by the end that its successor tells, and scanned whole."""
    kafka, name = Kafka(cluster3.bootstrap), unique("orders.billing.parked")
    place, settings = Partition(name, 0), Settings(bootstrap=cluster3.bootstrap, group="billing")
    kafka.admin.create_topics([NewTopic(name, 1, 3)])[name].result(30)
    write(kafka, name, [b"x"] * 1_000)
    leader = kafka.admin.list_topics(name, timeout=30).topics[name].partitions[0].leader
    cluster3.brokers[leader - 1].kill()
    with Admin(settings, timeout_s=60) as admin, closing(ChainReader(settings)) as reader:
        (end,) = ends(admin, [place]).values()

        assert end == 1_000
        assert scanned(reader, {place: Stretch(0, end)}) == {place: list(range(1_000))}


def test_a_scan_may_be_given_up(reader: ChainReader, place: Partition) -> None:
    """Its connection goes with it."""
    scan = reader.scan({place: Stretch(0, 50)})
    next(scan)
    scan.close()  # type: ignore[attr-defined]

    assert next(reader.scan({place: Stretch(0, 50)}))[0] == place
