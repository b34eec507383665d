"""The records that every run reads."""

from __future__ import annotations

from collections import Counter, defaultdict

import orjson

from streams.bench.records import KEYS, LARGE_BYTES, VALUE_BYTES, numbered_records

RECORDS = list(numbered_records(20_000))


def test_values_are_json_of_one_size() -> None:
    """Every value is an object of 300 bytes."""
    assert {len(value) for _, value in RECORDS} == {VALUE_BYTES}
    assert all(orjson.loads(value)["key"] == key.decode() for key, value in RECORDS)


def test_one_key_in_ten_thousand_has_an_eighth_of_the_records() -> None:
    """Keys are drawn by Zipf's law: no bench here is called by key whose records all differ in theirs."""
    counts = Counter(key for key, _ in RECORDS)

    assert len(counts) < KEYS
    assert 0.10 < counts.most_common(1)[0][1] / len(RECORDS) < 0.14


def test_the_records_of_each_key_are_numbered() -> None:
    """The order of a key can be verified from its values alone."""
    numbers = defaultdict(list)
    for key, value in RECORDS:
        numbers[key].append(orjson.loads(value)["number"])

    assert all(found == list(range(len(found))) for found in numbers.values())


def test_every_bench_reads_the_same_records() -> None:
    """Two sets of one seed are equal."""
    assert list(numbered_records(len(RECORDS))) == RECORDS


def test_keys_are_drawn_evenly_where_that_is_asked_for() -> None:
    """No key of the uniform set has more than a few records; each is numbered as ever."""
    counts: Counter[str] = Counter()

    values = [value for _, value in numbered_records(20_000, spread="uniform", size=LARGE_BYTES, counts=counts)]

    assert counts.total() == 20_000
    assert max(counts.values()) < 15
    assert {len(value) for value in values} == {LARGE_BYTES}
