"""Operators' commands are carried out once, whatever moment the owner of the partition dies at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from streams.engine.command import control_topic
from streams.kafka.witness import ends_of, messages_of
from tests.brokers import Kafka, Topics
from tests.chaos.failpoints import EXIT
from tests.chaos.ward import Ward, mended
from tests.waiting import eventually

_CHAOS = pytest.mark.chaos
_PARTITIONS = 2
_RECORDS = 12


@pytest.fixture
def wards(kafka: Kafka, topic: Topics, group: Callable[..., str], tmp_path: Path) -> Iterator[Callable[[str], Ward]]:
    """Give a ward in which everything has died once; its members end with the test."""
    made: list[Ward] = []

    def open_ward(dead_letters: str) -> Ward:
        ward = Ward(kafka, topic(partitions=_PARTITIONS), group("letters"), tmp_path, CHAOS_DEAD_LETTERS=dead_letters)
        made.append(ward)
        for at in range(_RECORDS):
            kafka.write(ward.topic, b"{}", f"key-{at % 4}".encode())
        member = ward.start()
        dead = _RECORDS if dead_letters == "continue" else 4
        eventually(lambda: ward.letters == dead, within_s=60, every_s=0.5)
        ward.stop(member)
        return ward

    yield open_ward
    for ward in made:
        ward.end()


_MOMENTS = ["after-copy", "copied-before-commit", "answer-on-its-way", "answered-before-commit"]


@pytest.mark.parametrize(
    ("moment", "dead_letters"),
    [
        ("after-copy", "continue"),
        ("answered-before-commit", "continue"),
        *(pytest.param(moment, "continue", marks=_CHAOS) for moment in _MOMENTS[1:3]),
        *(pytest.param(moment, "hold", marks=_CHAOS) for moment in _MOMENTS),
    ],
)
def test_letters_are_retried_once_whenever_their_owner_dies(
    moment: str, dead_letters: str, wards: Callable[[str], Ward], tell: Callable[[str], None]
) -> None:
    """Dead at that moment, twice; each command comes twice, and once more in another order: nothing lost or doubled."""
    ward = wards(dead_letters)
    ward.mend()
    asked = ward.wanted("retry")
    ward.say([*asked, *asked])
    codes = [ward.start(moment).wait(60) for _ in range(2)]
    before = Counter(ward.served)
    member = ward.start()
    ward.say(asked[::-1])
    expected = 3 * sum(len(one.letters) for one in asked)
    eventually(lambda: ward.fates.total() >= expected and ward.is_at_rest, within_s=60, every_s=0.5)
    ward.stop(member)
    served = Counter(ward.served)
    tell(f"{moment}, {dead_letters}: {len(asked)} commands three times, served {served.total()}, {dict(ward.fates)}")

    assert codes == [EXIT, EXIT]
    assert len(served) == _RECORDS
    assert all(times <= 1 + len(codes) for times in served.values())  # what ran when it died, or was not committed
    assert all(served[one] <= before[one] + 1 for one in served)
    assert ward.letters == 0
    for key in {one[0] for one in served}:
        firsts = list(dict.fromkeys(offset for one, _, offset in ward.served if one == key))
        assert firsts == sorted(firsts)


@pytest.mark.parametrize(
    ("moment", "dead_letters"),
    [
        ("after-copy", "continue"),
        *(pytest.param(moment, "continue", marks=_CHAOS) for moment in ("copy-on-its-way", *_MOMENTS[1:])),
        *(pytest.param(moment, "hold", marks=_CHAOS) for moment in ("copy-on-its-way", *_MOMENTS)),
    ],
)
def test_letters_are_edited_once_whenever_their_owner_dies(
    moment: str, dead_letters: str, wards: Callable[[str], Ward], tell: Callable[[str], None]
) -> None:
    """Dead at that moment, twice, and each command comes three times: all run with their new value, none as it was."""
    ward = wards(dead_letters)
    ward.mend()
    asked = ward.edits()
    ward.say([*asked, *asked])
    codes = [ward.start(moment).wait(60) for _ in range(2)]
    before = Counter(ward.served)
    member = ward.start()
    ward.say(asked[::-1])
    eventually(lambda: ward.fates.total() >= 3 * len(asked) and ward.is_at_rest, within_s=60, every_s=0.5)
    ward.stop(member)
    served = Counter(ward.served)
    tell(f"{moment}, edit, {dead_letters}: {len(asked)} edits, served {served.total()}, {dict(ward.fates)}")
    edited = {(one.partition, one.letters[0].origin) for one in asked}

    assert codes == [EXIT, EXIT]
    assert len(served) == _RECORDS
    assert all(served[one] <= before[one] + 1 for one in served)
    assert {value for _, *place, value in ward.payloads if tuple(place) not in edited} <= {"{}"}
    assert all(
        value == mended(number, offset).decode()
        for _, number, offset, value in ward.payloads
        if (number, offset) in edited
    )
    assert ward.letters == 0
    assert ward.originals(asked) == {b"{}"}
    for key in {one[0] for one in served}:
        firsts = list(dict.fromkeys(offset for one, _, offset in ward.served if one == key))
        assert firsts == sorted(firsts)


@pytest.mark.parametrize("moment", ["answer-on-its-way", "answered-before-commit"])
@_CHAOS
def test_letters_are_forgotten_whenever_their_owner_dies(
    moment: str, wards: Callable[[str], Ward], tell: Callable[[str], None]
) -> None:
    """Dead at that moment, twice, and each command comes twice: none of them ever runs, and none is left."""
    ward = wards("continue")
    ward.mend()
    asked = ward.wanted("forget")
    ward.say([*asked, *asked])
    codes = [ward.start(moment).wait(60) for _ in range(2)]
    member = ward.start()
    expected = 2 * sum(len(one.letters) for one in asked)
    eventually(lambda: ward.fates.total() >= expected and ward.is_at_rest, within_s=60, every_s=0.5)
    ward.stop(member)
    tell(f"{moment}, forget: {len(asked)} commands twice, {dict(ward.fates)}")

    assert codes == [EXIT, EXIT]
    assert ward.served == []
    assert ward.letters == 0
    assert len(list(messages_of(ward.kafka.client(), control_topic(ward.group)))) == 2 * len(asked)


def test_the_journal_shows_a_record_that_runs_twice(wards: Callable[[str], Ward]) -> None:
    """The control: a letter that is asked for again after it has died again is served, and so is what came before."""
    ward = wards("continue")
    first = ward.wanted("retry")
    ward.say(first)
    member = ward.start()
    eventually(lambda: ward.fates["retried"] == _RECORDS and ward.letters == _RECORDS, within_s=60, every_s=0.5)
    ward.mend()
    ward.say(ward.wanted("retry"))
    eventually(lambda: ward.fates["retried"] == 2 * _RECORDS and ward.is_at_rest, within_s=60, every_s=0.5)
    ward.stop(member)
    late = ends_of(ward.kafka.client(), control_topic(ward.group))

    assert sum(late.values()) == 2 * len(first)
    assert len(ward.served) == _RECORDS
