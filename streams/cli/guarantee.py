"""What an app guarantees, in words: order, delivery, retries, and what happens at each bound."""

from __future__ import annotations

from typing import Any, Final

from streams.app import App
from streams.config import Settings
from streams.engine.chain import dlq_topic
from streams.engine.route import Route
from streams.retry import RetryPolicy, seconds

_POLICIES: Final = {
    "block": (
        "Records of one key run one at a time, in the order of the topic. One that fails is tried again in memory;"
        " the later records of its key wait behind it, other keys go on. After its last attempt it goes to {dlq} with"
        " its whole payload, and its key goes on."
    ),
}
"""Order policy to what it guarantees."""

_SHOWN_ATTEMPTS: Final = 12

BOUNDS: Final = {
    "max_in_flight": "records admitted and not settled, in all partitions; at it, intake stops until some settle",
    "max_in_flight_bytes": "bytes of their values; at it, intake stops until some settle",
    "partition_in_flight": "the same count for one partition; at it, only that partition's intake stops",
    "ledger_limit": "characters of commit metadata; at it, that partition's intake stops until its oldest settles",
    "handler_timeout_s": (
        "seconds a handler may run; past it, one on the event loop is cancelled and retried, one in a thread keeps its"
        " lane and is reported as stuck"
    ),
    "commit_every_s": "seconds between commits; a crash repeats at most what settled since the last one",
    "commit_every_records": "settled records after which a commit is sent early",
    "session_timeout_s": "seconds a silent member keeps its partitions",
    "drain_s": "seconds a stop waits for running handlers; past it the process ends itself, and they run again",
    "fetch_buffer_bytes": "bytes read ahead from the broker; at it, the client stops fetching",
}
"""Setting to what it bounds, and what happens at the bound."""

_EXPIRED: Final = {
    "earliest": "counted, reported, and the partition goes on at the oldest record that is left",
    "latest": "counted, reported, and the partition goes on at its end",
    "stop": "counted, reported, and the partition stands still",
}

DELIVERY: Final = (
    "At least once: an offset is committed only when its record is done, skipped, or acknowledged in the dead-letter"
    " topic. After a crash what was under way runs again, in order; make effects idempotent."
)


def document(app: App, settings: Settings) -> dict[str, Any]:
    """Give everything as one document."""
    return {
        "group": app.group,
        "delivery": DELIVERY,
        "routes": [_route(app.group, route) for route in app.routes.values()],
        "expired": f"records that retention removed unread are {_EXPIRED[settings.on_expired]}",
        "bounds": [
            {"setting": name, "value": getattr(settings, name), "effect": effect} for name, effect in BOUNDS.items()
        ],
        "settings": settings.public(),
    }


def schedule(policy: RetryPolicy) -> list[str]:
    """Give the attempts of *policy*, one line each."""
    lines = ["attempt 1 at once"]
    for attempt in range(1, policy.attempts):
        if attempt > _SHOWN_ATTEMPTS:
            lines.append(f"... and so on, every {duration(policy.delay_s(attempt))}, {policy.attempts} in all")
            break
        lines.append(f"attempt {attempt + 1} after {duration(policy.delay_s(attempt))}")
    return [*lines, "then the dead-letter topic"]


def duration(value_s: float) -> str:
    """Give a span in the form that settings are written in."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if value_s >= size and value_s % size == 0:
            return f"{value_s / size:g}{unit}"
    return f"{value_s * 1000:g}ms" if 0 < value_s < 1 else f"{value_s:g}s"


def _route(group: str, route: Route) -> dict[str, Any]:
    dlq = dlq_topic(route.topic, group)
    return {
        "topic": route.topic,
        "handler": route.name,
        "runs": _runs(route),
        "policy": route.policy,
        "guarantee": _POLICIES[route.policy].format(dlq=dlq),
        "retry": _retry(route.retry),
        "dead_letters": dlq,
        "subject": route.subject,
        "key_field": route.key_field,
        "tombstones": "given to the handler as None" if route.wants_tombstones else "skipped",
        "timeout_s": route.timeout_s,
    }


def _runs(route: Route) -> str:
    where = {
        "inline": "on the poll thread, one at a time",
        "threads": f"in up to {route.concurrency} threads",
        "async": f"on one event loop, up to {route.concurrency} at a time",
    }[route.run]
    return f"{where}, in batches of up to {route.batch}" if route.batch else where


def _retry(policy: RetryPolicy) -> dict[str, Any]:
    never = ["RecordError", *(error.__name__ for error in policy.dead_letter_on)]
    return {
        "schedule": schedule(policy),
        "attempts": policy.attempts,
        "jitter": policy.jitter,
        "deadline": None if policy.deadline is None else duration(seconds(policy.deadline)),
        "never_retried": never,
        "overrides": {error.__name__: schedule(other) for error, other in policy.overrides.items()},
    }
