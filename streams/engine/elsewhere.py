"""What is left to do in partitions that other members own, as the broker tells it: their ledgers, and where logs end.

For a member that stops by itself: were an owner dead, its partitions would
come here once the group has noticed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from streams.clock import Clock
from streams.engine.ledger import Ledger
from streams.engine.plan import ChainPlan
from streams.engine.recovery import read_chains
from streams.engine.snapshot import Snapshot, decode
from streams.errors import BrokerError, LedgerError, NewerLedgerError
from streams.kafka.chainreader import ChainReader
from streams.kafka.consumer import GroupConsumer, Stored
from streams.kafka.offsets import Watermarks
from streams.record import Partition

ANSWER_WITHIN_S: Final = 5.0
_ASK_EVERY_S: Final = 0.5
_STANDS_AFTER_S: Final = 5.0
"""Commits that have not changed for so long: whoever owns the partition waits, or nobody owns it."""


class _Look(NamedTuple):
    """What was known of a chain when its copies were looked at."""

    commits: Sequence[Stored]
    marks: Mapping[Partition, Watermarks]


class Elsewhere:
    """Knows whether anything waits in partitions of others.

    Owned by the poll thread.

    What a topic of the chain holds above its committed offset may wait; or it
    stands behind a held dead letter, or is nobody's, appended late by a former
    owner.  That only the copies tell: where the commits stand still they are
    read, once for each state of them, as the next owner would read them.
    """

    def __init__(
        self, consumer: GroupConsumer, plans: Mapping[str, ChainPlan], reader: ChainReader, clock: Clock
    ) -> None:
        """Ask with *consumer*, and scan the chains of *plans*, by source, with *reader*."""
        self._consumer = consumer
        self._plans = plans
        self._reader = reader
        self._clock = clock
        self._ask_at = 0.0
        self._stands: dict[Partition, tuple[Sequence[Stored], float]] = {}
        """Commits of a source partition's chain, and since when they are the same."""
        self._looked: dict[Partition, tuple[_Look, bool]] = {}
        self._waited: Partition | None = None
        """Where something waited last: looked at first."""

    def is_done(self, ends: Mapping[Partition, int], *, settled: bool) -> bool:
        """Say whether others have passed *ends*, and with *settled* nothing waits in the chains either.

        Asked too early, or where the broker does not answer, the answer is no.

        Args:
            ends: By source partition, what the group has to have committed.
            settled: Look at the chains of all of *ends* too.
        """
        if not ends:
            return True
        if self._clock.monotonic() < self._ask_at:
            return False
        try:
            return self._have_passed(ends, settled=settled)
        except (BrokerError, NewerLedgerError):
            return False  # asked again soon
        finally:
            self._ask_at = self._clock.monotonic() + _ASK_EVERY_S

    def _have_passed(self, ends: Mapping[Partition, int], *, settled: bool) -> bool:
        chains = {source: self._plans[source.topic].places(source.number) for source in ends} if settled else {}
        asked = [*ends, *(place for places in chains.values() for place in places)]
        stored = self._consumer.committed(asked, ANSWER_WITHIN_S)
        self._compare(chains, stored)
        if any((stored[source].offset or 0) < end for source, end in ends.items()):
            return False
        chains_in_turn = sorted(chains, key=lambda source: source != self._waited)
        self._waited = next((source for source in chains_in_turn if self._waits(source, stored)), None)
        return self._waited is None

    def _compare(self, chains: Mapping[Partition, Sequence[Partition]], stored: Mapping[Partition, Stored]) -> None:
        """Note since when each partition's commits are what they are."""
        now = self._clock.monotonic()
        for source, places in chains.items():
            commits = [stored[place] for place in (source, *places)]
            if source not in self._stands or self._stands[source][0] != commits:
                self._stands[source] = commits, now

    def _waits(self, source: Partition, stored: Mapping[Partition, Stored]) -> bool:
        """Say whether the chain of *source* holds work; in doubt it does.

        The ends are read after the commits, so what moved in between is seen at its new place.
        """
        plan = self._plans[source.topic]
        marks = {place: self._marks(place) for place in plan.places(source.number, with_dead_letters=False)}
        if all(stored[place].offset == mark.high or not mark.span for place, mark in marks.items()):
            return False
        commits, since = self._stands[source]
        if self._clock.monotonic() - since < _STANDS_AFTER_S:
            return True
        look = _Look(commits, {place: marks.get(place) or self._marks(place) for place in plan.places(source.number)})
        if source not in self._looked or self._looked[source][0] != look:
            self._looked[source] = look, self._holds_work(source, stored, look.marks)
        return self._looked[source][1]

    def _holds_work(
        self, source: Partition, stored: Mapping[Partition, Stored], marks: Mapping[Partition, Watermarks]
    ) -> bool:
        """Read the copies: does one of them wait for anything but an operator?"""
        plan, commit = self._plans[source.topic], stored[source]
        chain = plan.begin(source.number, b"")
        parts = {place: (chain, number) for number, place in enumerate(plan.places(source.number))}
        read_chains(self._reader, parts, stored, _snapshot, marks)
        snapshot, committed = _snapshot(source, commit), commit.offset or 0
        chain.scanned(Ledger(committed, snapshot.settled(committed) if snapshot else ()).was_settled)
        return len(chain.index) > chain.blocked

    def _marks(self, place: Partition) -> Watermarks:
        return Watermarks(*self._consumer.watermarks(place, ANSWER_WITHIN_S))


def _snapshot(_place: Partition, stored: Stored) -> Snapshot | None:
    """Read a ledger as the next owner would; the owner tells what is wrong with it."""
    try:
        return decode(stored.metadata)
    except NewerLedgerError:
        raise
    except LedgerError:
        return None
