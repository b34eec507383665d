"""All that may happen next in a world: what owners do, what the broker does, and time.

A small Kafka.  A produced copy is appended later, in its owner's life or after
it, or never; one owner's copies for one topic keep their order.  A commit is
stored as a whole, later or never, and a former owner's may be stored after its
successor's.  An owner dies with all its memory, or loses the partition without
knowing it and goes on, as a zombie, without a lease; or it begins the
partition anew, while handlers of its former stay are still at work.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from streams.engine.backlog import LaneKey
from streams.engine.snapshot import Snapshot, encode
from streams.kafka.commits import Request
from streams.kafka.consumer import Stored
from tests.model.memory import Effect, Face, Memory, Step
from tests.model.owner import DUE_MS, FRESH_MS, Log, Placed
from tests.model.world import SOUND, Bounds, Habits, Member, Next, World, pop, push


class Physics:
    """What may happen in a world."""

    def __init__(self, memory: Memory, bounds: Bounds, habits: Habits = SOUND) -> None:
        self.memory = memory
        self.bounds = bounds
        self.habits = habits
        self._records = len(memory.engine.keys)
        assert not (bounds.restarts and bounds.zombies), "a former stay's runs are those of the process that goes on"
        self._replay = Stored(0, encode(Snapshot(b"replay")))

    def start(self) -> World:
        """Give a world in which nothing has happened."""
        count = len(self.memory.engine.plan.stages)
        return World((Stored(None, ""),) * (count + 1), ((),) * count)

    def face(self, member: Member) -> Face:
        """Look at a living owner."""
        return self.memory.faces[member.local]

    def after(self, world: World) -> Iterator[Next]:
        """Give everything that may happen next."""
        for member in world.members:
            yield from self._works(world, member)
            yield from self._ends(world, member)
        for way in world.flying:
            yield self.append(world, way[0], way[1])
        for number, request in world.commits:
            yield from self._stores(world, number, request)
        yield from self._returns(world)
        yield from self._grows_old(world)
        if not any(not member.is_zombie for member in world.members):
            yield from self._begins(world)
        if world.forgets < self.bounds.forgets:
            yield from self._forgets(world)
        if world.replays < self.bounds.replays:
            yield from self._replays(world)

    # -- owners -----------------------------------------------------------------------------------

    def _begins(self, world: World) -> Iterator[Next]:
        if world.begun >= self.bounds.owners:
            return
        if self.habits.ends_first and world.ends is None:
            yield ("ends", world.begun + 1), world._replace(ends=tuple(map(len, world.logs))), ""
            return
        yield self.begin(world)

    def begin(self, world: World) -> Next:
        """Let the next owner take the partition, and send its first commit."""
        number = world.begun + 1
        ends = tuple(map(len, world.logs)) if world.ends is None else world.ends
        effect = self.memory.begin(self.id_of(number), world.stored, world.logs, ends)
        label = ("begin", number)
        if effect.fault:
            return label, world, effect.fault
        members = tuple(sorted((*world.members, Member(number, is_zombie=False, local=effect.owner))))
        after = world._replace(members=members, begun=number, ends=None, is_based=True, relieved=())
        first = self.memory.step(effect.owner, ("commit",))
        assert first.request is not None
        return label, self._sends_commit(after, number, first.request), ""

    def id_of(self, number: int) -> bytes:
        """Give the assignment id of an owner."""
        return b"member" if self.habits.ids_by_member else b"owner %d" % number

    def _ends(self, world: World, member: Member) -> Iterator[Next]:
        """The owner dies; or loses the partition, and goes on."""
        others = tuple(one for one in world.members if one is not member)
        landed = tuple(way for way in world.landed if way[0] != member.number)
        gone = world._replace(members=others, landed=landed)
        yield ("die", member.number), gone._replace(aside=()), ""
        running = self.face(member).running
        if running and world.restarts < self.bounds.restarts:
            aside = tuple(sorted({*world.aside, *running}, key=repr))
            yield ("restart", member.number), gone._replace(aside=aside, restarts=world.restarts + 1), ""
        if not member.is_zombie and world.zombies < self.bounds.zombies:
            lost = self._step(world, member, ("lapse",)) if not self.habits.starts_unleased else world
            if isinstance(lost, World):
                members = tuple(
                    one._replace(is_zombie=True) if one.number == member.number else one for one in lost.members
                )
                yield ("lose", member.number), lost._replace(members=members, zombies=lost.zombies + 1), ""

    def _works(self, world: World, member: Member) -> Iterator[Next]:
        for step in self.steps(world, member):
            onward = self.step(world, member, step)
            if onward[1] is not world or onward[2]:
                yield onward
        for way in world.landed:
            if way[0] == member.number:
                yield self.acknowledge(world, member, way[1])
        if self.habits.resends:
            yield from self._resends(world, member)
        if world.reliefs < self.bounds.reliefs and not member.is_zombie:
            yield from self._relieves(world, member)

    def steps(self, world: World, member: Member) -> Iterator[Step]:
        """Give what an owner may do by itself."""
        face, bounds = self.face(member), self.bounds
        for key, _ in face.running:
            yield from self._outcomes(key)
        if not (face.has_lease or member.is_zombie):
            return  # nothing but its first commit matters before that is stored
        if not member.is_zombie:
            yield from self._reads(self._records - face.position)
        if face.is_crowded:
            yield ("relieve",)
            if bounds.is_forced:
                yield ("force",)
        if face.has_waiting:
            yield ("wait",)
        for number, wanted in enumerate(face.wanted):
            if wanted is not None:
                yield from self._loads(number, wanted, face.marks[number], world.logs[number])
        on_their_way = sum(number == member.number for number, _ in world.commits)
        if on_their_way <= self.habits.commits_overlap:
            yield ("commit",)

    def _reads(self, left: int) -> Iterator[Step]:
        if left:
            yield ("read", 1)
        if left > 1 and self.bounds.batches:
            yield ("read", left)

    def _outcomes(self, key: LaneKey) -> Iterator[Step]:
        yield ("end_well", key)
        yield ("fail", key)
        if self.bounds.gives_up:
            yield ("give_up", key)

    def _loads(self, number: int, wanted: int, mark: int, log: Log) -> Iterator[Step]:
        yield ("load", number, wanted, log[wanted:])
        if self.bounds.stretches:
            if wanted + 1 < len(log):
                yield ("load", number, wanted, log[wanted : wanted + 1])
            if mark < wanted:
                yield ("load", number, mark, log[mark:])

    def step(self, world: World, member: Member, step: Step) -> Next:
        """Let an owner make *step*."""
        after = self._step(world, member, step)
        label = ("step", member.number, step)
        return (label, world, after) if isinstance(after, str) else (label, after, "")

    def _step(self, world: World, member: Member, step: Step) -> World | str:
        """Let an owner make *step*; give the world then, or what is wrong."""
        effect = self.memory.step(member.local, step)
        if effect.fault:
            return effect.fault
        if effect.request is not None:
            if tuple(Stored(entry.offset, entry.metadata) for entry in effect.request) == world.stored:
                return world
            if any(one == (member.number, effect.request) for one in world.commits):
                return world
            world = self._sends_commit(world, member.number, effect.request)
        if effect.started and (overlap := self._overlap(world, member, effect.started)):
            return overlap
        return self._with(world, member, effect)

    def _overlap(self, world: World, member: Member, started: tuple[LaneKey, ...]) -> str:
        """Say where a key starts that is at work: in a successor's hands (rule 7), or for a former stay (rule 6)."""
        if not set(started).isdisjoint(key for key, _ in world.aside):
            return f"owner {member.number} starts a key that a run of the former stay in its process is still at"
        for other in world.members if member.is_zombie else ():
            running = (key for key, _ in self.face(other).running)
            if other.number > member.number and not set(started).isdisjoint(running):
                return (
                    f"owner {member.number}, which has lost the partition, starts a key that owner {other.number} runs"
                )
        return ""

    def _with(self, world: World, member: Member, effect: Effect) -> World:
        if effect.owner != member.local:
            moved = member._replace(local=effect.owner)
            members = tuple(moved if one.number == member.number else one for one in world.members)
            world = world._replace(members=members)
        if effect.sent:
            flying = world.flying
            for number, copy in effect.sent:
                flying = push(flying, member.number, number, copy)
            world = world._replace(flying=flying)
        if effect.done | world.done != world.done:
            world = world._replace(done=world.done | effect.done)
        if effect.done & world.again and member.number > world.replayed_at:
            world = world._replace(again=world.again & ~effect.done)
        return world

    def _relieves(self, world: World, member: Member) -> Iterator[Next]:
        for number, end in enumerate(self.face(member).ends):
            if end is not None:
                relieved = (*world.relieved, (number, end))
                asked = world._replace(reliefs=world.reliefs + 1, relieved=relieved)
                yield self.step(asked, member, ("go_over", number))

    # -- copies -----------------------------------------------------------------------------------

    def append(self, world: World, owner: int, number: int) -> Next:
        """Let the broker append the oldest copy on its way from *owner* to a topic."""
        flying, copy = pop(world.flying, owner, number)
        log = world.logs[number]
        stamp_ms = FRESH_MS if self.memory.engine.plan.stages[number].kind == "tier" else DUE_MS
        logs = (*world.logs[:number], (*log, Placed(copy, stamp_ms)), *world.logs[number + 1 :])
        world = world._replace(flying=flying, logs=logs)
        if any(member.number == owner for member in world.members):
            world = world._replace(landed=push(world.landed, owner, number, (len(log), stamp_ms)))
        return ("append", owner, number, copy, len(log)), world, ""

    def acknowledge(self, world: World, member: Member, number: int) -> Next:
        """Tell an owner that the oldest of its copies in a topic is there."""
        landed, (offset, stamp_ms) = pop(world.landed, member.number, number)
        world = world._replace(landed=landed)
        label = ("acknowledge", member.number, number, offset)
        after = self._step(world, member, ("acknowledge", number, offset, stamp_ms))
        return (label, world, after) if isinstance(after, str) else (label, after, "")

    def _resends(self, world: World, member: Member) -> Iterator[Next]:
        """The fate of a copy is unknown, and it is sent once more: the first may still arrive."""
        for owner, number, copies in world.flying:
            if owner == member.number and all(way[:2] != (-1, number) for way in world.flying):
                flying = push(world.flying, -1, number, copies[0])
                yield ("resend", owner, number, copies[0]), world._replace(flying=flying), ""

    def _grows_old(self, world: World) -> Iterator[Next]:
        for number, log in enumerate(world.logs):
            if any(one.stamp_ms == FRESH_MS for one in log):
                yield self.grow_old(world, number)

    def grow_old(self, world: World, number: int) -> Next:
        """Let the delay of a tier pass."""
        old = tuple(Placed(one.copy, DUE_MS) for one in world.logs[number])
        world = world._replace(logs=(*world.logs[:number], old, *world.logs[number + 1 :]))
        landed = tuple(
            (owner, topic, tuple((offset, DUE_MS) for offset, _ in places) if topic == number else places)
            for owner, topic, places in world.landed
        )
        world = world._replace(landed=landed)
        for member in world.members:
            after = self._step(world, member, ("grow_old", number))
            if isinstance(after, str):
                return ("time", number), world, after
            world = after
        return ("time", number), world, ""

    # -- commits ----------------------------------------------------------------------------------

    def _sends_commit(self, world: World, owner: int, request: Request) -> World:
        requests: list[Request] = [request]
        if self.habits.commits_apart:
            requests = [(one,) for one in request if one[1:] != tuple(world.stored[self._index(one)])]
        if self.habits.spoils_commits:
            requests = [request, request[:1]]
        return world._replace(commits=(*world.commits, *((owner, one) for one in requests)))

    def _index(self, entry: Any) -> int:
        return [self.memory.engine.source, *self.memory.engine.places].index(entry.partition)

    def _stores(self, world: World, owner: int, request: Request) -> Iterator[Next]:
        if owner < world.begun and world.foreign >= self.bounds.foreign:
            return
        yield self.store(world, owner, request)

    def store(self, world: World, owner: int, request: Request) -> Next:
        """Let the broker store a commit that is on its way, and answer it to its owner if that is still the owner."""
        is_foreign = owner < world.begun
        stored = list(world.stored)
        for entry in request:
            stored[self._index(entry)] = Stored(entry.offset, entry.metadata)
        commits = tuple(one for one in world.commits if one != (owner, request))
        if self.habits.spoils_commits:
            commits = tuple(one for one in commits if one[0] != owner)
        world = world._replace(
            stored=tuple(stored),
            commits=commits,
            foreign=world.foreign + is_foreign,
            is_based=not is_foreign,
        )
        label = ("store", owner, request)
        after = self._leases(world, owner)
        return (label, world, after) if isinstance(after, str) else (label, after, "")

    def _leases(self, world: World, owner: int) -> World | str:
        """Let *owner* start records, if it still is the owner, its commits are answered, and no former run goes on."""
        member = next((one for one in world.members if one.number == owner and not one.is_zombie), None)
        if member is None or any(one == owner for one, _ in world.commits) or self.face(member).has_lease:
            return world
        if world.aside and not self.habits.starts_beside_former:
            return world
        return self._step(world, member, ("lease",))

    # -- former stays ------------------------------------------------------------------------------

    def _returns(self, world: World) -> Iterator[Next]:
        for place in range(len(world.aside)):
            for is_done in (True, False):
                yield self.return_(world, place, is_done=is_done)

    def return_(self, world: World, place: int, *, is_done: bool) -> Next:
        """Let a handler end whose stay is over: what it did is done, and nobody hears of it.

        With the last of them the next commit that is acknowledged renews the lease; that is no step of its own here.
        """
        key, record = world.aside[place]
        world = world._replace(
            aside=(*world.aside[:place], *world.aside[place + 1 :]), done=world.done | (is_done << record)
        )
        label = ("return", key, record, is_done)
        after = self._leases(world, world.begun)
        return (label, world, after) if isinstance(after, str) else (label, after, "")

    # -- operators ---------------------------------------------------------------------------------

    def _replays(self, world: World) -> Iterator[Next]:
        """The group is sent back to its first record; of members that are gone no commit is taken from then on."""
        if world.stored[0].offset is None or ((world.members or world.aside) and not self.habits.replays_running):
            return
        there = {member.number for member in world.members}
        commits = tuple(one for one in world.commits if one[0] in there)
        stored = (self._replay, *world.stored[1:])
        again = (1 << self._records) - 1
        world = world._replace(stored=stored, commits=commits, replays=world.replays + 1, again=again)
        yield ("replay",), world._replace(replayed_at=world.begun, is_based=False), ""

    def _forgets(self, world: World) -> Iterator[Next]:
        for place in range(1, len(world.stored)):
            if world.stored[place].offset is not None:
                stored = (*world.stored[:place], Stored(None, ""), *world.stored[place + 1 :])
                yield ("forget", place - 1), world._replace(stored=stored, forgets=world.forgets + 1), ""
