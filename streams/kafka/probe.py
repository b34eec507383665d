"""Waiting until a broker answers.

Used before anything else talks to a broker that was just started.  A broker
that is not there yet is no news, so what the client would print about it is
not printed.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from streams.errors import BrokerError

_TRY_S = 1.0
_PAUSE_S = 0.05


def await_broker(
    bootstrap: str,
    deadline_s: float,
    *,
    brokers: int = 1,
    between_tries: Callable[[], None] = lambda: None,
) -> None:
    """Return once *brokers* brokers take part in the cluster at *bootstrap*.

    *between_tries* is called each time they don't yet; what it raises ends the wait.

    Raises:
        BrokerError: They did not within *deadline_s*.
    """
    give_up = time.monotonic() + deadline_s
    while _members(bootstrap) < brokers:
        between_tries()
        if time.monotonic() > give_up:
            raise BrokerError(
                f"No answer from {brokers} broker(s) at {bootstrap} within {deadline_s:g} s. Are they running?"
            )
        time.sleep(_PAUSE_S)


def _members(bootstrap: str) -> int:
    """Ask with a client of its own: one that was told of an address where nobody listens yet may ask only there."""
    try:
        return len(_quiet_admin(bootstrap).list_topics(timeout=_TRY_S).brokers)
    except KafkaException:
        return 0


def _quiet_admin(bootstrap: str) -> AdminClient:
    silent = logging.getLogger("streams.probe")
    silent.setLevel(logging.CRITICAL + 1)
    settings: dict[str, Any] = {
        "bootstrap.servers": bootstrap,
        "socket.timeout.ms": 2_000,
        "reconnect.backoff.ms": 50,
        "reconnect.backoff.max.ms": 200,
        "error_cb": lambda _error: None,
        "logger": silent,
    }
    return AdminClient(settings)
