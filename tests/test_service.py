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

    before = gc.get_threshold()
    run(app, Settings(bootstrap=kafka.bootstrap, group=app.group), Until(empty=True))

    assert seen[0][0] > before[0]
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0
