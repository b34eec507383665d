"""Everything that stands in for something while tracing is on."""

from __future__ import annotations

import logging

from streams.config import Settings
from streams.engine.route import Route
from streams.tracing.attempts import LastAttempts
from streams.tracing.edges import TracedProducer, TracedReader
from streams.tracing.observer import Batches, Forgetting
from streams.tracing.route import traced
from streams.tracing.run import Tracer
from streams.tracing.spans import Exemplify, Spans, no_provider

_log = logging.getLogger(__name__)


class Tracing:
    """The parts of one member that make spans."""

    def __init__(self, settings: Settings, exemplify: Exemplify) -> None:
        """Make them for the group of *settings*; *exemplify* hears of every sampled run."""
        if no_provider():
            _log.warning(
                "tracing is on, and no tracer provider is set: no span is recorded until one is;"
                " start with opentelemetry-instrument, or set one in the app's module"
            )
        attempts, spans = LastAttempts(), Spans(settings.group)
        self._tracer = Tracer(spans, attempts, exemplify)
        self.observer = Batches(attempts, spans) if settings.tracing == "all" else Forgetting(attempts)
        """Hears what the engine tells."""
        self.reader = TracedReader(settings, attempts)
        """Reads the chain."""
        self.producer = TracedProducer(settings, spans, attempts)
        """Produces copies and sends."""

    def route(self, route: Route) -> Route:
        """Give what stands in for *route*."""
        return traced(route, self._tracer)
