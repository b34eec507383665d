"""A key of which too much waits stops its partition, or is given up: as declared, and never more."""

from __future__ import annotations

import threading

from streams import App, Record, RetryPolicy
from streams.engine.chain import unpack, unpack_error
from tests.brokers import Topics
from tests.path.members import Bench, headers_of, numbered

AN_HOUR = RetryPolicy(delays=("1h",), jitter=0)
SOON = RetryPolicy(delays=("3s",) * 20, jitter=0, memory_up_to="1s")


def test_what_is_beyond_a_key_s_bound_is_given_up(bench: Bench, topic: Topics, app: App) -> None:
    """Unrun, with the reason, in its order; what waits within the bound waits on, and other keys are done."""
    orders, done = topic(), list[bytes | None]()

    @app.on(orders, policy="park", retry=AN_HOUR)
    def handle(record: Record) -> None:
        if record.key == b"stuck":
            raise ValueError("not today")
        done.append(record.value)

    bench.write(orders, [*numbered(20, [b"stuck"]), *numbered(10, [b"free"])])
    member = bench.run(app, key_records=5, on_key_full="dead_letter", waiting_records=2)
    member.passed()
    report = member.stop()
    letters = [headers_of(message) for message in bench.dead(orders, app.group)]
    reasons = {error.reason for headers in letters if (error := unpack_error(headers)) is not None}

    assert [unpack(headers).offset for headers in letters] == list(range(5, 20))
    assert {unpack(headers).attempts for headers in letters} == {0}
    assert reasons == {"its key is full"}
    assert done == [b"%d" % number for number in range(10)]
    assert (report.left, report.committed) == (0, True)
    assert not [reason for _, reason in member.ear.heard("paused") if reason == "key"]


def test_a_full_key_stops_its_partition_and_nothing_is_given_up(bench: Bench, topic: Topics, app: App) -> None:
    """Reading goes on by itself once its records end, and all of them are done in their order."""
    orders, seen, works = topic(), list[int](), threading.Event()

    @app.on(orders, policy="park", retry=SOON)
    def handle(record: Record) -> None:
        if not works.is_set():
            raise ValueError("not yet")
        seen.append(record.offset)

    bench.write(orders, numbered(20, [b"stuck"]))
    member = bench.run(app, key_records=5, waiting_records=2)
    member.until(lambda: "key" in [reason for _, reason in member.ear.heard("paused")])
    bench.write(orders, numbered(20, [b"stuck"]))
    works.set()
    member.until(lambda: len(seen) == 40)
    member.passed()

    assert seen == list(range(40))
    assert member.ear.heard("resumed")
    assert not member.ear.heard("dead_lettered")
