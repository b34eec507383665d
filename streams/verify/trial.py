"""A run under way: members at work, load coming in, and what faults need to do theirs."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from streams.config import Settings
from streams.dev import Broker, DevCluster
from streams.errors import BrokerError, UsageError
from streams.kafka.admin import Admin
from streams.kafka.groups import describe_group
from streams.kafka.witness import ends_of, leader_of
from streams.verify.crew import Crew, VerifyError, Worker
from streams.verify.history import Reading
from streams.verify.proxy import Proxy
from streams.verify.track import Track

_WORKS_WITHIN_S: Final = 90.0
_CAUGHT_WITHIN_S: Final = 60.0
_LOOK_EVERY_S: Final = 0.05
_STILL_S: Final = 60.0
"""So long may nothing change while everything heals."""

_BULK: Final = 1_000
_BULK_BELOW: Final = 4_000
_BULK_SLOW: Final = 0.02
_TRICKLE_BELOW: Final = 400
_TRICKLE_EVERY_S: Final = 0.1
_TRICKLE_SLOW: Final = 0.3
_BURST: Final = 150
"""Records for each member that are written at once, each with some work, before one is hit."""
_LATEST: Final = 200
"""Runs that end in a member before it is hit, at most."""
_COMMITS: Final = "__consumer_offsets"


@dataclass
class Trial:
    """One run; owned by one thread.

    Always true: what is chosen by chance is chosen by `rng`.
    """

    crew: Crew
    tracks: Mapping[str, Track]
    rng: random.Random
    partitions: int
    settings: Settings
    """Those of a member."""
    wanted_in_flight: int = 5
    """Records that have started and not ended when a member is hit, at least."""
    cluster: DevCluster | None = None
    """Where it is the run's own, and may be broken."""
    network: Proxy | None = None
    """Between members and brokers, where it may be broken."""
    session_s: float = 6.0
    """After so long without a word a member is taken for gone."""
    exit_codes: list[int] = field(default_factory=list)
    """Of members that were told to stop."""
    trickle: int = 60
    """Records of each topic that are written every tenth of a second where there is to be some work."""
    spared: Worker | None = None
    """No fault ends this one, so that it can be watched for long."""
    stopped_ns: int = 0
    """When the member that stands still was suspended."""
    _written_at: float = 0.0

    @property
    def sent(self) -> int:
        """Records written."""
        return sum(track.load.sent for track in self.tracks.values())

    @property
    def ended(self) -> int:
        """Runs that came to an end."""
        return sum(worker.ended for worker in self.crew.workers)

    @property
    def in_flight(self) -> int:
        """Records under way in all members."""
        return sum(worker.in_flight for worker in self.crew.present)

    def awake_s(self) -> float:
        """Give the time by which things are waited for: while the whole machine stands still it does too."""
        return self.crew.watch.awake_s()

    def _under_way(self, but: Worker | None) -> int:
        return self.in_flight - (but.in_flight if but else 0)

    def start(self, members: int) -> None:
        """Start the first members; gives back when all of them work."""
        for worker in [self.crew.start() for _ in range(members)]:
            self._await_work(worker)

    def reinforce(self) -> None:
        """Start one more member, and wait until it works.

        Raises:
            VerifyError: It does not.
        """
        self._await_work(self.crew.start())

    def _group(self) -> str:
        """Say who is in the group, and with what."""
        try:
            with Admin(self.settings) as admin:
                group = describe_group(admin, self.settings.group)
        except BrokerError as error:
            return f"Who is in its group can't be read: {error}"
        members = [f"{one.client_id} with {' '.join(map(str, one.partitions)) or 'nothing'}" for one in group.members]
        return f"The group is {group.state}: {'; '.join(members) or 'nobody is in it'}."

    def _await_work(self, worker: Worker) -> None:
        if not self.under_load(lambda: worker.ended > 0, within_s=_WORKS_WITHIN_S):
            raise VerifyError(
                f"member {worker.number} got no work within {_WORKS_WITHIN_S:g} s. {self._group()}"
                f" Its last words:\n{worker.last_words}"
            )

    def advance(self, sent: int) -> None:
        """Write until *sent* records are, no faster than members work them off.

        Raises:
            VerifyError: They stand still.
        """
        quiet_since, ended = self.awake_s(), -1
        while self.sent < sent:
            self.crew.refresh()
            if self.sent - self.ended < _BULK_BELOW:
                for track in self.tracks.values():
                    track.load.write(min(_BULK, max(0, sent - self.sent)), slow=_BULK_SLOW)
            else:
                time.sleep(_LOOK_EVERY_S)
            if self.ended != ended:
                quiet_since, ended = self.awake_s(), self.ended
            if self.awake_s() - quiet_since > _STILL_S:
                raise VerifyError(
                    f"no run ended for {_STILL_S:g} s, with {self.sent - self.ended:,} records to do. The last words of"
                    f" a member:\n{self.crew.workers[-1].last_words}"
                )

    def under_load(self, condition: Callable[[], bool], *, within_s: float) -> bool:
        """Wait for *condition* while there is always some work; say whether it came true."""
        give_up = self.awake_s() + within_s
        while True:
            self.crew.refresh()
            if condition():
                return True
            if self.awake_s() > give_up:
                return False
            self._trickle()
            time.sleep(_LOOK_EVERY_S)

    def _trickle(self) -> None:
        now = time.monotonic()
        if self.sent - self.ended < _TRICKLE_BELOW and now - self._written_at > _TRICKLE_EVERY_S:
            self._written_at = now
            for track in self.tracks.values():
                track.load.write(self.trickle, slow=_TRICKLE_SLOW)

    def go_on(self, further: int) -> bool:
        """Wait until *further* runs have ended; say whether they did."""
        enough = self.ended + further
        return self.under_load(lambda: self.ended >= enough, within_s=_STILL_S)

    def keep_on(self, seconds: float) -> None:
        """Let this time pass, with always some work."""
        until = time.monotonic() + seconds
        self.under_load(lambda: time.monotonic() > until, within_s=seconds)

    def victim(self, *, ends: bool = False) -> Worker:
        """Choose a member, which will end or not, and wait until it has worked a little more."""
        members = self.crew.refresh()
        victim = self.rng.choice([worker for worker in members if not (ends and worker is self.spared)])
        enough = victim.ended + self.rng.randrange(_LATEST)
        self.under_load(lambda: victim.ended >= enough, within_s=_CAUGHT_WITHIN_S)
        return victim

    def catch(self, victim: Worker) -> int:
        """Make *victim* stand still with work in flight, and more of it behind; give how many records, as they stay."""
        for track in self.tracks.values():
            track.load.write(_BURST * len(self.crew.present) // len(self.tracks), slow=1)

        def stands_still_at_work() -> bool:
            self.stopped_ns = self.crew.suspend(victim)
            if victim.in_flight >= self.wanted_in_flight:
                return True
            victim.tell(signal.SIGCONT)
            return False

        if not self.under_load(stands_still_at_work, within_s=_CAUGHT_WITHIN_S):
            self.stopped_ns = self.crew.suspend(victim)
        return victim.in_flight

    def read(self) -> Mapping[str, Reading]:
        """Read the group's committed state of each topic."""
        return {name: track.read() for name, track in self.tracks.items()}

    def leader(self) -> Broker:
        """Choose a partition, and give the broker that leads it."""
        track = self.rng.choice(list(self.tracks.values()))
        node = leader_of(track.client, track.topic, self.rng.randrange(self.partitions))
        return next(one for one in self.require_cluster().brokers if one.node == node)

    def coordinator(self) -> Broker:
        """Give the broker that coordinates the group: it leads the partition of commits that the group's name gives."""
        track = next(iter(self.tracks.values()))
        number = kafka_hash(track.chain.group) % len(ends_of(track.client, _COMMITS))
        node = leader_of(track.client, _COMMITS, number)
        return next(one for one in self.require_cluster().brokers if one.node == node)

    def note_end(self, what: str, worker: Worker, since: Mapping[str, Reading] | None = None) -> None:
        """Note that *worker* goes, and what may run again for that."""
        readings = since or self.read()
        for name, track in self.tracks.items():
            track.note_end(what, worker, readings[name])

    def require_cluster(self) -> DevCluster:
        """Give the run's own cluster.

        Raises:
            UsageError: It has none.
        """
        if self.cluster is None:
            raise UsageError("brokers are broken only where they are the run's own: drop --bootstrap, or the fault")
        return self.cluster

    def require_network(self) -> Proxy:
        """Give what stands between members and brokers.

        Raises:
            UsageError: Nothing does.
        """
        if self.network is None:
            raise UsageError("the network is broken only before the run's own brokers: drop --bootstrap, or the fault")
        return self.network

    def heal(self, *, but: Worker | None = None) -> bool:
        """Wait until all that was written is settled; say whether it came to that, as long as something changes.

        What runs in the member *but* does not count.
        """
        changed_at, seen = self.awake_s(), (-1, -1)
        while self.awake_s() - changed_at < _STILL_S:
            self.crew.refresh()
            if not self._under_way(but) and all(track.is_settled() for track in self.tracks.values()):
                return True
            now = self.ended, self._under_way(but)
            if now != seen:
                changed_at, seen = self.awake_s(), now
            time.sleep(_LOOK_EVERY_S * 5)
        return False


def kafka_hash(group: str) -> int:
    """Give the number from which Kafka finds the partition of a group's commits: Java's hash of its name, unsigned."""
    found = 0
    for unit in memoryview(group.encode("utf-16-le")).cast("H"):
        found = (31 * found + unit) % 2**32
    return min(found, 2**32 - found) % 2**31
