"""`streams produce`: lines of a file, or of standard input, become records of a topic."""

from __future__ import annotations

import time
import zlib
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

import click

from streams.cli.connect import bootstrap_option, json_option, settings_for
from streams.cli.feed import Feed, HeadersOf, Pace, Rejects
from streams.cli.lines import STDIN, Input, KeyRule
from streams.cli.output import Failure, print_json, print_table, say
from streams.config import Settings
from streams.envelope import Envelope
from streams.errors import BrokerError, UsageError
from streams.kafka.admin import Admin
from streams.kafka.bulk import BulkSender
from streams.kafka.shape import Topic
from streams.kafka.topics import require_topics
from streams.record import Headers
from streams.tracing import require

_FATES_WITHIN_S: Final = 310.0
"""A little more than the client itself tries to send a record."""

_SAY_AFTER_S: Final = 3.0


@click.command(epilog="Example:  streams produce orders --file examples/orders.jsonl --key order_id")
@click.argument("topic")
@click.option(
    "--file", "path", default=STDIN, metavar="FILE|-", help="What to read, gzipped or not. Default: standard input."
)
@click.option(
    "--key", "key_field", metavar="FIELD", help="The Kafka key is this field of the value; without it, or null: no key."
)
@click.option("--require-key", is_flag=True, help="A line without its key is a bad line.")
@click.option(
    "--format",
    "chosen",
    type=click.Choice(["auto", "jsonl", "csv"]),
    default="auto",
    help="jsonl: sent as they stand. csv: a row becomes a JSON object of texts, empty ones null. Default: by its name.",
)
@click.option("--rate", metavar="N/s", help="Send at most so many a second, such as 500/s or 10k/s.")
@click.option("--limit", type=click.IntRange(0), help="Send at most so many records.")
@click.option(
    "--rejects", type=click.Path(dir_okay=False, path_type=Path), help="Add bad lines to this file, and go on."
)
@click.option("--type", "event_type", metavar="TYPE", help="Send CloudEvents of this type: adds the ce_ headers.")
@click.option("--source", default="/streams/produce", show_default=True, help="Source of these CloudEvents.")
@bootstrap_option
@json_option
def produce(  # noqa: PLR0913  # one parameter an option
    topic: str,
    *,
    path: str,
    key_field: str | None,
    require_key: bool,
    chosen: Literal["auto", "jsonl", "csv"],
    rate: str | None,
    limit: int | None,
    rejects: Path | None,
    event_type: str | None,
    source: str,
    bootstrap: str | None,
    as_json: bool,
) -> None:
    """Send lines of a file, or of standard input, to a topic.

    Records are acknowledged by all in-sync replicas before the command ends.  A line that can't be sent is named and
    ends it, with 1, after what was sent before is acknowledged; with --rejects it is kept aside instead.
    """
    if require_key and key_field is None:
        raise UsageError("--require-key needs --key FIELD")
    if rejects is not None and path != STDIN and _are_one(rejects, Path(path)):
        raise UsageError("--rejects names the file that is read; bad lines would be read again for ever")
    settings = settings_for(bootstrap)
    pace = Pace.parse(rate)
    lines = Input(path, None if chosen == "auto" else chosen)
    with Admin(settings) as admin:
        target = require_topics(admin, [topic], with_config=True)[topic]
    feed = Feed(
        sender=BulkSender(settings, target),
        rejects=Rejects(rejects),
        pace=pace,
        name=lines.name,
        header=lambda: lines.header,
        headers_of=_headers_of(settings, topic, _event(event_type, source) if event_type else None),
        limit=limit,
    )
    took_s = _feed(feed, lines, KeyRule(key_field, require_key))
    _report(feed, target, settings, took_s, as_json=as_json)


def _are_one(rejects: Path, path: Path) -> bool:
    try:
        return rejects.samefile(path)
    except OSError:  # one of them does not exist yet, or can't: opening it says so
        return False


def _feed(feed: Feed, lines: Input, rule: KeyRule) -> float:
    """Send everything and wait for its fate; give the seconds it took."""
    began = time.monotonic()
    try:
        feed.run(lines.entries(rule))
    except (OSError, EOFError, zlib.error) as error:
        feed.stopped_at = f"{lines.name}: can't be read on behind line {feed.line}: {error}"
    except BrokerError as error:
        feed.stopped_at = f"{lines.name}:{feed.line}: {error}"
    except KeyboardInterrupt:
        feed.stopped_at = f"interrupted at {lines.name}:{feed.line}"
    finally:
        lines.close()
    if feed.sender.finish(_SAY_AFTER_S) > 0:
        say(f"waiting for {feed.sender.outstanding:,} acknowledgement(s) ...")
        feed.sender.finish(_FATES_WITHIN_S)
    feed.settle_failures()
    feed.rejects.close()
    return time.monotonic() - began


def _headers_of(settings: Settings, topic: str, event: HeadersOf | None) -> HeadersOf | None:
    """Give what makes the headers of a record: those of an *event*, and while tracing is on its trace context."""
    if settings.tracing == "off":
        return event
    require()
    from streams.tracing.spans import Spans

    spans = Spans(settings.group)

    def headers_of(key: bytes | None) -> Headers:
        headers = event(key) if event else []
        spans.create(topic, key, headers)
        return headers

    return headers_of


def _event(event_type: str, source: str) -> HeadersOf:
    make = partial(Envelope.new, event_type, source, content_type="application/json")

    def headers_of(key: bytes | None) -> Headers:
        return [*make(partitionkey=key.decode() if key else None).to_headers()]

    return headers_of


def _report(feed: Feed, topic: Topic, settings: Settings, took_s: float, *, as_json: bool) -> None:
    document = _document(feed, topic, took_s)
    if as_json:
        print_json(document)
    else:
        rows = [(number, count) for number, count in document["partitions"].items()]
        print_table(("#partition", "#acknowledged"), rows)
        rate = document["acknowledged"] / took_s if took_s else 0
        click.echo(
            f"{document['acknowledged']:,} record(s) acknowledged by {topic.name} at {settings.bootstrap}"
            f" in {took_s:.1f} s ({rate:,.0f}/s)",
        )
    if feed.rejects.count:
        say(f"{feed.rejects.count:,} bad line(s) were added to {feed.rejects.path}, the first: {feed.faults[0]}")
    if failure := _failure(feed, document):
        raise Failure(failure)


def _document(feed: Feed, topic: Topic, took_s: float) -> dict[str, Any]:
    sender = feed.sender
    refused = sum(failed.is_certain for failed in sender.failed)
    return {
        "topic": topic.name,
        "input": feed.name,
        "last_line": feed.line,
        "acknowledged": sender.acknowledged.total(),
        "partitions": dict(sorted(sender.acknowledged.items())),
        "rejected": feed.rejects.count,
        "refused": refused,
        "unknown": len(sender.failed) - refused + sender.outstanding,
        "faults": feed.faults,
        "stopped_at": feed.stopped_at or None,
        "seconds": round(took_s, 3),
    }


def _failure(feed: Feed, document: dict[str, Any]) -> str:
    """Say why the command failed; "" where it did not."""
    parts = []
    if feed.stopped_at:
        parts.append(
            f"{feed.stopped_at}. Stopped there; {document['acknowledged']:,} record(s) before it are acknowledged."
            " Mend it and go on from that line, or keep bad lines aside with --rejects FILE.",
        )
    if document["refused"] and feed.rejects.path is None:
        parts.append(f"{document['refused']:,} record(s) were refused by the broker; the first: {feed.faults[0]}")
    if document["unknown"]:
        parts.append(
            f"of {document['unknown']:,} record(s) it is unknown whether the broker has them: no answer came in time."
            " Sending them again may store them twice.",
        )
    return "\n".join(parts)
