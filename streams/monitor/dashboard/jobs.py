"""Acting on dead letters from a page: each action is a job, which goes on whatever becomes of the page.

A job reads the chosen letters again from the broker, and puts those that still
count to their group, as `streams dlq retry` and `forget` do.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Final

from streams.config import Settings
from streams.deadletter.act import Outcome, act, commands
from streams.deadletter.counting import CopyTopic, read_ledgers
from streams.deadletter.letter import Letter
from streams.engine.command import MOST_LETTERS, Verb
from streams.engine.desk import Who, prepare
from streams.errors import DecodeError, LedgerError, StreamsError, UsageError
from streams.kafka.admin import Admin
from streams.kafka.groups import describe_group
from streams.kafka.message import place_of
from streams.kafka.reader import Stretch, read
from streams.monitor.dashboard.letters import Row
from streams.record import Partition

AT_ONCE: Final = 4
"""Jobs that run at the same time; a further one is refused."""
KEPT: Final = 100
"""Jobs that are remembered."""
WAIT_S: Final = 60.0
"""How long a job waits with nothing heard from the group."""
_LOG: Final = logging.getLogger(__name__)


@dataclass
class Job:
    """One action, from its beginning to what came of it."""

    id: str
    group: str
    verb: Verb
    who: Who
    chosen: int
    """Letters that were chosen on the page."""
    rate: float | None = None
    began_s: float = field(default_factory=time.time)
    ended_s: float | None = None
    asked: int = 0
    """Letters that were put to the group."""
    fates: Counter[str] = field(default_factory=Counter)
    error: str = ""
    is_stopping: bool = False
    has_members: bool = True
    """A member ran when it began: else it is done as soon as one does."""

    @property
    def is_running(self) -> bool:
        """Whether it goes on."""
        return self.ended_s is None

    @property
    def answered(self) -> int:
        """Letters of which is known what became."""
        return self.fates.total()


class Jobs:
    """Any thread may begin one; each has a thread and a connection of its own."""

    def __init__(self, settings: Settings, told: Callable[[], None] = lambda: None) -> None:
        """Act in the cluster of *settings*; *told* is called when something was changed."""
        self._settings = settings
        self._told = told
        self._jobs: dict[str, Job] = {}
        self._lock = threading.Lock()

    def all(self) -> list[Job]:
        """Newest first."""
        return list(reversed(self._jobs.values()))

    def get(self, job_id: str) -> Job | None:
        """Give one."""
        return self._jobs.get(job_id)

    def begin(self, verb: Verb, group: str, rows: Sequence[Row], who: Who, *, rate: float | None = None) -> Job:
        """Have *rows* acted on.

        Raises:
            UsageError: Too many jobs run.
        """
        job = Job(secrets.token_hex(6), group, verb, who, len(rows), rate)
        with self._lock:
            if sum(one.is_running for one in self._jobs.values()) >= AT_ONCE:
                raise UsageError(f"{AT_ONCE} actions are under way: wait until one of them has ended")
            self._jobs[job.id] = job
            while len(self._jobs) > KEPT:
                oldest = next((one for one in self._jobs.values() if not one.is_running), None)
                if oldest is None:
                    break
                del self._jobs[oldest.id]
        _LOG.info(
            "dead letters are acted on",
            extra={"group": group, "verb": verb, "letters": len(rows), "who": who.name, "job": job.id},
        )
        threading.Thread(target=self._run, args=(job, rows), name=f"streams-job-{job.id}", daemon=True).start()
        return job

    def stop(self, job_id: str) -> None:
        """Ask for no further letters; what was asked for by then is done."""
        job = self._jobs.get(job_id)
        if job is not None:
            job.is_stopping = True

    def _run(self, job: Job, rows: Sequence[Row]) -> None:
        try:
            with Admin(self._settings) as admin:
                self._act(admin, job, rows)
        except StreamsError as error:
            job.error = str(error)
        except Exception:  # noqa: BLE001  # the page has to say that it ended, whatever ended it
            _LOG.exception("an action failed", extra={"job": job.id})
            job.error = "it failed by a fault of this program; its log says more"
        finally:
            job.ended_s = time.time()
            self._told()

    def _act(self, admin: Admin, job: Job, rows: Sequence[Row]) -> None:
        def tell(outcome: Outcome) -> None:
            job.asked, job.fates = outcome.asked, Counter(outcome.fates)

        job.has_members = bool(describe_group(admin, job.group).members)
        prepare(admin, job.group)
        letters = takewhile(lambda _: not job.is_stopping, letters_at(admin, job.group, rows))
        most = MOST_LETTERS if job.rate is None else max(1, min(MOST_LETTERS, int(job.rate)))
        outcome = act(
            admin,
            job.group,
            commands(letters, job.verb, job.who, most=most),
            rate=job.rate,
            wait_s=WAIT_S if job.has_members else 0.0,
            tell=tell,
        )
        tell(outcome)
        if job.has_members and outcome.missing:
            job.error = (
                f"nothing was heard of {outcome.missing:,} of them for {WAIT_S:g} s. What was asked for stays so, and"
                " is done once the owner of the partition can"
            )


def letters_at(admin: Admin, group: str, rows: Sequence[Row]) -> Iterator[Letter]:
    """Read the letters of *rows* from the broker; those that do not count any more are left out.

    Raises:
        BrokerError: The broker does not answer.
    """
    wanted = {(row.place, row.offset): row for row in rows if row.group == group}
    places = sorted({place for place, _ in wanted})
    if not places:
        return
    topics = {row.place.topic: CopyTopic(row.place.topic, row.origin.topic, group) for row in wanted.values()}
    ledgers = read_ledgers(admin, list(topics.values()), places)
    offsets: dict[Partition, list[int]] = {}
    for place, offset in wanted:
        offsets.setdefault(place, []).append(offset)
    stretches = {place: Stretch(min(each), max(each) + 1) for place, each in offsets.items()}
    for message in read(admin.settings, stretches):
        place = place_of(message)
        if (place, message.offset()) not in wanted:
            continue
        try:
            letter = Letter.read(message, ledgers[place][0])
        except (LedgerError, DecodeError):
            continue
        if letter.header.group == group and letter.verdict.may_count:
            yield letter
