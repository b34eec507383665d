"""The control tower: follows every aircraft through its events, in their order.

Run a member of the group with `streams run examples.flights.app:app`.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from examples.flights.events import TOPIC, FlightEvent
from examples.flights.journal import Journal
from examples.flights.radar import Radar, RadarError
from streams import App, Context, DeadLetter, RetryPolicy

app = App("tower")
folder = Path(os.environ.get("FLIGHTS_JOURNAL", ".streams/flights"))
radar = Radar(seed=int(os.environ.get("FLIGHTS_SEED", "2013")), down=folder / "radar.down")
"""Make that file to see what a group does whose dependency is away; remove it, and see it come back."""


@cache
def journal() -> Journal:
    """Give this process's journal, opened at the first event."""
    return Journal(folder)


patience = RetryPolicy(delays=("50ms", "200ms", "1s", "3s"), memory_up_to="500ms")
"""The short waits pass in memory.  An event that waits longer goes to a retry topic, ``flights.tower.retry.1s``, then
``.3s``; later events of its aircraft wait behind it in ``flights.tower.parked``, and all other aircraft go on."""


@app.on(TOPIC, key="tail", retry=patience, concurrency=128)
async def follow(event: FlightEvent, ctx: Context) -> DeadLetter | None:
    """Have the radar confirm the event, and write it down."""
    journal().note("start", event.id, ctx.record.partition)
    if event.fault:
        await journal().keep("refused", event.id)
        return DeadLetter(ValueError(event.fault))
    try:
        await radar.confirm(event, ctx.attempt)
    except RadarError:
        journal().note("failed", event.id)
        raise
    await journal().keep("done", event.id)
    return None
