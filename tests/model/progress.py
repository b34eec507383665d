"""No standstill: from here on nothing fails any more; does everything end?

An owner that lives, or the next one, does what is to be done until nothing is
left to do.  Then every record has ended, but for those of a key that waits for
an operator.
"""

from __future__ import annotations

from collections.abc import Iterator

from streams.engine.backlog import MOVING, Backlog, number_of
from streams.engine.partition import Item
from tests.model.owner import Owner
from tests.model.physics import Physics
from tests.model.world import Next, World

_MOST = 500
"""Steps; a record needs about ten."""
_STEPS = ("end_well", "wait", "read", "load", "relieve", "commit")
"""What an owner does when nothing fails, what is nearest to an end first."""


class Progress:
    """Goes on from worlds, fairly."""

    def __init__(self, physics: Physics) -> None:
        self._physics = physics
        self._good: set[World] = set()
        """Worlds from which everything is known to end."""

    def standstill(self, world: World) -> str:
        """Go on from *world*; say what never ends then."""
        world = self._alone(world)
        way: dict[World, None] = {}
        while world not in self._good and len(way) < _MOST:
            way[world] = None
            onward = next((one for one in self._goes_on(world) if one[1] not in way), None)
            if onward is None:
                left = self._left(world)
                if left:
                    return f"stands still: record {', '.join(map(str, left))} never ends, though nothing fails any more"
                if stuck := self._stuck(world):
                    return stuck
                break
            if onward[2]:
                return onward[2]
            world = onward[1]
        if len(way) >= _MOST:
            return "goes round and round, though nothing fails any more"
        self._good.update(way)
        return ""

    def _alone(self, world: World) -> World:
        """Let former owners be gone, with all that they had under way; and let there be an owner."""
        owners = tuple(one for one in world.members if not one.is_zombie)
        number = owners[0].number if owners else 0
        world = world._replace(
            members=owners,
            flying=tuple(way for way in world.flying if way[0] == number),
            landed=tuple(way for way in world.landed if way[0] == number),
            commits=tuple(one for one in world.commits if one[0] == number),
            ends=None,
        )
        return world if owners else self._physics.begin(world)[1]

    def _goes_on(self, world: World) -> Iterator[Next]:
        physics, member = self._physics, world.members[0]
        if world.aside:
            yield physics.return_(world, 0, is_done=False)
        for way in world.landed:
            yield physics.acknowledge(world, member, way[1])
        for way in world.flying:
            yield physics.append(world, way[0], way[1])
        for owner, request in world.commits:
            yield physics.store(world, owner, request)
        for number in range(len(world.logs)):
            yield physics.grow_old(world, number)
        steps = [one for one in physics.steps(world, member) if one[0] in _STEPS]
        for step in sorted(steps, key=lambda one: _STEPS.index(one[0])):
            yield physics.step(world, member, step)
        face = physics.face(member)
        for number, end in world.relieved:  # what did not move the first time is gone over again
            if face.ends[number] is not None and face.marks[number] < end:
                yield physics.step(world, member, ("go_over", number))

    def _left(self, world: World) -> list[int]:
        """Give the records that are open, and whose key does not wait for an operator."""
        owner = self._physics.memory.thaw(world.members[0].local)
        keys, index = owner.engine.keys, owner.state.chain.index
        blocked = {key for key, backlog in index.items() if _waits_for_operator(owner, backlog)}
        return sorted(one for one in owner.open if (keys[one] if keys[one] is not None else one) not in blocked)

    def _stuck(self, world: World) -> str:
        """Say what has not moved on although it was to (rule 21)."""
        parts = self._physics.memory.thaw(world.members[0].local).state.chain.parts
        kinds = [
            parts[number].stage.kind
            for number, end in world.relieved
            if parts[number].outstanding and parts[number].committable < end
        ]
        return f"what was to move on in {kinds[0]} stays where it is" if kinds else ""


def _waits_for_operator(owner: Owner, backlog: Backlog[Item]) -> bool:
    if backlog.is_suspect:
        return True
    numbers = [MOVING if place == MOVING else number_of(place) for _, place in backlog.entries()]
    dlq = owner.state.chain.dlq
    if owner.state.chain.after_death == "follow":
        return all(number == dlq for number in numbers)
    return bool(numbers) and numbers[0] == dlq
