"""The world round the owners at one moment: logs, what was committed, what is on its way; and how far the search goes.

What may happen next in it is in `physics`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeAlias

from streams.engine.backlog import LaneKey
from streams.kafka.commits import Request
from streams.kafka.consumer import Stored
from tests.model.owner import Log


@dataclass(frozen=True)
class Bounds:
    """How far the search goes."""

    owners: int = 3
    """One after the other."""
    zombies: int = 1
    """Of them: owners that lose the partition and go on."""
    foreign: int = 1
    """Commits of former owners that are stored after a later owner began."""
    batches: bool = False
    """The source is read one record at a time, and all that is left at once."""
    gives_up: bool = True
    """Handlers give records up at once, beside failing."""
    is_forced: bool = False
    """Memory is relieved by force too: of what waits for another attempt there."""
    stretches: bool = False
    """The chain is read by single copies, and from its oldest one on, beside from where it is wanted."""
    forgets: int = 0
    """Times that the broker forgets what was committed for a topic of the chain."""
    restarts: int = 0
    """Stays that end while records run, in a process that goes on and takes the partition again; without zombies."""
    replays: int = 0
    """Times that an operator sends the group back to the first record."""
    reliefs: int = 0
    """Times that what is outstanding in a topic of the chain is to move on: its ledger is too long, or it is old."""
    depth: int = 1_000
    """Steps."""


@dataclass(frozen=True)
class Habits:
    """What rooms beside `PartitionState` hold, and a broken engine does not."""

    ids_by_member: bool = False
    """Not rule 10: what was sent under an earlier assignment counts as sent by this one."""
    commits_apart: bool = False
    """Not rule 13: each ledger in a request of its own."""
    ends_first: bool = False
    """Not rule 16: the ends of logs are read before the ledgers."""
    resends: bool = False
    """Not rule 9: what may not have arrived is sent once more."""
    commits_overlap: bool = False
    """Not rule 15: a commit is sent while another one is on its way."""
    starts_unleased: bool = False
    """Not rule 7: an owner starts records for as long as it lives."""
    spoils_commits: bool = False
    """Not rule 14: a commit is sent although the broker will refuse a part of it."""
    starts_beside_former: bool = False
    """Not rule 6: a stay starts records while runs of the former one in this process go on."""
    replays_running: bool = False
    """Not rule 22: a replay is written while the group has members."""


SOUND: Final = Habits()


class Member(NamedTuple):
    """An owner that lives."""

    number: int
    """Which one, counted from 1."""
    is_zombie: bool
    local: int
    """What it remembers: its number in `Memory`."""


Air: TypeAlias = "tuple[tuple[int, int, tuple[Any, ...]], ...]"
"""By owner and topic of the chain: copies in their order, or offsets."""


class World(NamedTuple):
    """Everything at one moment."""

    stored: tuple[Stored, ...]
    """What the broker has committed: of the source, then of the chain."""
    logs: tuple[Log, ...]
    members: tuple[Member, ...] = ()
    flying: Air = ()
    """Produced, not appended."""
    landed: Air = ()
    """Appended, not acknowledged: offset and time."""
    commits: tuple[tuple[int, Request], ...] = ()
    """Sent, not stored: by whom."""
    ends: tuple[int, ...] | None = None
    """Read by an owner that is about to begin."""
    begun: int = 0
    """Owners so far."""
    zombies: int = 0
    foreign: int = 0
    forgets: int = 0
    restarts: int = 0
    aside: tuple[tuple[LaneKey, int], ...] = ()
    """Handlers at work for a former stay in the same process: lane and record; their stay is over."""
    reliefs: int = 0
    relieved: tuple[tuple[int, int], ...] = ()
    """What stands below is to move on, by the word of this owner: topic and offset."""
    replays: int = 0
    again: int = 0
    """Records that a replay asks for, and that no owner after it has ended; a bit each."""
    replayed_at: int = 0
    """Owners up to this one began before the replay."""
    is_based: bool = True
    """The last owner knows of what is stored: it began with it, or stored it."""
    done: int = 0
    """Records that ended well in anybody's hands, a bit each."""
    closed: int = 0
    """Records that have ended for whoever reads the ledgers that were stored last."""
    closed_well: int = 0
    """Those of them without a dead letter."""


Label: TypeAlias = "tuple[Any, ...]"
"""What happened, for a trace: see `story.tell`."""
Next: TypeAlias = "tuple[Label, World, str]"
"""What happened, what the world is then, and what is wrong with that."""


def push(air: Air, owner: int, number: int, one: Any) -> Air:
    """Put *one* behind what is on its way from *owner* to a topic."""
    kept = {(way[0], way[1]): way[2] for way in air}
    kept[owner, number] = (*kept.get((owner, number), ()), one)
    return tuple(sorted(((*key, things) for key, things in kept.items()), key=lambda way: way[:2]))


def pop(air: Air, owner: int, number: int) -> tuple[Air, Any]:
    """Take the oldest of what is on its way from *owner* to a topic."""
    kept = {(way[0], way[1]): way[2] for way in air}
    first, *rest = kept.pop((owner, number))
    if rest:
        kept[owner, number] = tuple(rest)
    return tuple(sorted(((*key, things) for key, things in kept.items()), key=lambda way: way[:2])), first
