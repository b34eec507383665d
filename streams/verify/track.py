"""One topic of a run: its load, what was read of it along the way, and at the end its history."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from streams.kafka.witness import ends_of, messages_of
from streams.verify.chain import Chain
from streams.verify.crew import Crew, Worker
from streams.verify.evidence import headers_of
from streams.verify.history import Fault, History, Place, Reading, Sent
from streams.verify.journal import key_name
from streams.verify.load import Load
from streams.verify.mark import STRANGER, mark_of


@dataclass
class Track:
    """Everything of one topic; owned by one thread."""

    topic: str
    load: Load
    chain: Chain
    max_attempts: int
    is_ordered: bool
    """The route promises the order of keys."""
    readings: list[Reading] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    @property
    def client(self) -> Mapping[str, Any]:
        """Settings of a bare client."""
        return self.chain.client

    def read(self) -> Reading:
        """Read the group's committed state, and keep it."""
        found = self.chain.reading()
        if found.committed:
            self.readings.append(found)
        return found

    def note_end(self, what: str, worker: Worker, since: Reading) -> None:
        """Note what may run again because *worker* went: what it had begun and *since* does not know as finished."""
        again = frozenset(place for place in worker.touched(self.topic) if not since.has_finished(place))
        in_flight = len(worker.journals[self.topic].in_flight)
        self.faults.append(Fault(f"{what} of member {worker.number}", again, in_flight))

    def is_settled(self) -> bool:
        """Say whether everything that was written is committed, and nothing waits in the chain."""
        reading = self.chain.reading()
        ends = self.ends()
        offsets = {number: committed.offset for number, committed in reading.committed.items()}
        return not reading.waiting and all(not end or offsets.get(number) == end for number, end in ends.items())

    def ends(self) -> dict[int, int]:
        """Give the end of each partition."""
        return {place.number: end for place, end in ends_of(self.client, self.topic).items()}

    def history(self, crew: Crew, acknowledged: Iterable[int]) -> History:
        """Read everything back."""
        self.read()
        sent, numbers = self._sent()
        return History(
            sent=sent,
            runs=tuple(run for worker in crew.workers for run in worker.runs(self.topic)),
            dead=tuple(self.chain.dead_letters()),
            readings=tuple(self.readings),
            ends=self.ends(),
            faults=tuple(self.faults),
            pauses=tuple(crew.pauses),
            standstills=tuple(crew.watch.standstills),
            moved=tuple(self.chain.moved()),
            max_attempts=self.max_attempts,
            missing=tuple(sorted(set(acknowledged) - numbers)),
        )

    def _sent(self) -> tuple[dict[Place, Sent], set[int]]:
        """Read the topic; what an app sends to a topic of its own counts like the load."""
        sent, numbers = {}, set()
        for message in messages_of(self.client, self.topic):
            headers = headers_of(message)
            mark = mark_of(headers)
            place = Place(message.partition() or 0, message.offset() or 0)
            sent[place] = Sent(
                key_name(message.key()), mark.seq, message.value() or b"", headers, message.timestamp()[1]
            )
            if mark != STRANGER:
                numbers.add(mark.number)
        return sent, numbers
