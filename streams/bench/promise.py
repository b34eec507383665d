"""The order of each key, at full speed, and a control that must fail: an engine that reverses every batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec

from streams.bench.ground import Ground
from streams.bench.race import Race, complete, group_of
from streams.bench.task import Mode, Outcome
from streams.engine.broken import VARIABLE

_BROKEN: Final = {VARIABLE: "reverse-order"}


class Verdict(NamedTuple):
    """What the check of one mode found."""

    mode: Mode
    sound: Outcome
    broken: Outcome
    """Of the engine that is broken on purpose."""

    @property
    def is_kept(self) -> bool:
        """Every record came once, in the order of its key."""
        return self.sound.violations == 0 and self.sound.checked == self.sound.records

    @property
    def is_seen(self) -> bool:
        """The check reported the broken engine: it is able to see."""
        return self.broken.violations > 0


def check_order(ground: Ground, race: Race, say: Callable[[str], None]) -> list[Verdict]:
    """Check each mode of *race* over all records, with the sound engine and with the broken one.

    Raises:
        BenchError: In a run not every record settled.
    """
    verdicts = []
    for mode in race.modes:
        say(f"checking the order, {mode}")
        task = race.task("checked", mode, f"{group_of(ground, race, mode)}-checked{race.failures:g}")
        sound = complete(ground.run(task), task)
        broken = complete(ground.run(msgspec.structs.replace(task, group=f"{task.group}-broken"), _BROKEN), task)
        verdicts.append(Verdict(mode, sound, broken))
    return verdicts
