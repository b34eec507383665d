"""Follows what operators want of this member for as long as it stands: pauses, restarts, drains, log levels.

All that stands is read before the group is joined, so that a pause holds from
the first record on; what comes later is heard a few times a second.  A restart,
a drain, or that a guard is to let go on, concerns the members that ran when it
was written: one that begins afterwards finds it behind it, whatever the clocks
say.

Off the records' way, like `control.py`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, Protocol

from streams.clock import Clock
from streams.engine.control import Source
from streams.engine.directive import Directive, read_directive
from streams.errors import LedgerError, RightsError
from streams.kafka.message import Message
from streams.observer import Observer

_LOOK_EVERY_S: Final = 0.2
_AT_ONCE: Final = 100
_MOST_SPREAD_S: Final = 3_600.0


class Follower(Protocol):
    """Who has to follow.  Called by the poll thread; nothing blocks."""

    def halt(self, topics: Mapping[str, str]) -> None:
        """Let *topics* stand still, each for that reason, and all others go on."""

    def resume(self, topics: Iterable[str]) -> None:
        """Let *topics* go on that a guard has stopped."""

    def restart(self) -> None:
        """End in order, and begin anew."""

    def drain(self) -> None:
        """Finish what is there now, the chain included, and leave."""


class Directives:
    """Owned by the poll thread.

    Always true: what stands for a topic is what was said of it last.
    """

    def __init__(
        self,
        *,
        topics: Iterable[str],
        recorded: Callable[[], tuple[Sequence[Message], int]],
        source: Source,
        follower: Follower,
        clock: Clock,
        observer: Observer,
        rng: random.Random | None = None,
    ) -> None:
        """Follow nothing yet.

        Args:
            topics: The sources of this member.
            recorded: Gives all that stands now, and the offset that follows.
            source: What is read from there on.
            follower: Who has to follow.
            clock: Where the time comes from.
            observer: Hears what is followed.
            rng: Says when, of the time over which members spread, this one restarts.
        """
        self._topics = tuple(topics)
        self._recorded = recorded
        self._source = source
        self._follower = follower
        self._clock = clock
        self._observer = observer
        self._rng = rng or random.Random()
        self._standing: dict[bytes, Directive] = {}
        self._restart_at: float | None = None
        self._look_at = float("-inf")

    def begin(self) -> None:
        """Take up what stands; what ends members has ended those before this one.

        Raises:
            BrokerError: The broker does not answer: a pause may stand, so nothing may start.
        """
        try:
            messages, offset = self._recorded()
        except RightsError as error:  # this user may not look: nobody pauses such a member
            self._observer.misheard(None, str(error))
            return
        for message in messages:
            self._take(message, is_new=False)
        self._apply()
        self._observer.followed(offset)
        self._source.begin(offset)

    def look(self) -> None:
        """Hear what is new, and follow it."""
        now_s = self._clock.monotonic()
        if now_s < self._look_at:
            return
        self._look_at = now_s + _LOOK_EVERY_S
        messages = self._source.take(_AT_ONCE)
        for message in messages:
            self._take(message, is_new=True)
        if messages:
            self._apply()
            self._observer.followed((messages[-1].offset() or 0) + 1)
        if self._restart_at is not None and now_s >= self._restart_at:
            self._follower.restart()

    def close(self) -> None:
        """Let go of the connection."""
        self._source.close()

    def _take(self, message: Message, *, is_new: bool) -> None:
        key, value, offset = message.key() or b"", message.value(), message.offset() or 0
        before = self._standing.pop(key, None)
        if not value:
            if before is not None:
                self._observer.directed(offset, before.kind, before.topic, "", is_lifted=True)
            return
        try:
            found = self._standing[key] = read_directive(value)
        except LedgerError as error:
            self._observer.misheard(offset, str(error))
            return
        if is_new and found.kind == "restart":
            self._restart_at = self._clock.monotonic() + self._rng.uniform(0, _seconds(found.value))
        elif is_new and found.kind == "drain":
            self._follower.drain()
        elif is_new and found.kind == "resume":
            self._follower.resume(self._meant(found))
        if is_new or found.kind in {"pause", "log_level"}:
            self._observer.directed(offset, found.kind, found.topic, found.value, is_lifted=False)

    def _apply(self) -> None:
        """Let stand still what is to."""
        halted: dict[str, str] = {}
        for one in self._standing.values():
            if one.kind == "pause":
                reason = f"{one.who or 'an operator'} paused it" + (f": {one.why}" if one.why else "")
                halted |= dict.fromkeys(self._meant(one), reason)
        self._follower.halt(halted)

    def _meant(self, one: Directive) -> list[str]:
        return [topic for topic in self._topics if one.topic in {"", topic}]


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        return 0.0
    return min(seconds, _MOST_SPREAD_S) if seconds > 0 else 0.0  # not a number is not more than 0
