"""Acting on dead letters: what an operator wants of them is put to the group, whose members do it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final
from uuid import uuid4

from streams.deadletter.letter import Letter
from streams.engine.command import MOST_LETTERS, Command, Verb, Wanted
from streams.engine.desk import Desk, Who
from streams.kafka.admin import Admin

_LOOK_EVERY_S: Final = 0.05


@dataclass
class Outcome:
    """What has become of the letters that were named."""

    asked: int = 0
    """Letters named in commands that the broker has."""
    fates: Counter[str] = field(default_factory=Counter)
    """Of how many what became."""

    @property
    def missing(self) -> int:
        """Letters of which nothing has been heard yet."""
        return self.asked - self.fates.total()


def commands(letters: Iterable[Letter], verb: Verb, who: Who, *, most: int = MOST_LETTERS) -> Iterator[Command]:
    """Put *letters* into commands, each of one partition and at most so many; memory is bounded by both."""
    waiting: dict[tuple[str, str, int], list[Wanted]] = {}
    for letter in letters:
        header = letter.header
        place = header.topic, header.topic_id, header.partition
        mine = waiting.setdefault(place, [])
        mine.append(Wanted(header.offset, header.redrives, letter.offset))
        if len(mine) >= most:
            yield _command(place, waiting.pop(place), verb, who)
    for place, mine in waiting.items():
        yield _command(place, mine, verb, who)


def act(
    admin: Admin,
    group: str,
    asked: Iterable[Command],
    *,
    rate: float | None = None,
    wait_s: float = 0.0,
    tell: Callable[[Outcome], None] = lambda _: None,
) -> Outcome:
    """Put *asked* to *group*, and hear what became of it.

    Args:
        admin: The connection.
        group: Which group; `prepare` was called for it.
        asked: The commands, in their order.
        rate: Letters a second at most; None: as fast as it goes.
        wait_s: How long to wait for answers after the last command; it begins anew with each answer.
        tell: Called now and then with how far it is.

    Raises:
        BrokerError: Commands could not be sent; those before them were.
    """
    desk, outcome = Desk(admin, group), Outcome()
    try:
        for command in asked:
            desk.send(command)
            outcome.asked += len(command.letters)
            _listen(desk, outcome, tell)
            _pause(0 if rate is None else len(command.letters) / rate, desk, outcome, tell)
        _wait(wait_s, desk, outcome, tell)
    finally:
        desk.close()
    return outcome


def _pause(seconds: float, desk: Desk, outcome: Outcome, tell: Callable[[Outcome], None]) -> None:
    """Let time pass, and listen."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, _LOOK_EVERY_S))
        _listen(desk, outcome, tell)


def _wait(seconds: float, desk: Desk, outcome: Outcome, tell: Callable[[Outcome], None]) -> None:
    """Listen until everything is answered, or nothing has come for so long."""
    end = time.monotonic() + seconds
    while outcome.missing and time.monotonic() < end:
        time.sleep(_LOOK_EVERY_S)
        if _listen(desk, outcome, tell):
            end = time.monotonic() + seconds


def _listen(desk: Desk, outcome: Outcome, tell: Callable[[Outcome], None]) -> bool:
    """Take in answers; say whether there was one."""
    found = desk.hear()
    for answer in found:
        outcome.fates.update(fate for _, fate in answer.fates)
    tell(outcome)
    return bool(found)


def _command(place: tuple[str, str, int], letters: list[Wanted], verb: Verb, who: Who) -> Command:
    topic, topic_id, partition = place
    return Command(
        id=uuid4().hex,
        verb=verb,
        topic=topic,
        topic_id=topic_id,
        partition=partition,
        letters=tuple(letters),
        who=who.name,
        why=who.reason,
        time_ms=int(time.time() * 1000),
    )
