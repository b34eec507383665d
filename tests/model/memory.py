"""Owners laid by: each distinct one once, with what a step makes of it.

A step of an owner depends on nothing but the owner and the step, so it is made
once, however many states of the world hold that owner.  An owner is kept as a
pickle: to thaw it is to have all its objects anew.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple, TypeAlias

from streams.engine.backlog import LaneKey
from streams.engine.partition import LOADED
from streams.kafka.commits import Request
from streams.kafka.consumer import Stored
from streams.kafka.message import Message
from tests.model.canonical import form, remember
from tests.model.owner import WALL_MS, Engine, Log, Owner, Sent, begin

Step: TypeAlias = "tuple[str, *tuple[Any, ...]]"
"""The name of a method of `Owner`, and its arguments."""


class Face(NamedTuple):
    """What the world may know of an owner."""

    number: int
    position: int
    """Of the source."""
    running: tuple[tuple[LaneKey, int], ...]
    """Lanes, and which record of each is at work."""
    wanted: tuple[int | None, ...]
    """By topic of the chain: where to read."""
    marks: tuple[int, ...]
    """By topic: the lowest outstanding offset."""
    ends: tuple[int | None, ...]
    """By topic: the end of what is known, where anything is outstanding and not about to move."""
    has_waiting: bool
    has_lease: bool
    open: int
    """Records not ended; a bit each."""
    blocked: int
    """Keys that wait for an operator."""
    is_crowded: bool
    """Something waits in memory behind the chain, or for another attempt."""


class Effect(NamedTuple):
    """What a step led to."""

    owner: int
    sent: tuple[Sent, ...] = ()
    done: int = 0
    """Records that ended well, a bit each."""
    request: Request | None = None
    started: tuple[LaneKey, ...] = ()
    fault: str = ""


class Memory:
    """All owners that were met so far, by number."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.faces: list[Face] = []
        self._frozen: list[bytes] = []
        self._numbers: dict[Hashable, int] = {}
        self._effects: dict[tuple[int, Step], Effect] = {}
        self._begun: dict[Hashable, Effect] = {}
        self._messages: list[Message] = []
        self._known: dict[Hashable, int] = {}
        self._shared = [LOADED, engine, engine.policy, engine.rng, *engine.plan.stages]
        self._places = {id(one): -place for place, one in enumerate(self._shared, 1)}

    def __len__(self) -> int:
        """Count the distinct owners."""
        return len(self._frozen)

    def begin(
        self, assignment_id: bytes, stored: tuple[Stored, ...], logs: tuple[Log, ...], ends: tuple[int, ...]
    ) -> Effect:
        """Let a new owner take the partition."""
        key = (assignment_id, stored, logs, ends)
        effect = self._begun.get(key)
        if effect is None:
            effect = self._begun[key] = self._guarded(lambda: begin(self.engine, assignment_id, stored, logs, ends))
        return effect

    def step(self, number: int, step: Step) -> Effect:
        """Let the owner *number* make *step*."""
        effect = self._effects.get((number, step))
        if effect is None:
            effect = self._effects[number, step] = self._guarded(lambda: self.thaw(number), step)
        return effect

    def thaw(self, number: int) -> Owner:
        """Give the owner *number*, all of it anew."""
        owner: Owner = _Unpickler(io.BytesIO(self._frozen[number]), self._message_or_shared).load()
        return owner

    def _guarded(self, owner_of: Callable[[], Owner], step: Step | None = None) -> Effect:
        try:
            owner = owner_of()
            request = getattr(owner, step[0])(*step[1:]) if step else None
        except Exception as error:  # noqa: BLE001  # whatever the engine raises is what was looked for
            return Effect(-1, fault=f"{type(error).__name__}: {error}")
        sent, done, started = tuple(owner.sent), _bits(owner.done), tuple(owner.started)
        owner.sent, owner.done, owner.started = [], [], []
        return Effect(self._freeze(owner), sent, done, request, started)

    def _freeze(self, owner: Owner) -> int:
        remember(owner)
        remember(owner.state.chain)
        shape = form(owner)
        number = self._numbers.get(shape)
        if number is None:
            number = self._numbers[shape] = len(self._frozen)
            file = io.BytesIO()
            _Pickler(file, self._place).dump(owner)
            self._frozen.append(file.getvalue())
            self.faces.append(_face(number, owner))
        return number

    def _place(self, value: object) -> int | None:
        if type(value) is Message:
            key = (value.topic(), value.offset(), repr(value.headers()))
            if key not in self._known:
                self._known[key] = len(self._messages)
                self._messages.append(value)
            return self._known[key]
        return self._places.get(id(value))

    def _message_or_shared(self, place: int) -> object:
        return self._messages[place] if place >= 0 else self._shared[-place - 1]


def _face(number: int, owner: Owner) -> Face:
    state = owner.state
    parts = state.chain.parts
    return Face(
        number,
        state.ledger.position,
        tuple(sorted(((key, owner.at_work(key)) for key in owner.running), key=repr)),
        tuple(part.wanted(WALL_MS) if part.outstanding else None for part in parts),
        tuple(part.committable for part in parts),
        tuple(part.end if part.outstanding and not part.relief else None for part in parts),
        state.has_waiting,
        state.lease_until > 0,
        _bits(owner.open),
        state.chain.blocked,
        bool(state.crowd or state.retries.held),
    )


def _bits(offsets: Sequence[int] | set[int]) -> int:
    return sum(1 << offset for offset in set(offsets))


class _Pickler(pickle.Pickler):
    def __init__(self, file: io.BytesIO, place: Callable[[object], int | None]) -> None:
        super().__init__(file, protocol=pickle.HIGHEST_PROTOCOL)
        self._place = place

    def persistent_id(self, obj: object) -> int | None:
        return self._place(obj)


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, load: Callable[[int], object]) -> None:
        super().__init__(file)
        self._load = load

    def persistent_load(self, pid: int) -> object:
        return self._load(pid)
