"""The records that every run reads: 10,000 keys, JSON of one size, numbered for each key."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import accumulate
from typing import Final

from streams.bench.task import Keys
from streams.config import Settings
from streams.errors import BrokerError
from streams.kafka.admin import Admin
from streams.kafka.bulk import BulkSender
from streams.kafka.shape import NewTopic
from streams.kafka.topics import create_topics, require_topics

KEYS: Final = 10_000
VALUE_BYTES: Final = 300
LARGE_BYTES: Final = 2_048

_EXPONENT: Final = 1.04
"""Zipf's exponent: the hottest of 10,000 keys then has 12 % of the records."""
_BLOCK: Final = 10_000
_WORDS: Final = ("amber", "anvil", "aspen", "birch", "bronze", "cedar", "cobalt", "copper", "delta", "ember", "flint")
_FORM: Final = '{,"note":""}'
_FLUSH_WITHIN_S: Final = 120.0


def numbered_records(
    count: int, *, spread: Keys = "zipf", size: int = VALUE_BYTES, seed: int = 7, counts: Counter[str] | None = None
) -> Iterator[tuple[bytes, bytes]]:
    """Give *count* pairs of key and value of *size* bytes; the values of one key are numbered from 0.

    *counts*, where given, counts the records of each key.
    """
    rng = random.Random(seed)
    text = " ".join(rng.choices(_WORDS, k=_BLOCK))
    numbers: dict[str, int] = defaultdict(int) if counts is None else counts
    for key in keys(count, rng, spread):
        number = numbers[key]
        numbers[key] = number + 1
        yield key.encode(), value_of(key, number, rng.getrandbits(64), text, size)


def keys(count: int, rng: random.Random, spread: Keys = "zipf") -> Iterator[str]:
    """Give *count* keys, drawn by Zipf's law, or all with the same chance."""
    names = [f"key-{rank:05}" for rank in range(KEYS)]
    exponent = -_EXPONENT if spread == "zipf" else 0.0
    weights = list(accumulate((rank + 1) ** exponent for rank in range(KEYS)))
    for start in range(0, count, _BLOCK):
        yield from rng.choices(names, cum_weights=weights, k=min(_BLOCK, count - start))


def value_of(key: str, number: int, chance: int, text: str, size: int = VALUE_BYTES) -> bytes:
    """Give one value: an object with a few fields, *size* bytes; *chance* and a stretch of *text* make it differ."""
    fields = (
        f'"key":"{key}","number":{number},"order_id":"{chance:016x}","amount":{chance % 99_991 / 100},'
        f'"is_express":{"true" if chance % 10 == 0 else "false"}'
    )
    start = chance % (len(text) - size)
    note = text[start : start + size - len(fields) - len(_FORM)]
    return f'{{{fields},"note":"{note}"}}'.encode()


def make_topic(settings: Settings, name: str, partitions: int, **config: str) -> None:
    """Make the topic that a bench reads from."""
    with Admin(settings) as admin:
        create_topics(
            admin, [NewTopic(name, partitions, config={name.replace("_", "."): v for name, v in config.items()})]
        )


def produce_all(settings: Settings, topic: str, records: Iterator[tuple[bytes, bytes]]) -> None:
    """Send *records* to *topic* and wait until the broker has all of them.

    Raises:
        BrokerError: Not all were acknowledged.
    """
    sender = bulk_sender(settings, topic)
    for number, (key, value) in enumerate(records):
        sender.send(number, key, value)
    require_all_sent(sender, topic)


def bulk_sender(settings: Settings, topic: str) -> BulkSender:
    """Give what sends many records to *topic*."""
    with Admin(settings) as admin:
        return BulkSender(settings, require_topics(admin, [topic], with_config=True)[topic])


def require_all_sent(sender: BulkSender, topic: str) -> None:
    """Wait until the broker has all that *sender* took.

    Raises:
        BrokerError: Not all were acknowledged.
    """
    if sender.finish(_FLUSH_WITHIN_S) or sender.failed:
        raise BrokerError(
            f"{topic} acknowledged only {sender.acknowledged.total():,} records within {_FLUSH_WITHIN_S:g} s; "
            f"nothing was measured. Look at the broker's log, or give fewer --records"
        )
