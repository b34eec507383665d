"""Where one record is, and the way it took: from the broker alone, as of the group's last commits.

Every accepted record is in exactly one state.  What a member holds in memory
is not seen here: a record that it runs, or that waits there for a second
attempt, is `due`, as one that nobody has read yet.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, NamedTuple, TypeAlias

from streams.deadletter.counting import COUNTS, SETTLED
from streams.deadletter.edit import Asking
from streams.engine.standing import Progress, Standing
from streams.engine.topics import kind_of
from streams.errors import TopicError
from streams.kafka.admin import Admin
from streams.kafka.message import Message
from streams.kafka.reader import Stretch, first_records
from streams.kafka.topics import find_topics
from streams.monitor.trail import Copy, chain_topics_of, trail
from streams.observer import ChainKind
from streams.record import Partition
from streams.retry import label

State: TypeAlias = Literal["done", "due", "waiting", "parked", "dead-lettered", "expired", "absent"]
"""`due`: not settled, and in no topic of the chain.  `absent`: there is no such record, or not yet."""

STATES: Final[Mapping[ChainKind, State]] = {"tier": "waiting", "parked": "parked", "dlq": "dead-lettered"}
"""What a record is that stands in the chain, by the topic's kind."""

_IN_LINE: Final = frozenset({"waiting", "parked"})


class Step(NamedTuple):
    """Something that happened to the record."""

    time_ms: int
    """ms since 1970; -1 where nobody knows."""
    where: str
    """A topic, partition and offset; "" for an attempt."""
    what: str


@dataclass(frozen=True, slots=True)
class Journey:
    """One record of one group."""

    group: str
    place: Partition
    offset: int
    state: State
    source: Progress
    """How far the group is in the partition."""
    record: Message | None
    """The record itself; None where its topic does not have it any more."""
    copies: Sequence[Copy]
    """All that the chain still has of it, as they were written."""
    behind: Copy | None = None
    """The oldest record of its key in the chain, where it waits for that one."""
    edits: Sequence[Asking] = ()
    """The edits of its payload that operators have asked for, oldest first, where that was looked up."""

    @property
    def made_ms(self) -> int | None:
        """The record's own time, ms since 1970; None where nothing is left that tells."""
        if self.record is not None:
            return self.record.timestamp()[1]
        return self.copies[-1].header.timestamp_ms if self.copies else None

    @property
    def name(self) -> str:
        """How people name the record."""
        return f"{self.place}/{self.offset}"

    @property
    def key(self) -> bytes | None:
        """Its Kafka key."""
        if self.record is not None:
            return self.record.key()
        return self.copies[-1].key if self.copies else None

    @property
    def here(self) -> Copy | None:
        """The copy that is its place now; None where that is the source, or nowhere."""
        return next((copy for copy in self.copies if copy.is_live), None)

    def steps(self) -> Iterator[Step]:
        """Give what happened to it, oldest first, as far as the topics still tell."""
        newest = self.copies[-1].header if self.copies else None
        yield Step(-1 if self.made_ms is None else self.made_ms, self.name, "accepted")
        told = [
            *(Step(run.time_ms, "", f"an attempt failed: {run.error}") for run in (newest.history if newest else ())),
            *(Step(copy.appended_ms, f"{copy.place}/{copy.offset}", _arrival(copy)) for copy in self.copies),
            *(Step(one.kept.time_ms, one.where, _asking(one)) for one in self.edits),
        ]
        yield from sorted(told, key=lambda step: step.time_ms)


def journey(admin: Admin, standing: Standing, place: Partition, offset: int) -> Journey:
    """Look up what became of the record at *place* and *offset* of the group that stands as *standing* says.

    Raises:
        TopicError: There is no such topic or partition.
        BrokerError: The broker does not answer.
    """
    topic, found, group = (
        find_topics(admin, [place.topic]).get(place.topic),
        standing.progress.get(place),
        standing.group.name,
    )
    if topic is None or found is None:
        raise TopicError(place.topic, f"there is no partition {place}. See which topics there are: streams topics list")
    stretch = {place: Stretch(offset, offset + 1)} if found.low <= offset < found.end else {}
    record = first_records(admin.settings, stretch).get(place)
    copies = trail(admin, group, place, lambda _, header: (header.topic_id, header.offset) == (topic.topic_id, offset))
    one = Journey(group, place, offset, _state(found, offset, record, copies), found, record, copies)
    return replace(one, behind=_ahead_of(admin, one, topic.topic_id)) if one.state in _IN_LINE else one


def _state(found: Progress, offset: int, record: Message | None, copies: Sequence[Copy]) -> State:
    here = next((copy for copy in copies if copy.is_live), None)
    if here is not None:
        return STATES[here.kind]
    if offset >= found.end or (record is None and offset >= found.low):
        return "absent"
    if found.committed is not None and (offset < found.committed or any(offset in done for done in found.settled)):
        return "done"
    if offset < found.low:
        return "absent" if found.committed is None else "expired"
    return "due"


def _ahead_of(admin: Admin, one: Journey, topic_id: str) -> Copy | None:
    """Give the oldest record of the key of *one* in the chain, if that is another one and keys are kept in order."""
    key = one.key
    if key is None or not any(
        kind_of(topic.name) == "parked" for topic in chain_topics_of(admin, one.group, one.place.topic)
    ):
        return None
    others = trail(
        admin,
        one.group,
        one.place,
        lambda message, header: header.topic_id == topic_id and header.offset < one.offset and message.key() == key,
    )
    live = [copy for copy in others if copy.is_live and (copy.kind != "dlq" or one.state == "parked")]
    return min(live, key=lambda copy: (copy.kind == "dlq", copy.header.offset), default=None)


def _asking(one: Asking) -> str:
    """Say who wanted its payload changed."""
    kept, why = one.kept, f" ({one.kept.why})" if one.kept.why else ""
    return f"{kept.who or 'somebody'} had its payload edited{why}: {one.fate or 'not answered'}; kept here: what it was"


def _error(copy: Copy) -> str:
    return "" if copy.error is None else f": {copy.error.error}: {copy.error.message}"


def _arrival(copy: Copy) -> str:
    """Say what it meant that *copy* was written."""
    what = {
        "tier": f"moved here to wait {label(copy.delay_s or 0)}",
        "parked": "moved here to wait behind another record of its key",
        "dlq": f"a dead letter after {copy.header.attempts} attempt(s){_error(copy)}",
    }[copy.kind]
    return what if copy.verdict in {COUNTS, SETTLED} else f"{what}; {copy.verdict.why}"
