"""How much may be read now: bounds on records and bytes in flight, in all and for each partition.

At the bound of the whole member, reading waits for a moment; where the moment
lasts, partitions are paused, so that the group is still heard.  A partition
that alone is over its bound, or whose ledger nears the metadata limit, is
paused alone and the others go on.  A pause drops what the client read ahead,
so it comes late and ends at half the bound.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from streams.clock import Clock
from streams.config import Settings
from streams.engine.commit import Committer
from streams.engine.partition import NEVER, PartitionState
from streams.engine.snapshot import METADATA_LIMIT
from streams.kafka.consumer import GroupConsumer
from streams.observer import Observer, PauseReason

_SHARED: Final = frozenset({"in_flight", "draining", "end"})
"""Reasons that have nothing to do with what is in flight of a partition; records of those paused for another one leave
room for the others."""

_OWN: Final = frozenset({"partition", "bytes"})
"""Reasons that a partition gives by itself."""

_COUNT_EVERY_S: Final = 1.0
"""How often the keys of a partition are gone through for the one that has most waiting, once one may have too much."""

_CHARACTERS: Final = 2
"""What a record that waits takes of the metadata, about: 1.1 among ten times as many, 2.9 among a thousand times."""

_PATIENCE_S: Final = 1.0
"""A bound is passed this long before anything is paused."""


class Intake:
    """Owned by the poll thread.

    Always true: a state stands in `paused` exactly while the client has its partition paused.
    """

    def __init__(self, settings: Settings, committer: Committer, clock: Clock, observer: Observer) -> None:
        """Hold the bounds of *settings*."""
        self._settings = settings
        self._committer = committer
        self._clock = clock
        self._observer = observer
        self._batch = min(settings.batch_records, settings.max_in_flight)
        self._full_since: float | None = None
        self._over_since: dict[PartitionState, float] = {}
        self._fullest: dict[PartitionState, tuple[float, int]] = {}
        """When the keys of a partition were counted, and what waits of the one that has most."""
        self.is_closed = False
        """Nothing further is to be read: the member stops."""
        self.paused: dict[PartitionState, PauseReason] = {}
        self.blocked: dict[PartitionState, PauseReason] = {}
        """Partitions that the engine itself stops, with the reason."""
        self.standing: Callable[[PartitionState], PauseReason | None] = lambda _: None
        """Why a partition stands still; the rooms say so that know."""
        self.allowance: Callable[[], int | None] = lambda: None
        """How many records may be read at a turn, where some are to be read slowly; None where none are."""
        self.is_paced = False
        """Some are: the bounds are looked at before each turn."""
        self._most = self._batch

    def room(self, states: Sequence[PartitionState]) -> int:
        """Give how many records may be read now; 0 where so little is free that waiting is better."""
        records = size = 0
        for state in states:
            size += state.outstanding_bytes
            if self.paused.get(state, "in_flight") in _SHARED:
                records += state.outstanding
        free = self._settings.max_in_flight - records
        least = max(1, self._settings.max_in_flight // 2 if self.is_stalled else (self._batch + 1) // 2)
        if self.is_closed or free < least or size >= self._settings.max_in_flight_bytes:
            if self._full_since is None:
                self._full_since = self._clock.monotonic()
            return 0
        self._full_since = None
        return min(self._most, free)

    def free(self, states: Sequence[PartitionState]) -> int:
        """Give how many records fit into memory beside those that are there; negative where it is over its bound."""
        return self._settings.max_in_flight - sum(state.outstanding for state in states)

    @property
    def is_stalled(self) -> bool:
        """There has been no room for so long that partitions are to be paused."""
        return self.is_closed or (
            self._full_since is not None and self._clock.monotonic() - self._full_since > _PATIENCE_S
        )

    def regulate(self, consumer: GroupConsumer, states: Sequence[PartitionState]) -> None:
        """Pause and resume partitions; called a few times a second."""
        now = self._clock.monotonic()
        wanted = {state: reason for state in states if (reason := self._reason(state, now, len(states)))}
        stop = [state for state in wanted if state not in self.paused]
        go_on = [state for state in self.paused if state not in wanted and not state.is_dropped]
        if stop:
            consumer.pause([state.partition for state in stop])
        if go_on:
            consumer.resume([state.partition for state in go_on])
        allowance = self.allowance()
        self.is_paced = allowance is not None
        self._most = self._batch if allowance is None else max(1, min(self._batch, allowance))
        told, self.paused = self.paused, wanted
        for table in (self._over_since, self.blocked, self._fullest):
            for gone in [state for state in table if state.is_dropped]:
                del table[gone]
        for state, reason in wanted.items():
            if told.get(state) != reason:
                self._observer.paused(state.partition, reason)
        for state in go_on:
            self._observer.resumed(state.partition)

    def is_crowded(self, state: PartitionState) -> bool:
        """Say whether so much of *state* waits that its bounds are to be looked at now, not at the next look."""
        return bool(state.trouble or state.crowd) and (
            state.waiting > self._settings.waiting_records or _foreseen(state) > self._settings.ledger_limit
        )

    def _reason(self, state: PartitionState, now: float, partitions: int) -> PauseReason | None:
        if self.is_closed:
            return "draining"
        if state.lacks:
            return "chain_topic"
        if state in self.blocked:
            return self.blocked[state]
        own = self.standing(state) or self._waiting_reason(state) or self._own_reason(state, now, partitions)
        if own is None and self.is_stalled:
            return "in_flight"
        return own

    def _waiting_reason(self, state: PartitionState) -> PauseReason | None:
        """Say whether so much waits, in memory or in the chain, that nothing further may come."""
        if self._is_ledger_full(state):
            return "ledger"
        if state.chain.indexed >= self._settings.chain_records * self._share(state, "chain"):
            return "chain"
        if self._settings.on_key_full == "stop" and self._is_key_full(state):
            return "key"
        is_troubled = bool(state.trouble or state.crowd)
        if is_troubled and state.waiting > self._settings.waiting_records * self._share(state, "lane"):
            return "lane"
        return None

    def _is_ledger_full(self, state: PartitionState) -> bool:
        used = self._committer.stored(state.partition)[2] * METADATA_LIMIT
        return max(used, _foreseen(state)) > self._settings.ledger_limit * self._share(state, "ledger")

    def _is_key_full(self, state: PartitionState) -> bool:
        bound = self._settings.key_records * self._share(state, "key")
        if state.chain.indexed - len(state.chain.index) + 1 < bound:  # each key has one at least
            return False
        now = self._clock.monotonic()
        counted_at, most = self._fullest.get(state, (NEVER, 0))
        if now - counted_at >= _COUNT_EVERY_S:
            most = max(map(len, state.chain.index.values()), default=0)
            self._fullest[state] = now, most
        return most >= bound

    def _share(self, state: PartitionState, reason: PauseReason) -> float:
        """Give the share of a bound that holds now: what is paused goes on at half of it."""
        return 0.5 if self.paused.get(state) == reason else 1.0

    def _own_reason(self, state: PartitionState, now: float, partitions: int) -> PauseReason | None:
        """Say whether this partition has been over its own bound for a while."""
        is_paused = self.paused.get(state) in _OWN
        share = 0.5 if is_paused else 1.0
        bytes_bound, bound = self._settings.max_in_flight_bytes, self._settings.partition_in_flight
        if partitions > 1:  # one that is stuck leaves room for the others
            bytes_bound, bound = bytes_bound // 4, min(bound, self._settings.max_in_flight // 2)
        over_bytes = state.outstanding_bytes > bytes_bound * share
        if not over_bytes and state.outstanding < bound * share:
            self._over_since.pop(state, None)
            return None
        since = self._over_since.setdefault(state, now)
        if is_paused or now - since > _PATIENCE_S:
            return "bytes" if over_bytes else "partition"
        return None


def _foreseen(state: PartitionState) -> int:
    """Give the characters that the ledger of *state* will need for what waits, before a commit measures it."""
    return _CHARACTERS * state.waiting if state.trouble or state.crowd else 0
