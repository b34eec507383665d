"""What commits cost a broker: a member of many partitions beside the bare loop, which commits nothing."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.growth.curves import Bench
from benchmarks.growth.row import Row
from streams.bench.figures import percentile
from streams.bench.ground import BenchError, Ground
from streams.bench.pace import Pace, stamped_values
from streams.bench.race import complete
from streams.bench.records import make_topic
from streams.bench.task import Mode, Task
from streams.config import Settings
from streams.dev import DevCluster, this_process
from streams.errors import BrokerError
from streams.kafka.admin import Admin
from streams.kafka.offsets import committed, ends
from streams.kafka.topics import find_topics
from streams.record import Partition

PARTITIONS: Final = (12, 100, 1_000)
_PER_S: Final = 2_000
_WARM_UP_S: Final = 5
_BROKER_WARM_UP: Final = 300_000
"""Records that a broker takes before: one that has just started compiles for a minute, and nothing else."""
_BROKER_PER_S: Final = 6_000
_STARTS_WITHIN_S: Final = 300.0
_LASTS_S: Final = 20
_WARM_UP_TOPIC: Final = "warm-up"
_COMMITS: Final = "__consumer_offsets"
_RUNS: Final[tuple[Mode | None, ...]] = ("inline", None)


class _Moment(NamedTuple):
    """What the broker had done by then."""

    at: float
    cpu_s: float
    commits: int
    """Records of `_COMMITS`: one for each partition that was committed."""


def curve(bench: Bench) -> Iterator[Row]:
    """More partitions in one member's hands, 2,000 records a second over all of them; on brokers of their own."""
    for count in PARTITIONS:
        for mode in _RUNS:
            bench.supply.say(f"{count:,} partitions, {mode or 'the bare loop'}")
            yield _on_a_broker(bench, count, mode)


def _on_a_broker(bench: Bench, count: int, mode: Mode | None) -> Row:
    """Measure on a broker that holds nothing else: a thousand partitions and their chain fill its memory."""
    with tempfile.TemporaryDirectory(prefix="streams-bench-") as folder:
        cluster = DevCluster.start(Path(folder) / "kafka", brokers=1, lives_with=this_process())
        try:
            settings = bench.supply.place.settings.over(bootstrap=cluster.bootstrap)
            make_topic(settings, _WARM_UP_TOPIC, PARTITIONS[0])
            Pace(settings, _WARM_UP_TOPIC, _BROKER_PER_S).send_all(_values(_BROKER_WARM_UP, _BROKER_WARM_UP))
            return _measure(Ground(settings, bench.supply.place.name), cluster.brokers[0].pid or 0, count, mode)
        finally:
            cluster.down()


def _measure(place: Ground, broker: int, count: int, mode: Mode | None) -> Row:
    topic = f"{place.name}-commits-{count}-{mode}"
    make_topic(place.settings, topic, count)
    unstamped, stamped = _PER_S * _WARM_UP_S, _PER_S * _LASTS_S
    task = Task(topic=topic, partitions=count, handler="stamped", mode=mode, group=topic, records=unstamped + stamped)
    with place.started(task) as process:
        pace = Pace(place.settings, topic, _PER_S)
        pace.send_all(_values(unstamped, unstamped))
        if mode is not None:
            _await_commits(place.settings, topic, unstamped)
        before = _moment(place.settings, broker)
        pace.send_all(_values(stamped, 0))
        after = _moment(place.settings, broker)
        outcome = place.finished(process)
    if mode is not None:
        complete(outcome, task)
    seconds = after.at - before.at
    p50, p99 = (percentile(outcome.latencies_ms, share) for share in (0.5, 0.99))
    return Row(
        curve="commits",
        at=count,
        run="the bare loop, no commits" if mode is None else "a member, a commit each second",
        rate=_PER_S * _LASTS_S / seconds,
        cpu_us=outcome.cpu_us,
        resident_mb=outcome.resident_bytes / 2**20,
        remark=(
            f"{(after.commits - before.commits) / seconds:,.0f} partitions committed a second,"
            f" the broker {(after.cpu_s - before.cpu_s) / seconds:.2f} of a core, p50 {p50:.1f} ms, p99 {p99:.1f} ms"
        ),
    )


def _values(count: int, unstamped: int) -> Iterator[tuple[bytes, bytes]]:
    """Give values with so many keys that each partition has records all the time."""
    for number, (_, value) in enumerate(stamped_values(count, unstamped)):
        yield b"key-%07d" % number, value


def _await_commits(settings: Settings, topic: str, records: int) -> None:
    """Wait until the group that is named as its *topic* has committed all *records*: it makes its topics at its start.

    Raises:
        BenchError: It has not.
    """
    give_up = time.monotonic() + _STARTS_WITHIN_S
    with Admin(settings) as admin:
        while _committed(admin, topic) < records:
            if time.monotonic() > give_up:
                raise BenchError(f"the group of {topic} did not commit all within {_STARTS_WITHIN_S:g} s")
            time.sleep(1)


def _committed(admin: Admin, topic: str) -> int:
    """Give how many records the group has committed; a broker that makes thousands of partitions answers nobody."""
    try:
        return sum(one.offset for place, one in committed(admin, topic).items() if place.topic == topic)
    except BrokerError:
        return 0


def _moment(settings: Settings, broker: int) -> _Moment:
    with Admin(settings) as admin:
        found = find_topics(admin, [_COMMITS], with_config=False)  # where nobody has committed it is not there
        count = found[_COMMITS].partitions if found else 0
        commits = sum(ends(admin, [Partition(_COMMITS, number) for number in range(count)]).values())
    fields = Path(f"/proc/{broker}/stat").read_text().rpartition(")")[2].split()
    return _Moment(time.monotonic(), sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK"), commits)
