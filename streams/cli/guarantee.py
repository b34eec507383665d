"""What an app guarantees, in words: order, delivery, retries, and what happens at each bound."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from streams.app import App
from streams.config import Settings
from streams.engine.chain import dlq_topic, parked_topic, retry_topic
from streams.engine.route import Route
from streams.retry import RetryPolicy, label, seconds

_POLICIES: Final = {
    "park": (
        "Records of one key run one at a time, in the order of the topic, through failures too. One that fails waits"
        " for its next attempt {place}. The later records of its key wait behind it, in memory or in {parked}; other"
        " keys go on, and offsets are committed past all that waits in a topic: whoever owns the partition next finds"
        " it there. After its last attempt it goes to {dlq} with its whole payload. Records without a key wait for"
        " nobody."
    ),
    "block": (
        "Records of one key run one at a time, in the order of the topic. One that fails is tried again in memory;"
        " the later records of its key wait behind it, other keys go on. After its last attempt it goes to {dlq} with"
        " its whole payload, and its key goes on. Records without a key wait for nobody."
    ),
    "unordered": (
        "Records run in the order of the topic until one fails. It waits for its next attempt {place}, and the later"
        " records of its key overtake it: for effects that do not depend on their order. After its last attempt it"
        " goes to {dlq} with its whole payload."
    ),
}
"""Order policy to what it guarantees."""

_DEAD_LETTERS: Final = {
    "continue": "after a dead letter its key goes on with the next record",
    "hold": (
        "after a dead letter its key stands still until an operator retries or forgets it; the key's later records"
        " wait, in memory or in {parked}, and other keys go on"
    ),
    "follow": (
        "after a dead letter the later records of its key become dead letters behind it, so that trying them again"
        " keeps their order; other keys go on"
    ),
}
"""Dead-letter policy to what it means for a key."""

_SHOWN_ATTEMPTS: Final = 12

BOUNDS: Final = {
    "max_in_flight": "records admitted and not settled, in all partitions; at it, intake stops until some settle",
    "max_in_flight_bytes": "bytes of their values; at it, intake stops until some settle",
    "partition_in_flight": "the same count for one partition; at it, only that partition's intake stops",
    "waiting_records": (
        "records of a partition that wait in memory, for an attempt or behind one; at it, policy park moves them to"
        " its topics, else that partition's intake stops"
    ),
    "ledger_limit": (
        "characters of commit metadata; at it, policy park moves what waits at the oldest offsets to the parked topic,"
        " and that partition's intake stops until the oldest settle"
    ),
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

CHAIN_BOUNDS: Final = {
    "chain_records": (
        "records of a partition that wait in its retry and parked topics, with policies hold and follow its dead"
        " letters too; at it, that partition's intake stops until half of them ended"
    ),
    "chain_history_s": (
        "seconds for which records of the chain stay readable after they settled; then they are deleted, where that"
        " may be, those that an earlier owner settled twice as long after they were written"
    ),
    "chain_retention_s": (
        "seconds for which the topics of the chain keep what is in them, 0 for ever; what waits is written anew at a"
        " third of it, and ages away only where no member runs for the rest"
    ),
}
"""The same, of routes that have more than dead letters."""

KEY_BOUNDS: Final = {"key_records": "records of one key that wait there; at it, {on_key_full}"}
"""The same, of routes that keep the order of keys there."""

_KEY_FULL: Final = {
    "stop": "its partition's intake stops until half of them ended, and nothing is given up",
    "dead_letter": "the key's further records go to the dead-letter topic unrun, and its partition goes on",
}
"""`Settings.on_key_full` to what it does."""

_EXPIRED: Final = {
    "earliest": "counted, reported, and the partition goes on at the oldest record that is left",
    "latest": "counted, reported, and the partition goes on at its end",
    "stop": "counted, reported, and the partition stands still",
}

DELIVERY: Final = (
    "At least once: an offset is committed only when its record is done, skipped, or acknowledged in another topic of"
    " its chain. After a crash what was under way runs again, in order; make effects idempotent."
)


def document(app: App, settings: Settings) -> dict[str, Any]:
    """Give everything as one document."""
    return {
        "group": app.group,
        "delivery": DELIVERY,
        "routes": [_route(app.group, route) for route in app.routes.values()],
        "expired": f"records that retention removed unread are {_EXPIRED[settings.on_expired]}",
        "bounds": _bounds(app, settings),
        "settings": settings.public(),
    }


def schedule(policy: RetryPolicy, tier_for: Callable[[float], float | None] = lambda _: None) -> list[str]:
    """Give the attempts of *policy*, one line each; *tier_for* says which waits are spent in a retry topic."""
    lines = ["attempt 1 at once"]
    for attempt in range(1, policy.attempts):
        delay_s = policy.delay_s(attempt)
        if attempt > _SHOWN_ATTEMPTS:
            lines.append(f"... and so on, every {label(delay_s)}, {policy.attempts} in all")
            break
        tier_s = tier_for(delay_s)
        place = "" if tier_s is None else f" in retry.{label(tier_s)}"
        lines.append(f"attempt {attempt + 1} after {label(delay_s)}{place}")
    return [*lines, "then the dead-letter topic"]


def _bounds(app: App, settings: Settings) -> list[dict[str, Any]]:
    policies = {route.policy for route in app.routes.values()}
    shown = BOUNDS | (CHAIN_BOUNDS if policies - {"block"} else {}) | (KEY_BOUNDS if "park" in policies else {})
    full = _KEY_FULL.get(settings.on_key_full, "")
    return [
        {"setting": name, "value": getattr(settings, name), "effect": effect.format(on_key_full=full)}
        for name, effect in shown.items()
    ]


def _route(group: str, route: Route) -> dict[str, Any]:
    names = {"dlq": dlq_topic(route.topic, group), "parked": parked_topic(route.topic, group)}
    tiers = [retry_topic(route.topic, group, delay_s) for delay_s in route.tiers]
    return {
        "topic": route.topic,
        "handler": route.name,
        "runs": _runs(route),
        "policy": route.policy,
        "guarantee": _POLICIES[route.policy].format(place=_waiting_place(route, tiers), **names),
        "retry": _retry(route),
        "dead_letters": names["dlq"],
        "dead_letter_policy": route.dead_letters,
        "after_dead_letter": _DEAD_LETTERS[route.dead_letters].format(**names),
        "chain": [*tiers, *([names["parked"]] if route.policy == "park" else []), names["dlq"]],
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


def _waiting_place(route: Route, tiers: list[str]) -> str:
    """Say where a failed record waits."""
    if not tiers:
        return "in memory"
    in_memory = label(seconds(route.retry.memory_up_to))
    return (
        f"in memory up to {in_memory}, longer in {', '.join(tiers)} (a wait that a handler asks for in the next longer"
        f" one, beyond the longest in the longest)"
    )


def _retry(route: Route) -> dict[str, Any]:
    policy = route.retry
    tier_for = (lambda _: None) if route.policy == "block" else policy.tier_for
    never = ["RecordError", *(error.__name__ for error in policy.dead_letter_on)]
    return {
        "schedule": schedule(policy, tier_for),
        "attempts": policy.attempts,
        "jitter": policy.jitter,
        "deadline": None if policy.deadline is None else label(seconds(policy.deadline)),
        "never_retried": never,
        "overrides": {error.__name__: schedule(other, tier_for) for error, other in policy.overrides.items()},
    }
