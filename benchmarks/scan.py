"""The scan of a chain beside the bare client: what an owner pays before it starts.

    python -m benchmarks.scan                        # on a broker of its own
    STREAMS_BOOTSTRAP=host:port python -m benchmarks.scan --copies 1000000 --partitions 12

The copies are of 300 bytes with one packed header.  The scan reads all of them
and unpacks every header; the control reads them in batches of 500 and looks at
nothing.  They take turns, and each clock runs from its first batch to its last.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from statistics import median

from streams.bench.ground import BenchError, ground
from streams.bench.records import make_topic, numbered_records
from streams.config import Settings
from streams.engine.chain import Attempt, copy_headers, new_header, unpack
from streams.kafka.admin import Admin
from streams.kafka.bare import BareReader
from streams.kafka.bulk import BulkSender
from streams.kafka.chainreader import ChainReader
from streams.kafka.message import Message
from streams.kafka.offsets import ends
from streams.kafka.reader import Stretch
from streams.kafka.topics import require_topics
from streams.record import Origin, Partition, headers_of

_FLUSH_WITHIN_S = 120
_BATCH = 500


def main() -> None:
    """Measure as the command line says, and print the rates and their ratio."""
    options = _options()
    settings = Settings(group="streams-bench").from_environment()
    with ground(settings, print) as place:
        topic = f"{place.name}.retry.1m"
        make_topic(place.settings, topic, options.partitions, message_timestamp_type="LogAppendTime")
        _produce_copies(place.settings, topic, options.copies)
        with Admin(place.settings) as admin:
            stops = ends(admin, [Partition(topic, number) for number in range(options.partitions)])
        pairs = [
            (_rate(_bare(place.settings, stops, options.copies)), _rate(_scan(place.settings, stops)))
            for _ in range(options.repeat)
        ]
    _tell(pairs)


def _tell(pairs: Sequence[tuple[float, float]]) -> None:
    ratios = sorted(scan / bare for bare, scan in pairs)
    print(
        f"bare {median(bare for bare, _ in pairs):12,.0f} /s\n"
        f"scan {median(scan for _, scan in pairs):12,.0f} copies/s, headers unpacked\n"
        f"ratio {median(ratios):.2f} ({ratios[0]:.2f}-{ratios[-1]:.2f})"
    )


def _rate(batches: Iterator[int]) -> float:
    """Give records a second, from the first of *batches* in hand to the last."""
    next(batches)
    started, count = time.perf_counter(), 0
    for size in batches:
        count += size
    return count / (time.perf_counter() - started)


def _bare(settings: Settings, stops: Iterable[Partition], count: int) -> Iterator[int]:
    with closing(BareReader(settings, stops)) as reader:
        while count > 0:
            size = len(reader.consume(min(_BATCH, count), 10))
            count -= size
            yield size


def _scan(settings: Settings, stops: dict[Partition, int]) -> Iterator[int]:
    reader = ChainReader(settings)
    for _, messages in reader.scan({place: Stretch(0, stop) for place, stop in stops.items()}):
        for message in messages:
            _unpack(message)
        yield len(messages)


def _unpack(message: Message) -> None:
    unpack(headers_of(message))


def _produce_copies(settings: Settings, topic: str, count: int) -> None:
    with Admin(settings) as admin:
        sender = BulkSender(settings, require_topics(admin, [topic], with_config=True)[topic])
    for number, (key, value) in enumerate(numbered_records(count)):
        header = new_header(
            Origin("orders", 0, number, 1_700_000_000_000),
            topic_id="f2OJQ5sTQmS1u3m0mYcV9A",
            group="billing",
            assignment_id=b"assignment",
            attempts=1,
            history=(Attempt(1_700_000_000_000, "TimeoutError"),),
        )
        sender.send(number, key, value, copy_headers([], header))
    if sender.finish(_FLUSH_WITHIN_S) or sender.failed:
        raise BenchError(f"{topic} acknowledged only {sender.acknowledged.total():,} of {count:,} copies")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--copies", type=int, default=200_000)
    parser.add_argument("--partitions", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=5)
    return parser.parse_args()


if __name__ == "__main__":
    main()
