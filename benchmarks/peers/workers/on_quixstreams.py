"""quixstreams: one dataframe with one update, with the defaults, which are at-least-once (a checkpoint each 5 s)."""

from __future__ import annotations

from typing import Any

from quixstreams import Application  # type: ignore[import-not-found]  # stands in this worker's own environment

from benchmarks.peers.workers.meter import Errand, Meter, read_errand


def application(errand: Errand, meter: Meter) -> Any:
    """Give the application with its one dataframe."""
    app = Application(
        errand.bootstrap,
        consumer_group=errand.group,
        auto_offset_reset="earliest",
        processing_guarantee="at-least-once",
        consumer_extra_config={"session.timeout.ms": 6_000, "heartbeat.interval.ms": 1_000},
        loglevel="WARNING",
    )
    topic = app.topic(errand.topic, value_deserializer="bytes" if errand.takes_bytes else "json")
    app.dataframe(topic).update(meter.handle)
    return app


if __name__ == "__main__":
    told = read_errand()
    application(told, Meter(told)).run()
