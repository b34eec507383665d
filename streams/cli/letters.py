"""Which dead letters a command is about: the options that say so, and what they mean."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import click

from streams.cli.naming import key_of
from streams.cli.output import readable
from streams.deadletter.counting import CopyTopic
from streams.deadletter.letter import Filter, Letter
from streams.deadletter.read import letter_topics
from streams.errors import TopicError, UsageError
from streams.kafka.admin import Admin
from streams.replay.target import parse_time

_Command = TypeVar("_Command", bound=Callable[..., Any])

BY: Final[dict[str, Callable[[Letter], str]]] = {
    "error": lambda letter: "-" if letter.error is None else f"{letter.error.error}: {letter.error.message}"[:200],
    "class": lambda letter: "-" if letter.error is None else letter.error.error,
    "reason": lambda letter: "-" if letter.error is None else letter.error.reason,
    "handler": lambda letter: "-" if letter.error is None else letter.error.handler,
    "key": lambda letter: readable(letter.key) or "-",
    "topic": lambda letter: letter.header.topic,
}
"""What letters are counted by."""


def filters(command: _Command) -> _Command:
    """Add the options that say which letters."""
    for option in reversed(_FILTERS):
        command = option(command)
    return command


_FILTERS: Final = (
    click.option("--topic", help="Only of this source topic."),
    click.option("--error", default="", help="Only where the error's class, message or reason contains this."),
    click.option("--key", help="Only of this Kafka key; hex:.. for bytes."),
    click.option("--handler", default="", help="Only where the handler's name contains this."),
    click.option("--text", default="", help="Only where the payload contains this."),
    click.option("--since", metavar="TIME", help="Only what died then or later: ISO 8601, or -90m, -1h, -2d."),
    click.option("--until", metavar="TIME", help="Only what died before then."),
)


def chosen_topics(admin: Admin, group: str | None, topic: str | None) -> list[CopyTopic]:
    """Find the dead-letter topics of a group, or of a source, or all.

    Raises:
        TopicError: One was named, and has none.
    """
    topics = letter_topics(admin, group=group, source=topic)
    if not topics and (group or topic):
        raise _nothing(group, topic)
    return topics


def filter_of(which: Mapping[str, Any]) -> Filter:
    """Read the options of `filters`."""
    now_s = time.time()
    since, until = (None if which[name] is None else parse_time(which[name], now_s) for name in ("since", "until"))
    if since is not None and until is not None and since >= until:
        raise UsageError("--since is not before --until: nothing could have died between them")
    return Filter(
        error=which["error"],
        handler=which["handler"],
        text=which["text"],
        key=None if which["key"] is None else key_of(which["key"]),
        since_ms=since,
        until_ms=until,
    )


def _nothing(group: str | None, topic: str | None) -> TopicError:
    whose = f"group {group!r}" if group else "any group"
    of = f" of topic {topic!r}" if topic else ""
    return TopicError(
        topic or "", f"{whose} has no dead-letter topic{of} here. See which groups there are: streams status"
    )
