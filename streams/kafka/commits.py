"""One commit request: what is asked for, what the broker answers, and what its errors mean.

A request holds a source partition and the partitions of its chain, so that
their ledgers are stored together.  It is stored whole unless one partition in
it is refused: then the others may be stored, and the client does not tell
which.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from confluent_kafka import KafkaError, TopicPartition

from streams.record import Partition

NOT_STORED: Final = frozenset(
    {
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.STALE_MEMBER_EPOCH,
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.FENCED_INSTANCE_ID,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError._TRANSPORT,  # noqa: SLF001  # the client's own codes begin with an underscore
        KafkaError._TIMED_OUT,  # noqa: SLF001  # the client's own codes begin with an underscore
        KafkaError._TIMED_OUT_QUEUE,  # noqa: SLF001  # the client's own codes begin with an underscore
        KafkaError._WAIT_COORD,  # noqa: SLF001  # the client's own codes begin with an underscore
        KafkaError._ALL_BROKERS_DOWN,  # noqa: SLF001  # the client's own codes begin with an underscore
        KafkaError._DESTROY,  # noqa: SLF001  # the client's own codes begin with an underscore
    },
)
"""Errors after which the newest snapshot is simply sent again: nothing was stored, or what was is older."""

NOT_OURS: Final = frozenset(
    {
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.FENCED_INSTANCE_ID,
        KafkaError._DESTROY,  # noqa: SLF001  # the client's own codes begin with an underscore
    },
)
"""Those of them after which this member can't commit any more."""


NO_TEXT: Final = "(no text)"
"""Stands for metadata that can't be read: another program wrote it, and no reader of ours takes this for its own."""


def metadata_of(place: TopicPartition) -> str:
    """Give the metadata of a committed offset, as text.

    Other programs' end without a NUL, and the client reads on past them: what
    it finds there, now and then, is no text.
    """
    try:
        return place.metadata or ""
    except UnicodeDecodeError:
        return NO_TEXT


class Entry(NamedTuple):
    """What is to be committed for one partition."""

    partition: Partition
    offset: int
    metadata: str
    epoch: int = -1
    """Leader epoch of what was read below the offset; -1: not known."""


class CommitAnswer(NamedTuple):
    """The broker's answer to one request, as far as the client tells it."""

    entries: tuple[Entry, ...]
    """As they were sent, the source partition's first."""
    code: int | None
    """The worst error of all partitions; None where all of them were stored."""
    error: str


Request: TypeAlias = tuple[Entry, ...]


class Flight:
    """The requests that were sent and not answered yet.

    Owned by the poll thread.

    Always true: an answer names the entries in the order in which they were
    sent; the client gives them back sorted by topic.
    """

    def __init__(self) -> None:
        """Begin with none."""
        self._requests: dict[frozenset[Entry], Request] = {}

    def add(self, entries: Sequence[Entry]) -> Request:
        """Note that *entries* are sent in one request."""
        request = tuple(entries)
        self._requests[frozenset(request)] = request
        return request

    def land(self, places: Iterable[TopicPartition]) -> Request:
        """Give the request that the client tells *places* of."""
        found = tuple(map(_entry, places))
        return self._requests.pop(frozenset(found), found)


def answer_to(request: Request, errors: Iterable[KafkaError | None]) -> CommitAnswer:
    """Sum up the *errors* of a request and of its partitions."""
    worst = max((error for error in errors if error is not None), key=_weight, default=None)
    if worst is None:
        return CommitAnswer(request, None, "")
    return CommitAnswer(request, worst.code(), worst.name())


def places_of(entries: Iterable[Entry]) -> list[TopicPartition]:
    """Give *entries* as the client wants them."""
    return [TopicPartition(*entry) for entry in map(_flat, entries)]


def _flat(entry: Entry) -> tuple[str, int, int, str, int]:
    return (*entry.partition, entry.offset, entry.metadata, entry.epoch)


def _entry(place: TopicPartition) -> Entry:
    return Entry(Partition(place.topic, place.partition), place.offset, metadata_of(place), epoch_of(place))


def epoch_of(place: TopicPartition) -> int:
    """Give the leader epoch that stands in *place*, -1 where there is none."""
    epoch: Any = place.leader_epoch  # none, where there is none, whatever its type says
    return -1 if epoch is None else int(epoch)


def _weight(error: KafkaError) -> int:
    """Weigh *error*: what leaves open what was stored outweighs what ends this member, and that what passes."""
    return 2 if error.code() not in NOT_STORED else 1 if error.code() in NOT_OURS else 0
