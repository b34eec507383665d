"""How one owner of a partition stands to those before it and those after: what they tell each other in commits.

An owner that dies where it began was perhaps killed by a record there.  So
each one counts those that began at the same place, and names in its commit
the record that is about to run alone; the next one reads both.  What follows
from it is decided in `caution.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from streams.engine.snapshot import Replay, Snapshot

NAMED_DEATHS: Final = 2
"""Deaths with the same record named after which it is given up: one may be chance."""


@dataclass(slots=True, eq=False)
class Tenure:
    """One owner's place in the line of owners.

    Owned by the poll thread.

    Always true: a graceful end is no death, nor is one further on than where the owner began.
    """

    starts: int = 1
    """Owners, this one included, that began at the same committed offset without a graceful end."""
    process: bytes = b""
    """Names this process."""
    is_suspected: bool = False
    """Too many owners died at this place: its records run one at a time."""
    named: int = -1
    """Origin of the record that runs alone, as the next commit tells it."""
    blamed: int = -1
    """Origin of a record that ran alone when a process died, and how often that was so."""
    deaths: int = 0
    control: int = -1
    """Operators' commands below this offset have been carried out; -1: none was ever heard of."""
    replay: Replay | None = None
    """The last replay; None: there was none, or it was undone."""
    tested: int = 0
    """Records that have run alone."""
    is_graceful: bool = False
    """This owner ended of its own will."""
    began_at: int = 0
    """The committed offset that this owner started from."""
    chain_began: tuple[int, ...] = ()
    """The lowest outstanding offsets of its chain at that time; -1 where a topic had none."""

    @classmethod
    def after(cls, former: Snapshot, process: bytes, max_deaths: int) -> Tenure:
        """Follow the owner that committed *former*; it is a death where another process than *process* wrote it."""
        starts = former.starts + (former.process != process)
        blamed, deaths = former.blamed, former.deaths
        if former.named >= 0 and former.process != process:
            blamed, deaths = former.named, deaths + 1 if former.named == blamed else 1
        is_suspected = deaths > 0 or starts >= max_deaths - NAMED_DEATHS + 1
        return cls(
            starts, process, is_suspected, blamed=blamed, deaths=deaths, control=former.control, replay=former.replay
        )

    @property
    def replay_id(self) -> str:
        """Of the replay that goes on, or has gone through; empty where none does."""
        return "" if self.replay is None or self.replay.is_ended else self.replay.id

    def snapshot(
        self, assignment_id: bytes, runs: tuple[int, ...], committable: int, marks: tuple[int, ...]
    ) -> Snapshot:
        """Give what the source's commit says: the settled *runs* above *committable*, and what the next owner is told.

        Args:
            assignment_id: What it is written under.
            runs: As in `Snapshot`.
            committable: The offset that is committed.
            marks: The lowest outstanding offsets of the chain.
        """
        starts = self.starts if self._stands_still(committable, marks) else 1
        return Snapshot(
            assignment_id,
            starts - self.is_graceful,
            runs,
            process=self.process,
            named=-1 if self.is_graceful else self.named,
            blamed=self.blamed,
            deaths=self.deaths,
            control=self.control,
            replay=self.replay,
        )

    def _stands_still(self, committable: int, marks: tuple[int, ...]) -> bool:
        """Say whether the source, or a topic of the chain, is where this owner found it: a killer may be there."""
        if committable == self.began_at:
            return True
        return any(before == now for before, now in zip(self.chain_began, marks, strict=True) if before >= 0)

    def is_killer(self, origin: int) -> bool:
        """Say whether the record of *origin* has run alone in so many deaths that it is not run again."""
        return self.deaths >= NAMED_DEATHS and self.blamed == origin

    def survived(self, origin: int) -> None:
        """Note that the record of *origin* ran alone, and the process lives."""
        self.tested += 1
        self.named = -1
        if self.blamed == origin:
            self.blamed, self.deaths = -1, 0

    def acquit(self) -> None:
        """Suspect the partition no longer: the owners before have died of something else, or it was found."""
        self.is_suspected = False
        self.starts, self.named, self.blamed, self.deaths = 1, -1, -1, 0

    def let_go(self) -> None:
        """Go on untried: what is counted stays, and the next owner is as careful."""
        self.is_suspected, self.named = False, -1

    def end_gracefully(self) -> None:
        """Take this owner out of the count of starts: what comes after is no second try."""
        self.is_graceful = True
