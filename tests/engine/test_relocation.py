"""What an outcome leads to is produced once, and told when the last of it has a fate."""

from __future__ import annotations

import pytest

from streams.engine.context import Send, Sends
from streams.engine.letters import copies
from streams.engine.partition import Item, Move, PartitionState
from streams.engine.relocation import MAX_UNACKNOWLEDGED, Relocator
from streams.kafka.producer import Fate
from streams.outcome import Ack
from streams.record import Partition
from tests.engine.edges import ScriptedProducer
from tests.engine.stage import MINUTE, ORDERS, OTHER, chain_state, message, state


@pytest.fixture
def producer() -> ScriptedProducer:
    """The engine's producer."""
    return ScriptedProducer()


@pytest.fixture
def relocator(producer: ScriptedProducer) -> Relocator:
    """What produces through it."""
    return Relocator(producer)


def owned(partition: Partition = ORDERS) -> PartitionState:
    """A partition with its chain."""
    return state(partition, chain=chain_state(partition, (MINUTE,)))


def item(offset: int = 0, *, of: PartitionState | None = None) -> Item:
    """One record whose handler ended, each of a key of its own."""
    partition = of or owned()
    chunk = partition.admit([message(offset, b"%d" % offset, partition=partition.partition)])
    assert chunk is not None
    return partition.enlane(chunk)[0][0]


def sends(count: int) -> Sends:
    """*count* records to ``invoices``."""
    return Sends(Ack(), [Send("invoices", b"%d" % number, b"{}", []) for number in range(count)])


def leave(relocator: Relocator, one: Item) -> Move:
    """The record of *one* leaves for its tier."""
    move = one[4].depart(one, 0)
    relocator.relocate(one[4], copies(one[4], [move]))
    return move


def test_all_of_a_ticket_is_awaited(relocator: Relocator, producer: ScriptedProducer) -> None:
    """A record that sent three is told of after the third acknowledgement, whichever comes last."""
    one = item()
    relocator.send(one, sends(3))
    told = [relocator.acknowledged()]
    for which in (2, 0, 0):
        producer.answer(which=which)
        told.append(relocator.acknowledged())

    assert [len(tickets) for tickets in told] == [0, 0, 0, 1]
    assert (told[-1][0].item, told[-1][0].fate) == (one, "stored")
    assert [produced.key for produced in producer.landed] == [b"2", b"0", b"1"]


@pytest.mark.parametrize(
    ("fates", "worst"),
    [
        (("stored", "stored", "stored"), "stored"),
        (("stored", "refused", "stored"), "refused"),
        (("refused", "unknown", "stored"), "unknown"),
        (("unknown", "refused", "stored"), "unknown"),
        (("unknown", "stored", "unknown"), "unknown"),
    ],
    ids=lambda one: "-".join(one) if isinstance(one, tuple) else "",
)
def test_the_worst_fate_counts(
    fates: tuple[Fate, ...], worst: Fate, relocator: Relocator, producer: ScriptedProducer
) -> None:
    """Unknown is worse than refused, and refused worse than stored, in whatever order they come."""
    relocator.send(item(), sends(3))
    relocator.acknowledged()
    for fate in fates:
        producer.answer(fate, "" if fate == "stored" else f"{fate.upper()}_CODE")
    (ticket,) = relocator.acknowledged()

    assert ticket.fate == worst
    assert ticket.error == ("" if worst == "stored" else f"{worst.upper()}_CODE")


def test_a_copy_keeps_its_partition_number(relocator: Relocator, producer: ScriptedProducer) -> None:
    """A copy goes to its record's own number; a send goes where the producer puts it."""
    leave(relocator, item(of=owned(Partition("orders", 7))))
    relocator.send(item(), sends(1))
    relocator.acknowledged()

    assert [(one.topic, one.partition) for one in producer.flying] == [(MINUTE.topic, 7), ("invoices", None)]


def test_copies_that_the_broker_has_come_with_their_place(relocator: Relocator, producer: ScriptedProducer) -> None:
    """Those of each partition together, in the order in which it heard of them; none of them is a ticket."""
    one, other = owned(), owned(Partition("orders", 7))
    moves = [leave(relocator, item(offset, of=state)) for offset, state in ((1, one), (2, one), (3, other))]
    relocator.acknowledged()
    producer.answer_all()
    tickets, arrived = relocator.acknowledged(), relocator.arrived()

    assert tickets == []
    assert arrived == {one: moves[:2], other: moves[2:]}
    assert [move.offset for move in moves] == [0, 1, 0]
    assert relocator.arrived() == {}
    assert relocator.is_idle


def test_a_copy_that_the_broker_refuses_may_be_sent_again(relocator: Relocator, producer: ScriptedProducer) -> None:
    """It comes back as a ticket with what the broker said, and goes its way again."""
    one = item()
    move = leave(relocator, one)
    relocator.acknowledged()
    producer.answer("refused", "POLICY_VIOLATION")
    (ticket,) = relocator.acknowledged()
    nowhere = relocator.arrived()
    relocator.relocate(one[4], copies(one[4], [move]))
    relocator.acknowledged()
    producer.answer()
    relocator.acknowledged()

    assert (ticket.move, ticket.fate, ticket.error) == (move, "refused", "POLICY_VIOLATION")
    assert nowhere == {}
    assert list(relocator.arrived().values()) == [[move]]


def test_a_full_client_is_waited_for(relocator: Relocator, producer: ScriptedProducer) -> None:
    """What finds no room is produced later, in its order, and nothing twice."""
    producer.is_full = True
    relocator.send(item(), sends(2))
    relocator.acknowledged()
    before = list(producer.flying)
    producer.is_full = False
    relocator.acknowledged()

    assert before == []
    assert [one.key for one in producer.flying] == [b"0", b"1"]
    assert relocator.unacknowledged == 2


def test_what_is_on_its_way_is_bounded(relocator: Relocator, producer: ScriptedProducer) -> None:
    """No more than the bound is on its way at once; the rest follows as room is made."""
    relocator.send(item(), sends(MAX_UNACKNOWLEDGED + 2))
    relocator.acknowledged()
    first = len(producer.flying)
    producer.answer_all()
    relocator.acknowledged()
    relocator.acknowledged()

    assert first == MAX_UNACKNOWLEDGED
    assert len(producer.flying) == 2


def test_what_the_client_refuses_at_once_is_refused(relocator: Relocator, producer: ScriptedProducer) -> None:
    """An error out of the call itself is a fate like another: nothing was sent."""
    producer.refuses = "_INVALID_ARG"
    relocator.send(item(), sends(2))
    (ticket,) = relocator.acknowledged()

    assert (ticket.fate, ticket.error) == ("refused", "_INVALID_ARG")
    assert relocator.is_idle


@pytest.mark.parametrize("error", [TypeError("expected bytes"), ValueError("embedded null")], ids=str)
def test_what_the_client_can_not_even_read_is_refused(
    error: Exception, relocator: Relocator, producer: ScriptedProducer
) -> None:
    """A record that the client chokes on is refused, and ends no poll thread."""
    producer.fails = error
    relocator.send(item(), sends(1))
    (ticket,) = relocator.acknowledged()

    assert ticket.fate == "refused"
    assert str(error) in ticket.error
    assert relocator.is_idle


def test_nothing_of_a_dropped_partition_is_produced(relocator: Relocator, producer: ScriptedProducer) -> None:
    """What waited for room when its partition went is not sent, and what was on its way is not waited for."""
    flying, waiting, kept = item(1), item(2), item(3, of=owned(OTHER))
    relocator.send(flying, sends(1))
    relocator.acknowledged()
    relocator.send(waiting, sends(1))
    relocator.send(kept, sends(1))
    for one in (flying, waiting):
        one[4].drop()
    relocator.acknowledged()

    assert len(producer.flying) == 2
    assert not relocator.is_busy_with([flying[4], waiting[4]])
    assert relocator.is_busy_with([kept[4]])
    producer.answer_all()
    assert kept in [ticket.item for ticket in relocator.acknowledged()]
    assert relocator.is_idle


def test_a_partition_is_busy_until_its_last_ticket_is_told(relocator: Relocator, producer: ScriptedProducer) -> None:
    """Busy are the partitions of which something waits to be produced, acknowledged or told; others are not."""
    one, other = item(), item(of=owned(OTHER))
    idle = relocator.is_idle
    relocator.send(one, sends(1))
    queued = (relocator.is_busy_with([one[4]]), relocator.is_busy_with([other[4]]))
    relocator.acknowledged()
    flying = relocator.is_busy_with([one[4]])
    producer.answer()
    relocator.push(0)
    landed = relocator.is_busy_with([one[4]])
    relocator.acknowledged()

    assert idle
    assert queued == (True, False)
    assert flying
    assert landed
    assert not relocator.is_busy_with([one[4]])
    assert relocator.is_idle


def test_too_large_in_a_batch_may_fit_alone(relocator: Relocator, producer: ScriptedProducer) -> None:
    """The broker measures the batch: each record that was in one is tried by itself before it counts as too large."""
    relocator.send(item(), sends(2))
    relocator.acknowledged()
    producer.answer_all("refused", "MSG_SIZE_TOO_LARGE")
    told = relocator.acknowledged()
    relocator.acknowledged()
    alone = len(producer.flying)
    producer.answer()
    told += relocator.acknowledged()
    relocator.acknowledged()
    producer.answer("refused", "MSG_SIZE_TOO_LARGE")
    told += relocator.acknowledged()

    assert alone == 1
    assert [(ticket.fate, ticket.error) for ticket in told] == [("refused", "MSG_SIZE_TOO_LARGE")]
    assert relocator.is_idle


def test_what_was_too_large_waits_until_nothing_else_is_on_its_way(
    relocator: Relocator, producer: ScriptedProducer
) -> None:
    """Alone means alone: no other record may share its batch."""
    relocator.send(item(), sends(2))
    relocator.acknowledged()
    producer.answer("refused", "MSG_SIZE_TOO_LARGE")
    relocator.acknowledged()
    relocator.acknowledged()
    meanwhile = [one.key for one in producer.flying]
    producer.answer()
    relocator.acknowledged()
    relocator.acknowledged()

    assert meanwhile == [b"1"]
    assert [one.key for one in producer.flying] == [b"0"]


def test_answers_are_waited_for_only_while_some_are_missing(relocator: Relocator, producer: ScriptedProducer) -> None:
    """With nothing on its way no time is lost."""
    relocator.push(0.5)
    relocator.send(item(), sends(1))
    relocator.acknowledged()
    relocator.push(0.5)

    assert producer.waits == [0, 0.5]
