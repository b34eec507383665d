"""Where a group begins, and what it makes of the commits that it finds."""

from __future__ import annotations

import pytest

from streams import App, Record
from streams.errors import NewerLedgerError
from streams.kafka.admin import Admin
from streams.kafka.offsets import Committed, commit_for_stopped
from streams.record import Partition
from tests.brokers import Topics
from tests.path.members import Bench, numbered


@pytest.fixture
def seen() -> list[int]:
    """The offsets that the handler got."""
    return []


def declare(app: App, topic: str, seen: list[int]) -> None:
    """Declare a handler that notes which records it got."""

    @app.on(topic)
    def handle(record: Record) -> None:
        seen.append(record.offset)


def commit(bench: Bench, app: App, topic: str, offset: int, metadata: str) -> None:
    """Write a commit of the group, as somebody else."""
    with Admin(app.settings.over(bootstrap=bench.bootstrap)) as admin:
        commit_for_stopped(admin, app.group, {Partition(topic, 0): Committed(offset, metadata)})


@pytest.mark.parametrize(("start_at", "first"), [("earliest", 0), ("latest", 30)])
def test_new_group_begins_where_it_declared(start_at: str, first: int, bench: Bench, app: App, seen: list[int]) -> None:
    """At the oldest record, or behind the newest."""
    orders = bench.topics()
    declare(app, orders, seen)
    bench.write(orders, numbered(30))
    member = bench.run(app, start_at=start_at)
    member.settled()
    bench.write(orders, numbered(10))
    member.until(lambda: 39 in seen)

    assert seen == list(range(first, 40))


def test_group_that_began_at_the_newest_misses_nothing_afterwards(
    bench: Bench, topic: Topics, app: App, seen: list[int]
) -> None:
    """Where it began is committed at once: what is written while it is away runs when it is back."""
    orders = topic()
    declare(app, orders, seen)
    bench.write(orders, numbered(30))
    member = bench.run(app, start_at="latest")
    member.until(lambda: member.ear.heard("committed"))
    member.stop()
    bench.write(orders, numbered(10))
    bench.run(app, start_at="latest").settled()

    assert seen == list(range(30, 40))


@pytest.mark.parametrize("metadata", ["", "somebody else's note", "s1", "s1!damaged", "s1" + "0" * 300])
def test_unreadable_ledger_repeats_and_skips_nothing(
    metadata: str, bench: Bench, topic: Topics, app: App, seen: list[int]
) -> None:
    """Work above the committed offset runs, all of it and in order, and the first record is the committed one."""
    orders = topic()
    declare(app, orders, seen)
    bench.write(orders, numbered(30))
    commit(bench, app, orders, 12, metadata)
    member = bench.run(app)
    member.settled()

    assert seen == list(range(12, 30))
    assert len(member.ear.heard("ledger_unreadable")) == bool(metadata)


def test_ledger_of_a_later_version_is_left_alone(bench: Bench, topic: Topics, app: App, seen: list[int]) -> None:
    """The member refuses to start, says why, and changes nothing."""
    orders = topic()
    declare(app, orders, seen)
    bench.write(orders, numbered(30))
    commit(bench, app, orders, 12, "s9whatever")
    member = bench.run(app)
    member.await_end()

    assert isinstance(member.error, NewerLedgerError)
    assert f"{orders}/0" in str(member.error)
    assert seen == []
    assert member.ear.heard("committed") == []
