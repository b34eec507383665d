"""What the engine tells about itself, in the project's own words.

The engine calls an `Observer` from the poll thread, once a batch or once an
event, never once a record.  Metrics, status and logs implement it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import msgspec

from streams.record import Partition

OutcomeName: TypeAlias = Literal["done", "skipped", "retried", "dead_lettered"]

PauseReason: TypeAlias = Literal[
    "in_flight",
    "partition",
    "bytes",
    "ledger",
    "lane",
    "draining",
    "lease",
    "dead_letter_topic",
    "retry_topic",
    "chain_topic",
    "chain",
    "key",
    "breaker",
    "guard",
    "caution",
    "operator",
    "replay",
    "end",
]
"""Why a partition's intake stands still."""

ChainKind: TypeAlias = Literal["tier", "parked", "dlq"]
"""What a topic of the chain holds: records that wait for their time, or behind one of their key, or dead letters."""

CircuitState: TypeAlias = Literal["closed", "open", "half_open"]
"""Whether work passes: all of it, none, or a few records that try."""


class Failure(msgspec.Struct, frozen=True, gc=False):
    """A run that failed, of a record that runs again."""

    offset: int
    attempt: int
    """Which run it was, from 1."""
    delay_s: float
    """The next one begins no sooner than after this."""
    error: BaseException


@dataclass(frozen=True, slots=True)
class PartitionView:
    """One owned partition at one moment; made once a second."""

    partition: Partition
    position: int
    """The offset that will be read next; -1 before the first record or end was seen."""
    committed: int
    """The offset the broker acknowledged last; -1 where none is known."""
    high_watermark: int
    """The end of the partition as the client last heard of it; -1 where unknown."""
    outstanding: int
    """Records admitted and not yet settled."""
    retrying: int
    """Records of these that wait in memory for their next attempt."""
    behind: int
    """Records of these that wait behind a record of their own key."""
    oldest_ms: int
    """Timestamp of the oldest batch with an unsettled record, ms since 1970; -1 with none."""
    ledger_used: float
    """Share of the commit metadata's limit that the ledger needs, 0 to 1."""
    commit_age_s: float
    """Seconds since the last acknowledged commit was sent; NaN before the first."""
    paused: PauseReason | None = None
    """Why intake stands still; None while it does not."""
    caught_up: bool = False
    """The end of the partition has been reached since the last record."""
    in_tiers: int = 0
    """Records that wait in retry topics for their next attempt."""
    parked: int = 0
    """Records that wait in the parked topic behind one of their own key."""
    moving: int = 0
    """Records on their way from one topic to another, not acknowledged yet; they are in memory too."""
    in_trouble: int = 0
    """Keys of which a record stands in the chain."""
    blocked: int = 0
    """Keys of these that stand still until an operator decides."""
    dead: int = 0
    """Dead letters that no operator is through with."""
    longest: int = 0
    """Records in memory of the key that has most there."""

    @property
    def unread(self) -> int | None:
        """Offsets between what was read, or else committed, and the end; None where these are unknown."""
        if self.caught_up:
            return 0
        start = self.committed if self.position < 0 else self.position
        return None if min(start, self.high_watermark) < 0 else max(0, self.high_watermark - start)


@dataclass(frozen=True, slots=True)
class RunView:
    """A handler run under way at one moment."""

    partition: Partition
    offset: int
    """Of its record; of several in one call the first."""
    records: int
    """Records in that call."""
    running_s: float
    timeout_s: float
    """How long it may run."""

    @property
    def is_stuck(self) -> bool:
        """It has run past its time, and has not returned."""
        return self.running_s > self.timeout_s


@dataclass(frozen=True, slots=True)
class HeldView:
    """A record that waits in memory for its next attempt, at one moment."""

    partition: Partition
    offset: int
    attempts: int
    """Runs so far."""
    due_s: float
    """Seconds until the next one."""
    error: str
    """Class of the last error."""


MOST_RUNS: Final = 20
MOST_HELD: Final = 50
"""So many of each a view shows at most."""


@dataclass(frozen=True, slots=True)
class MemberView:
    """This member at one moment; made once a second."""

    partitions: Sequence[PartitionView]
    running: int
    """Handler runs under way, in all executors."""
    capacity: int
    """Handler runs that may be under way at once."""
    outstanding: int
    outstanding_bytes: int
    stuck: int
    """Runs that passed their handler's timeout and have not returned."""
    member_id: str = ""
    """The name that the group's coordinator has for it; "" before it has joined."""
    runs: Sequence[RunView] = ()
    """Those under way the longest, at most `MOST_RUNS`."""
    held: Sequence[HeldView] = ()
    """Records that wait in memory for another attempt, the next ones of each partition, at most `MOST_HELD`."""


class Observer:
    """Hears what happens; every method does nothing until overridden.

    Called by the poll thread.  Must not block and must not raise.
    """

    def consumed(self, partition: Partition, records: int, size_bytes: int) -> None:
        """*records* of *partition* were read and admitted."""

    def finished(self, topic: str, outcome: OutcomeName, records: int) -> None:
        """Runs of handlers of *topic* ended in *outcome*."""

    def handled(self, topic: str, runs: int, total_s: float) -> None:
        """*runs* handler runs took *total_s* seconds together."""

    def settled(self, partition: Partition, latency_s: float, records: int) -> None:
        """*records* settled; one of the latest was *latency_s* old, by its timestamp."""

    def retrying(self, partition: Partition, failures: Sequence[Failure]) -> None:
        """Runs of these records failed in one turn; each runs again after its delay."""

    def dead_lettered(self, partition: Partition, offset: int, attempts: int, error: BaseException) -> None:
        """A record stands in the dead-letter topic, acknowledged."""

    def letter_refused(self, partition: Partition, offset: int, code: str) -> None:
        """The broker refused a dead letter; its partition reads nothing further until it is taken."""

    def relocated(self, partition: Partition, kind: str, records: int) -> None:
        """*records* were moved to a topic of the chain; *kind* is ``tier``, ``parked`` or ``dlq``, acknowledged."""

    def swept(self, partition: Partition, kind: str, records: int) -> None:
        """*records* were read back from a topic of the chain of *kind*."""

    def recovered(self, partition: Partition, copies: int, keys: int, fenced: int, took_s: float) -> None:
        """The chain was scanned: *copies* are outstanding, *keys* in trouble, *fenced* were dead copies of others."""

    def suspect(self, partition: Partition, keys: int) -> None:
        """The ledger of the chain was lost: *keys* stand still, as nobody can tell what of them was finished."""

    def fenced(self, partition: Partition, copies: int) -> None:
        """*copies* that late requests of a former owner left in the chain were passed over: none is a live one."""

    def lacking(self, partition: Partition, cause: str) -> None:
        """A topic of the chain has no such partition: nothing of it starts until it is made; that is tried again."""

    def not_deleted(self, topic: str, code: str) -> None:
        """Settled records of *topic*, of the chain, can't be deleted, by the client's error *code*: it grows."""

    def suspected(self, partition: Partition, starts: int, blamed: int) -> None:
        """*starts* owners, this one the last, began at this place: records run one at a time; *blamed*: one, or -1."""

    def acquitted(self, partition: Partition, why: str) -> None:
        """The partition goes on as any other: its killer was found, it has none, or nothing can be tried now."""

    def assigned(self, partitions: Sequence[Partition]) -> None:
        """The group gave this member *partitions*."""

    def revoked(self, partitions: Sequence[Partition], *, lost: bool) -> None:
        """*partitions* were given back, or taken without asking (*lost*)."""

    def committed(self, partition: Partition, offset: int, took_s: float) -> None:
        """The broker acknowledged a commit of *offset*."""

    def commit_failed(self, partition: Partition, code: str) -> None:
        """A commit failed with the client's error *code*; it is sent again while the partition is ours."""

    def ledger_cut(self, partition: Partition) -> None:
        """The ledger outgrew the commit's metadata: settled records at its upper end would run again after a crash."""

    def ledger_unreadable(self, partition: Partition, cause: str) -> None:
        """The commit's metadata can't be read: work above the committed offset runs again, in order."""

    def expired(self, partition: Partition, records: int) -> None:
        """Retention removed *records* offsets before they were read."""

    def paused(self, partition: Partition, reason: PauseReason) -> None:
        """Intake of *partition* stopped, or stands still for another *reason* now."""

    def resumed(self, partition: Partition) -> None:
        """Intake of *partition* goes on."""

    def misheard(self, offset: int | None, cause: str) -> None:
        """What stands at *offset* of the control topic is no command, or (None) the topic can't be read."""

    def obeyed(self, partition: Partition, verb: str, fates: Mapping[str, int]) -> None:
        """A command of an operator was carried out; *fates*: of how many dead letters what became."""

    def directed(self, offset: int, kind: str, topic: str, value: str, *, is_lifted: bool) -> None:
        """This member follows the directive at *offset* of its topic, about *topic* or, empty, all of the group."""

    def followed(self, offset: int) -> None:
        """This member follows all directives below *offset* of their topic."""

    def unanswered(self, command: str, code: str) -> None:
        """The audit topic did not take the answer to *command*, by the client's error *code*; it is sent again."""

    def breaker_turned(self, dependency: str, state: CircuitState, why: str) -> None:
        """The breaker of *dependency* is in *state*; while it is not closed the routes that need it stand still."""

    def guard_turned(self, topic: str, state: CircuitState, why: str) -> None:
        """The guard before the dead letters of *topic* is in *state*; while it is not closed none is written."""

    def stuck(self, partition: Partition, offset: int, running_s: float) -> None:
        """A handler has run past its timeout on this record and keeps its lane."""

    def restarted(self, partition: Partition, cause: str) -> None:
        """The assignment of *partition* was ended and begun anew from its committed offset."""

    def unheard(self, partitions: Sequence[Partition]) -> None:
        """The group has wanted *partitions* back for a while, and the client has not heard: the member joins anew."""

    def broker_error(self, text: str, *, fatal: bool) -> None:
        """The client reported a broker or connection error."""

    def stopping(self) -> None:
        """A stop has begun: nothing further is read, what runs ends."""

    def viewed(self, view: MemberView) -> None:
        """The state of this member, once a second."""


class Observers(Observer):
    """Tells several observers, in order; an event that none of them overrides costs one empty call."""

    def __init__(self, *observers: Observer) -> None:
        """Tell *observers*."""
        for name, silent in _EVENTS.items():
            methods = [getattr(observer, name) for observer in observers]
            hearing = [method for method in methods if getattr(method, "__func__", None) is not silent]
            if hearing:
                setattr(self, name, hearing[0] if len(hearing) == 1 else _in_turn(hearing))


_EVENTS = {name: method for name, method in vars(Observer).items() if not name.startswith("_")}


def _in_turn(methods: Sequence[Callable[..., None]]) -> Callable[..., None]:
    """Give one function that calls *methods* with what it was called with."""

    def tell(*args: object, **kwargs: object) -> None:
        for method in methods:
            method(*args, **kwargs)

    return tell
