"""Kafka consumers whose order survives failure.

You write handlers; `streams run module:app` runs them as a consumer group.
"""

from streams.app import App
from streams.engine.breaker import Dependency
from streams.engine.context import Context
from streams.engine.guard import Guard
from streams.errors import DecodeError, RecordError, StreamsError
from streams.outcome import Ack, DeadLetter, Outcome, Retry, Skip, Stop
from streams.record import Record
from streams.retry import NO_RETRY, RetryPolicy

__all__ = [
    "NO_RETRY",
    "Ack",
    "App",
    "Context",
    "DeadLetter",
    "DecodeError",
    "Dependency",
    "Guard",
    "Outcome",
    "Record",
    "RecordError",
    "Retry",
    "RetryPolicy",
    "Skip",
    "Stop",
    "StreamsError",
]
