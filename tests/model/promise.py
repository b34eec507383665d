"""What has to hold in every state: were all owners to die now, what would the next one find?

Nothing is lost: what it does not find was done, or is a dead letter that
counts.  Nothing rises: what was finished and committed it does not find.
Nothing has two ends.  And what it will do again is the younger part of its
key: no record that was done comes again while a younger one does not.  What a
replay asks for is found until it has ended again.  And who lists the dead
letters sees each record once, none is missing that counts, and none is there
that does not: what is listed has ended dead.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import NamedTuple

from streams.deadletter.counting import CopyLedger
from streams.deadletter.letter import Letter
from streams.deadletter.read import Listing
from streams.engine.chain import unpack
from streams.errors import LedgerError
from streams.kafka.consumer import Stored
from streams.kafka.offsets import Committed
from tests.model.memory import Memory
from tests.model.owner import Log, outstanding
from tests.model.world import World


class View(NamedTuple):
    """What a new owner would find; records are a bit each."""

    open: int
    dead: int
    """Dead letters that count."""
    twice: int
    """Records with more than one of those."""
    held: int = 0
    """Of those that are open: an operator decides, as nobody knows whether they were done."""
    fault: str = ""


class Listed(NamedTuple):
    """What who lists the dead letters sees; records are a bit each."""

    dead: int = 0
    """Dead letters that count."""
    doubtful: int = 0
    """Those that may count: what was committed does not tell."""
    fault: str = ""


class Promise:
    """Holds worlds against what was promised."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._look = cache(self._scan)
        self._list = cache(self._listing)
        keys = memory.engine.keys
        self._all = (1 << len(keys)) - 1
        self._younger = [
            sum(1 << two for two in range(one + 1, len(keys)) if keys[two] == keys[one]) for one in range(len(keys))
        ]
        self._is_ordered = memory.engine.plan.policy != "unordered"

    def view(self, world: World) -> View:
        """Give what a new owner would find."""
        return self._look(world.stored, world.logs)

    def hold(self, before: World, world: World) -> tuple[World, str]:
        """Give *world* with what the ledgers have closed since *before*, and what of the promise is broken."""
        view = self.view(world)
        if view.fault:
            return world, view.fault
        fault = ""
        if before.forgets != world.forgets:  # what is open now may be done, and be held
            world = world._replace(closed=before.closed & ~view.open, closed_well=before.closed_well & ~view.open)
        elif before.stored != world.stored:
            if before.is_based and world.is_based:
                rising = before.closed & view.open & ~view.held  # what is held for doubt is open to nobody
                fault = _say("rises: a commit of its owner says it is open again:", rising)
            closed = self._all & ~view.open
            world = world._replace(closed=closed, closed_well=closed & ~view.dead)
        return world, fault or self._wrong(world, view)

    def _wrong(self, world: World, view: View) -> str:
        lost = self._all & ~(view.open | world.done | view.dead)
        return (
            _say("is lost: neither done, nor dead, nor found again:", lost)
            or _say("has two dead letters that count:", 0 if world.replays else view.twice)  # it may die again
            or _say("is not found, though a replay asks for it:", world.again & ~(view.open | view.dead))
            or self._rises(world, view)
            or self._out_of_order(world, view)
            or self._told_wrong(world, view)
        )

    def _rises(self, world: World, view: View) -> str:
        if world.forgets:
            return ""
        return _say("rises: it was finished and committed, and is found again:", world.closed & view.open) or _say(
            "has two ends: it was done and committed, and has a dead letter that counts:", world.closed_well & view.dead
        )

    def _out_of_order(self, world: World, view: View) -> str:
        again = view.open & world.done & ~view.held
        if not again or not self._is_ordered:
            return ""
        past = world.done & ~view.open & ~view.dead
        wrong = sum(1 << one for one, younger in enumerate(self._younger) if again >> one & 1 and younger & past)
        return _say("is done again after a younger one of its key, which is not:", wrong)

    def _told_wrong(self, world: World, view: View) -> str:
        listed = self._list(world.stored[-1], world.logs[-1])
        return (
            listed.fault
            or _say("has a dead letter that counts, and is not listed:", view.dead & ~(listed.dead | listed.doubtful))
            or _say("is listed, and has no dead letter that counts:", listed.dead & ~view.dead)
            or _say("is listed, and was done and committed:", listed.dead & world.closed_well)
        )

    def _listing(self, stored: Stored, log: Log) -> Listed:
        """List the dead letters in *log*, as commands do."""
        listing, engine = Listing(limit=len(log)), self._memory.engine
        commit = None if stored.offset is None else Committed(stored.offset, stored.metadata)
        ledger = CopyLedger.read(commit, len(log), len(log), engine.plan.topic_id)
        for message in engine.read(len(engine.plan.stages) - 1, 0, log):
            try:
                listing.add(Letter.read(message, ledger))
            except LedgerError as error:
                return Listed(fault=f"a dead letter of this engine's own: {error}")
        letters = listing.letters
        seen = {letter.origin.offset for letter in letters}
        if not listing.found == len(seen) == len(letters):
            return Listed(fault=f"of {len(seen)} records with dead letters, {listing.found} are told of")
        dead = _bits(letter.origin.offset for letter in letters if letter.verdict.counts == "yes")
        return Listed(dead, _bits(seen) & ~dead)

    def _scan(self, stored: tuple[object, ...], logs: tuple[tuple[object, ...], ...]) -> View:
        effect = self._memory.begin(b"next", stored, logs, tuple(map(len, logs)))  # type: ignore[arg-type]
        if effect.fault:
            return View(0, 0, 0, fault=effect.fault)
        owner = self._memory.thaw(effect.owner)
        dead = twice = 0
        part = owner.state.chain.parts[-1]
        for offset, (copy, _) in enumerate(logs[-1]):  # type: ignore[misc]
            if part.is_outstanding(offset):
                record = 1 << unpack(copy.headers).offset  # type: ignore[has-type]
                twice |= dead & record
                dead |= record
        found = outstanding(owner)
        suspects = [backlog for backlog in owner.state.chain.index.values() if backlog.is_suspect]
        held = _bits(origin for backlog in suspects for origin, _ in backlog.entries())
        return View(_bits(found), dead, twice, held)


def _bits(records: Iterable[int]) -> int:
    return sum(1 << one for one in set(records))


def _say(what: str, records: int) -> str:
    if not records:
        return ""
    named = [str(one) for one in range(records.bit_length()) if records >> one & 1]
    return f"record {', '.join(named)} {what.rstrip(':')}"
