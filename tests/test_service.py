"""What a run does to its process."""

from __future__ import annotations

import gc
from collections.abc import Callable

from streams import App
from streams.config import Settings
from streams.engine.ending import Until
from streams.service import run
from tests.brokers import Kafka, Topics


def test_a_run_has_fewer_collections_and_leaves_the_collector_as_it_was(
    kafka: Kafka, topic: Topics, group: Callable[..., str]
) -> None:
    """While a member works the collector looks less often; afterwards its thresholds are those from before."""
    name, app = topic(), App(group())
    kafka.write(name)
    seen: list[tuple[int, int, int]] = []

    @app.on(name, run="inline")
    def look(_value: bytes) -> None:
        seen.append(gc.get_threshold())

    at_first = gc.get_threshold()
    gc.set_threshold(700, 10, 10)
    try:
        run(app, Settings(bootstrap=kafka.bootstrap, group=app.group), Until(empty=True))
        after = gc.get_threshold()
    finally:
        gc.set_threshold(*at_first)

    assert seen[0][0] > 700
    assert after == (700, 10, 10)
    assert gc.get_freeze_count() == 0
