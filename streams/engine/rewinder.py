"""Has partitions go on from another offset while the group runs: what their owner does of a replay.

See `replay.py` for why it is done in these steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from streams.clock import Clock
from streams.engine.assignment import Assignment
from streams.engine.command import Command
from streams.engine.commit import Committer
from streams.engine.partition import PartitionState
from streams.engine.replay import LATE_S, Before, Beginning, Rewind, Rewound, Undone
from streams.engine.snapshot import Replay
from streams.errors import LedgerError
from streams.observer import PauseReason

_MANY: Final = 1_000_000
_TOLD_WITHIN_S: Final = 60.0
"""How long a partition rests, past the drain budget, for an audit that takes no answer."""
_HEARS_WITHIN_S: Final = 15.0
"""How long a stay within a replay reads nothing until its owner has heard what operators want; then it goes on deaf."""


class Pace:
    """How much of a partition its replay may read now: a second's worth at most, and at the beginning."""

    __slots__ = ("_at_s", "_left", "_most", "_position", "_rate", "is_held")

    def __init__(self, rate: float, position: int, now_s: float) -> None:
        """Let *rate* records a second be read from *position* on."""
        self._rate, self._position, self._at_s = rate, position, now_s
        self._most = self._left = max(1.0, rate)
        self.is_held = False
        """It has read as much as it may; it goes on once half of a second's worth may be read again."""

    def look(self, position: int, now_s: float) -> None:
        """Note how far it has read."""
        read, passed_s = max(0, position - self._position), now_s - self._at_s
        self._left = min(self._most, self._left + passed_s * self._rate) - read
        self._position, self._at_s = position, now_s
        self.is_held = self._left < (max(1.0, self._most / 2) if self.is_held else 1.0)

    @property
    def allowance(self) -> int:
        """Records that may be read now."""
        return int(self._left)


class Rewinder:
    """Owned by the poll thread.

    Always true:

    * A partition that rests runs nothing, and all that settled of it is committed.
    * A stay that goes on with a replay reads nothing before its owner has heard whether that was ended meanwhile: the
      audit may say so already.
    """

    def __init__(
        self,
        *,
        assignment: Assignment,
        committer: Committer,
        is_busy: Callable[[Sequence[PartitionState]], bool],
        drain_s: float,
        clock: Clock,
    ) -> None:
        """Have nothing to do yet.

        Args:
            assignment: Where stays end and begin.
            committer: Knows what is committed.
            is_busy: Says whether anything of partitions is running or on its way.
            drain_s: How long what runs may go on; it counts as not settled then.
            clock: Where the time comes from.
        """
        self._assignment = assignment
        self._committer = committer
        self._is_busy = is_busy
        self._drain_s = drain_s
        self._clock = clock
        self._resting: dict[PartitionState, float] = {}
        """Since when."""
        self._paces: dict[PartitionState, Pace] = {}
        self._deaf: dict[PartitionState, float] = {}
        """Stays that go on with a replay and have not heard all that there was to hear, and until when they wait."""
        self._known: set[PartitionState] = set()

    def begin(self, states: Sequence[PartitionState]) -> bool:
        """Look at stays, old and new; say whether any of them is to be read slowly, or not yet."""
        ends_at = self._clock.monotonic() + _HEARS_WITHIN_S
        for state in states:
            if is_under_way(state) and state not in self._known:
                self._deaf[state] = ends_at
        self._known = set(states)
        return bool(self._deaf) or any(map(is_capped, states))

    def is_deaf(self, state: PartitionState) -> bool:
        """Say whether *state* waits for what operators want."""
        return state in self._deaf

    def has_heard(self, state: PartitionState) -> None:
        """Let *state* be read: its owner has heard, and done, what there was when it began."""
        self._deaf.pop(state, None)

    def is_resting(self, state: PartitionState) -> bool:
        """Say whether *state* is closed, or about to be, for something that it is told."""
        return state in self._resting

    def look(self, state: PartitionState, command: Command) -> Rewound | None:
        """Say what becomes of *command*, which is about a replay; None while *state* comes to rest for it."""
        rewind = _of(command)
        refusal = None if state in self._resting else self._refusal(state, command, rewind)
        if refusal is not None:
            return refusal
        if not self._rests(state):
            return None
        ledger, replay = state.ledger, state.tenure.replay
        if command.verb == "replay":
            settled = tuple(ledger.ranges())
            before = Before(ledger.committable, settled)
            return Rewound(
                id=rewind.id,
                turn="begun",
                begun_by=state.assignment_id.hex(),
                start=rewind.start,
                until=max(ledger.position, settled[-1].stop if settled else 0),
                offset=before.offset,
                ledger=before.pack(),
            )
        assert replay is not None, "what is cancelled was found to be there"  # noqa: S101  # by `_refusal`
        return Rewound(
            id=rewind.id,
            turn="cancelled" if command.verb == "cancel" else "undone",
            begun_by=rewind.begun_by,
            start=replay.start,
            until=replay.until,
        )

    def turn(self, state: PartitionState, command: Command, told: Rewound, offset: int) -> bool:
        """Do what the audit has been *told* of *command*, at *offset* of the control topic; say whether that was so."""
        if told.turn in ("gone", "late"):
            return False
        beginning = _beginning(state, _of(command), told)._replace(control=offset + 1)
        self._assignment.restart(state.partition, f"replay {told.id}, {told.turn} by {command.who or '-'}", beginning)
        self._resting.pop(state, None)
        return True

    def gives_up(self, state: PartitionState, command: Command, offset: int) -> bool:
        """Go on without *command* where no answer to it can be told for too long."""
        since = self._resting.get(state)
        if since is None or self._clock.monotonic() - since < self._drain_s + _TOLD_WITHIN_S:
            return False
        if not self._committer.is_quiet(state):
            return False  # it is the broker that does not answer
        cause = f"replay {_of(command).id} was not begun: the audit takes no answer"
        self._assignment.restart(state.partition, cause, Beginning(control=offset + 1, replay=state.tenure.replay))
        self._resting.pop(state, None)
        return True

    def reason(self, state: PartitionState) -> PauseReason | None:
        """Say whether the intake of *state* stands still for a replay: it rests, listens, or has read all it may."""
        if state in self._resting:
            return "replay"
        if state in self._deaf:
            if self._clock.monotonic() < self._deaf[state]:
                return "replay"
            del self._deaf[state]
        replay = state.tenure.replay
        if replay is None or not is_capped(state):
            return None
        pace = self._paces.get(state)
        if pace is None:
            pace = self._paces[state] = Pace(replay.rate, state.tenure.began_at, self._clock.monotonic())
        pace.look(state.ledger.position, self._clock.monotonic())
        return "replay" if pace.is_held else None

    def allowance(self) -> int | None:
        """Say how many records may be read at a turn, as replays go on that have a cap; None where none does."""
        for state in [one for one in self._paces if one.is_dropped or not is_capped(one)]:
            del self._paces[state]
        for state in [one for one in self._deaf if one.is_dropped]:
            del self._deaf[state]
        if not self._paces:
            return _MANY if self._deaf else None
        return min((pace.allowance for pace in self._paces.values() if not pace.is_held), default=_MANY)

    def _refusal(self, state: PartitionState, command: Command, rewind: Rewind) -> Rewound | None:
        """Say why *command* is not carried out; None where it is to be."""
        replay = state.tenure.replay
        if command.verb == "replay":
            if replay is not None and replay.id == rewind.id:
                return Rewound(id=rewind.id, turn="gone")
            is_late = self._clock.now() - command.time_ms / 1000 > LATE_S
            return Rewound(id=rewind.id, turn="late") if is_late else None
        if replay is None or not rewind.is_of(replay) or (command.verb == "cancel" and replay.is_ended):
            return Rewound(id=rewind.id, turn="gone")
        try:
            rewind.before  # noqa: B018  # whether it can be read
        except LedgerError:
            return Rewound(id=rewind.id, turn="gone")
        return None

    def _rests(self, state: PartitionState) -> bool:
        """Let nothing of *state* start; say whether what ran has ended, and all of it is committed."""
        if state not in self._resting:
            for gone in [one for one in self._resting if one.is_dropped]:
                del self._resting[gone]
            state.close()
            self._resting[state] = self._clock.monotonic()
        is_over = self._clock.monotonic() - self._resting[state] > self._drain_s
        return (is_over or not self._is_busy([state])) and self._committer.is_quiet(state)


def is_capped(state: PartitionState) -> bool:
    """Say whether a replay of *state* goes on that may not read as fast as it can."""
    replay = state.tenure.replay
    return replay is not None and replay.rate > 0 and is_under_way(state)


def is_under_way(state: PartitionState) -> bool:
    """Say whether records of *state* are still to run again."""
    replay = state.tenure.replay
    return replay is not None and not replay.is_ended and state.ledger.position < replay.until


def _of(command: Command) -> Rewind:
    assert command.rewind is not None, "a command about a replay names it"  # noqa: S101  # so it was read
    return command.rewind


def _beginning(state: PartitionState, rewind: Rewind, told: Rewound) -> Beginning:
    """Give how the next stay begins."""
    former = state.tenure.replay
    if told.turn == "begun":
        replay = Replay(rewind.id, state.assignment_id, rewind.start, told.until, rewind.rate)
        before = Before.read(told.offset, told.ledger) if rewind.start > told.offset else None
        return Beginning(rewind.start, before=before, replay=replay)  # going forward, what is done above stays done
    before = rewind.before
    if told.turn == "undone":
        return Beginning(before=before, undone=Undone(rewind.id, before))
    assert former is not None, "it was there when it was told"  # noqa: S101  # and nothing has changed it
    return Beginning(before=before, replay=msgspec.structs.replace(former, is_ended=True))
