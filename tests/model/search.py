"""Breadth first: every state within the bounds, the nearest first; so the first fault has the shortest trace."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from tests.model.memory import Memory
from tests.model.owner import Engine
from tests.model.physics import Physics
from tests.model.progress import Progress
from tests.model.promise import Promise
from tests.model.story import tell
from tests.model.world import SOUND, Bounds, Habits, Label, World


@dataclass(frozen=True)
class Found:
    """What a search came to."""

    states: int
    owners: int
    """Distinct owners in them."""
    depth: int
    is_whole: bool
    """Nothing within the bounds was left out."""
    fault: str = ""
    trace: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Tell it, with the trace."""
        whole = "all" if self.is_whole else "not all"
        head = f"{self.states} states ({whole} within the bounds), {self.owners} owners, {self.depth} steps deep"
        if not self.fault:
            return f"{head}: nothing wrong"
        return "\n".join((head, *(f"{at:3}. {line}" for at, line in enumerate(self.trace, 1)), f"=> {self.fault}"))


def search(
    engine: Engine, bounds: Bounds, habits: Habits = SOUND, *, most: int = 10_000_000, goes_on_every: int = 0
) -> Found:
    """Look at every world within *bounds* until something is wrong.

    Args:
        engine: What is explored.
        bounds: How far.
        habits: Of the rooms beside the engine.
        most: Worlds at most.
        goes_on_every: From each so-manieth world it is seen whether everything ends when nothing fails any more.
    """
    memory = Memory(engine)
    physics, promise = Physics(memory, bounds, habits), Promise(memory)
    progress = Progress(physics)
    first = physics.start()
    seen: dict[World, tuple[World, Label] | None] = {first: None}
    queue = deque([(first, 0)])
    depth = 0
    while queue and len(seen) < most:
        world, depth = queue.popleft()
        if depth >= bounds.depth:
            continue
        for label, after, fault in physics.after(world):
            if not fault and after in seen:
                continue
            if not fault:
                after, fault = promise.hold(world, after)  # noqa: PLW2901  # the same world, with its books kept
            if not fault and goes_on_every and len(seen) % goes_on_every == 0:
                fault = progress.standstill(after)  # noqa: PLW2901  # as above
            if fault:
                trace = _trace(engine, seen, world, label)
                return Found(len(seen), len(memory), depth + 1, is_whole=False, fault=fault, trace=trace)
            if after not in seen:
                seen[after] = (world, label)
                queue.append((after, depth + 1))
    return Found(len(seen), len(memory), depth, is_whole=not queue)


def _trace(
    engine: Engine, seen: dict[World, tuple[World, Label] | None], world: World, label: Label
) -> tuple[str, ...]:
    lines = [tell(engine, label)]
    while (way := seen[world]) is not None:
        world, label = way
        lines.append(tell(engine, label))
    return tuple(reversed(lines))
