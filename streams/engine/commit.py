"""Sends what the ledgers say to the broker, and lets records start while the broker agrees.

One request for each source partition, at most one in flight for each; the
answer is matched by its offset and metadata, which holds the assignment id, so
an answer to a former owner's commit triggers nothing.

An acknowledged commit is also the *lease*: proof that the group still counts
this member as the owner.  Records start only while the last proof is younger
than the session, with a margin.  Idle partitions are committed again each
quarter of the session for that reason.

Partitions take turns: each is looked at once an interval, one after the other
over all of it, so that no turn of the loop holds records up for all of them.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Final

from streams.clock import Clock
from streams.config import Settings
from streams.engine.partition import NEVER, PartitionState
from streams.engine.snapshot import METADATA_LIMIT, decode
from streams.engine.watchdog import within
from streams.errors import BrokerError, LedgerError
from streams.kafka.commits import NOT_OURS, NOT_STORED, CommitAnswer, Request
from streams.kafka.consumer import GroupConsumer, Stored
from streams.kafka.session import Session
from streams.observer import Observer
from streams.record import Partition

_PADDING: Final = " "
_ANSWER_WITHIN_S: Final = 60.0
"""A commit without an answer for this long ends the assignment of its partition."""
_REFUSED_FOR_S: Final = 3.0
_AGAIN_S: Final = 0.1
_AGAIN: Final = 30
"""How long, how far apart and how often a synchronous commit is sent again that the broker did not store."""
_SYNC_BUDGET_S: Final = 45.0
"""A synchronous commit that takes longer ends the process."""
_SLOW_S: Final = 0.3
_OVERTAKEN_S: Final = 0.5
"""From when on a commit without an answer counts as stuck, and when the client has sent it again if it ever does."""
_READ_BACK_S: Final = 5.0

_GRANT: Final = "Ask whoever runs the cluster to grant the right to read the topic and the group."
_HOPELESS: Final = {
    "OFFSET_METADATA_TOO_LARGE": f"Set the broker's offset.metadata.max.bytes to {METADATA_LIMIT + 1} or more.",
    "GROUP_AUTHORIZATION_FAILED": _GRANT,
    "TOPIC_AUTHORIZATION_FAILED": _GRANT,
}
"""Errors of a first commit that no second one will not meet, and what mends them."""


@dataclass(slots=True)
class _Book:
    """What is known of one partition's commits."""

    state: PartitionState
    sent: Request | None = None
    sent_at: float = NEVER
    stored: Request | None = None
    stored_at: float = NEVER
    """When the last acknowledged commit was sent."""
    used: float = 0.0
    is_complete: bool = True
    fits: bool = True
    is_certain: bool = True
    """Nothing speaks for an older commit having been stored after the last acknowledged one."""
    composed_of: tuple[int, ...] = ()
    """The state's `turnover` when a commit was composed last."""
    sent_of: tuple[int, ...] = ()
    stored_of: tuple[int, ...] = ()
    """The same of what is `sent` and `stored`; while the state's is this one there is nothing new to say."""


class Committer:
    """Commits the snapshots of all owned partitions.

    Owned by the poll thread.

    Always true:

    * Only partitions of the current assignment are committed.
    * At most one commit of a partition is in flight, none before its outcome is known.
    """

    def __init__(self, settings: Settings, session: Session, clock: Clock, observer: Observer) -> None:
        """Commit as *settings* say; the lease is that of *session*."""
        self._settings = settings
        self._clock = clock
        self._observer = observer
        self._lease_s = session.lease_s
        self._refresh_s = min(session.timeout_s / 4, 60.0)
        self._books: dict[Partition, _Book] = {}
        self._round: deque[_Book] = deque()
        """Those whose turn in this interval is still to come, each as late as the one before and `_pace_s`."""
        self._round_ends = self._next_at = NEVER
        self._pace_s = 0.0
        self._records = 0
        self._failed: dict[Partition, str] = {}
        self._begun: dict[Partition, float] = {}
        self.may_start: Callable[[PartitionState], bool] = lambda _: True
        """Whether a partition that has its lease may start; the assignment says no while a former run goes on."""

    def begin(self, consumer: GroupConsumer, state: PartitionState) -> None:
        """Send the first commit of *state*; where the stay before began just now, with the others when they are due.

        So a partition that is begun anew again and again is so once an interval.
        """
        book = self._books[state.partition] = _Book(state)
        now = self._clock.monotonic()
        if now - self._begun.get(state.partition, NEVER) >= self._settings.commit_every_s:
            self._send(consumer, book, self._snapshot(book))
        else:
            self._round.append(book)
        self._begun[state.partition] = now

    def drop(self, partition: Partition) -> None:
        """Forget *partition*; an answer that is still to come means nothing."""
        self._books.pop(partition, None)
        self._failed.pop(partition, None)

    def count(self, records: int) -> None:
        """Note that *records* were admitted: after enough of them a commit is sent early."""
        self._records += records

    def commit_if_due(self, consumer: GroupConsumer) -> None:
        """Send what changed, once an interval; and again what did not, before the lease runs out."""
        now = self._clock.monotonic()
        if now < self._next_at and self._records < self._settings.commit_every_records:
            return
        for book in self._turns(now):
            if book.sent is not None:
                self._miss(book, now)
                continue
            lacks_lease = now > book.state.granted_until and not book.state.is_closed
            is_late = now - book.stored_at >= self._refresh_s or lacks_lease
            if is_late or not book.is_certain or book.stored_of != book.state.turnover:
                request = self._snapshot(book)
                if is_late or request != book.stored or not book.is_certain:
                    self._send(consumer, book, request)
                else:
                    book.stored_of = book.composed_of

    def _turns(self, now: float) -> Iterator[_Book]:
        """Give those whose turn has come: all of them after enough records, else as many as the interval is over."""
        is_early = self._records >= self._settings.commit_every_records
        if is_early or (not self._round and now >= self._round_ends):
            interval_s = min(self._settings.commit_every_s, self._refresh_s)
            self._round, self._records = deque(self._books.values()), 0
            self._next_at, self._round_ends = now, now + interval_s
            self._pace_s = 0.0 if is_early else interval_s / max(1, len(self._round))
        while self._round and self._next_at <= now:
            book = self._round.popleft()
            self._next_at += self._pace_s
            if self._books.get(book.state.partition) is book:
                yield book
        if not self._round:
            self._next_at = self._round_ends

    def commit_now(self, consumer: GroupConsumer, states: Iterable[PartitionState]) -> None:
        """Commit *states* and wait, as on revoke and at the end. Failures are told; their records run again."""
        give_up = self._clock.monotonic() + _REFUSED_FOR_S
        overtaken: list[_Book] = []
        for state in states:
            book = self._books.get(state.partition)
            if book is None or book.state is not state:
                continue
            request = self._snapshot(book)
            is_stored = request == book.stored and book.sent is None and book.is_certain
            if is_stored or not self._fits(book, request):
                continue
            since = None if book.sent is None else book.sent_at
            with within(_SYNC_BUDGET_S, f"the commit of {state.partition}"):
                self._commit_until(give_up, consumer, book, request)
            if since is not None and self._clock.monotonic() - since > _SLOW_S and book.stored == request:
                overtaken.append(book)
        if overtaken:
            self._confirm(give_up + _OVERTAKEN_S, consumer, overtaken)

    def _confirm(self, give_up: float, consumer: GroupConsumer, books: Sequence[_Book]) -> None:
        """Look whether an older commit was stored after the last one, and if so store that again.

        The client sends a request again whose connection broke, after a pause
        in which the next one may pass it.  What is another owner's stays.
        """
        time.sleep(_OVERTAKEN_S)
        for book in books:
            book.is_certain = False
            request = book.stored or ()
            try:
                found = consumer.committed([entry.partition for entry in request], _READ_BACK_S)
            except BrokerError:
                continue
            if all(found[entry.partition][:2] == (entry.offset, entry.metadata) for entry in request):
                book.is_certain = True
            elif _owner_of(found[request[0].partition]) == book.state.assignment_id:
                with within(_SYNC_BUDGET_S, f"the commit of {book.state.partition}"):
                    self._commit_until(give_up, consumer, book, request)

    def _commit_until(self, give_up: float, consumer: GroupConsumer, book: _Book, request: Request) -> None:
        """Commit, again and again while the coordinator moves or the group is in the middle of a rebalance."""
        for wait_s in (*repeat(_AGAIN_S, _AGAIN), None):
            book.sent, book.sent_of, book.sent_at = request, (), self._clock.monotonic()
            answer = consumer.commit_now(request)
            if wait_s is None or answer.code not in NOT_STORED - NOT_OURS or self._clock.monotonic() > give_up:
                self.answered(answer)
                return
            time.sleep(wait_s)

    def answered(self, answer: CommitAnswer) -> None:
        """Take the broker's answer to a commit."""
        partition, offset, *_ = answer.entries[0]
        book = self._books.get(partition)
        if book is None or book.sent != answer.entries:
            return
        book.sent = None
        if answer.code is None:
            book.stored, book.stored_at, book.is_certain = answer.entries, book.sent_at, True
            book.stored_of = book.sent_of
            self._observer.committed(partition, offset, self._clock.monotonic() - book.sent_at)
            if self.may_start(book.state):
                book.state.renew(book.sent_at + self._lease_s)
            return
        self._observer.commit_failed(partition, answer.error)
        if book.stored is None and answer.error in _HOPELESS:
            raise BrokerError(
                f"{partition}: the broker refuses commits with {answer.error}, so nothing was started."
                f" {_HOPELESS[answer.error]}"
            )
        if answer.code not in NOT_STORED:
            self._failed[partition] = answer.error

    def is_current(self, state: PartitionState) -> bool:
        """Say whether the broker has acknowledged what stands in the ledger of *state* now."""
        book = self._books.get(state.partition)
        if state.lacks:  # nothing of it was begun
            return True
        if book is None or book.state is not state or book.stored is None or not book.is_certain:
            return False
        now, _ = state.snapshots()  # says no epoch: reading alone leaves nothing to commit
        return now == (book.stored[0]._replace(epoch=now[0].epoch), *book.stored[1:])

    def is_quiet(self, state: PartitionState) -> bool:
        """Say whether nothing of *state* is left to commit, and no commit of it is on its way."""
        book = self._books.get(state.partition)
        return book is not None and book.sent is None and self.is_current(state)

    def acknowledged(self, partition: Partition) -> Request:
        """Give the last commit of *partition* that the broker has acknowledged, its chain included; () with none."""
        book = self._books.get(partition)
        return () if book is None or book.stored is None else book.stored

    def failed(self) -> Mapping[Partition, str]:
        """Give the partitions, since the last call, whose commit failed so that it is open what was stored, and how."""
        failed, self._failed = self._failed, {}
        return failed

    def stored(self, partition: Partition) -> tuple[int, float, float]:
        """Give the acknowledged offset (-1: none), when it was sent, and the ledger's share of the limit."""
        book = self._books.get(partition)
        if book is None:
            return -1, NEVER, 0.0
        return (book.stored[0].offset if book.stored else -1), book.stored_at, book.used

    def _snapshot(self, book: _Book) -> Request:
        book.composed_of = book.state.turnover
        request, is_complete = _request(book.state)
        book.used = max(len(entry.metadata) for entry in request) / METADATA_LIMIT
        if not is_complete and book.is_complete:
            self._observer.ledger_cut(book.state.partition)
        book.is_complete = is_complete
        return request

    def _fits(self, book: _Book, request: Request) -> bool:
        """Say whether the broker can store all of *request*: with one ledger too large nothing is sent (rule 14).

        The lease then ends in time, nothing further starts, and the oldest
        copies are moved until it fits.
        """
        too_large = [entry for entry in request if len(entry.metadata) > METADATA_LIMIT]
        for entry in too_large if book.fits else ():
            self._observer.commit_failed(book.state.partition, f"the ledger of {entry.partition} is too large")
        book.fits = not too_large
        return book.fits

    def _miss(self, book: _Book, now: float) -> None:
        """Wait for the answer of *book*; past its time begin the partition anew, under another assignment id."""
        if now - book.sent_at > _ANSWER_WITHIN_S:
            book.sent_at = now
            self._failed[book.state.partition] = f"no answer to a commit within {_ANSWER_WITHIN_S:g} s"

    def _send(self, consumer: GroupConsumer, book: _Book, request: Request) -> None:
        if not self._fits(book, request):
            return
        book.sent_of = book.composed_of
        if book.stored is None:  # as large as one can be: it proves the right and the limit before they are needed
            book.sent_of, source = (), request[0]
            request = (source._replace(metadata=source.metadata.ljust(METADATA_LIMIT, _PADDING)), *request[1:])
        book.sent, book.sent_at = request, self._clock.monotonic()
        consumer.commit(request)


def _owner_of(stored: Stored) -> bytes:
    """Give the assignment that committed *stored*; none where it does not say."""
    try:
        snapshot = decode(stored.metadata)
    except LedgerError:
        return b""
    return b"" if snapshot is None else snapshot.assignment_id


def _request(state: PartitionState) -> tuple[Request, bool]:
    """Give what one commit of *state* says, and whether all of it fitted.

    With the source goes the leader epoch of what was read: by it the next owner
    sees whether its log is still the one that was read.
    """
    request, is_complete = state.snapshots()
    return (request[0]._replace(epoch=state.ledger.epoch), *request[1:]), is_complete
