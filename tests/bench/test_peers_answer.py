"""What a worker of another framework answers, and what of its output is taken for it."""

from __future__ import annotations

import json

import msgspec
import pytest

from benchmarks.peers.answer import Answer, Errand, read_answer
from benchmarks.peers.workers import meter
from streams.bench.ground import BenchError

ANSWER = b'{"records": 3, "seconds": 0.5, "cpu_s": 0.25}'


def test_the_answer_is_found_among_what_a_framework_prints() -> None:
    """Banners before it and lines after it don't matter."""
    assert read_answer(b"+--- a banner ---+\n" + ANSWER + b"\ngood bye {\n", 3) == Answer(
        records=3, seconds=0.5, cpu_s=0.25
    )


def test_an_answer_gives_rate_and_cost() -> None:
    """Its figures are those of our own runs."""
    outcome = read_answer(ANSWER, 3).outcome()

    assert outcome.rate == 6
    assert outcome.cpu_us == pytest.approx(250_000 / 3)


def test_an_answer_about_other_records_is_refused() -> None:
    """A rate of fewer records than there were means nothing."""
    with pytest.raises(BenchError, match="handled 3 of 4 records"):
        read_answer(ANSWER, 4)


def test_no_answer_is_an_error_that_quotes_the_output() -> None:
    """What it wrote instead is told."""
    with pytest.raises(BenchError, match=r"(?s)without an answer.*Traceback"):
        read_answer(b"Traceback: no such module", 3)


def test_both_sides_know_the_same_errand() -> None:
    """What is told to a worker is what its meter, which has the standard library only, can take."""
    told = Errand(bootstrap="host:1", topic="t", partitions=2, group="g", handler="told", records=3, journal="j")

    taken = meter.Errand(**json.loads(msgspec.json.encode(told)))

    assert vars(taken) == msgspec.structs.asdict(told)
