"""A dead letter as a document for machines: what is exported, and what ``--json`` prints."""

from __future__ import annotations

import base64
from typing import Any

import orjson

from streams.deadletter.edit import Kept
from streams.deadletter.letter import Letter
from streams.wording import readable, time_of


def outline(letter: Letter) -> dict[str, Any]:
    """Give where *letter* comes from, where it stands, and why it is dead."""
    header, error = letter.header, letter.error
    return {
        "group": header.group,
        "origin": {
            "topic": header.topic,
            "topic_id": header.topic_id,
            "partition": header.partition,
            "offset": header.offset,
            "time": time_of(header.timestamp_ms),
        },
        "place": {"topic": letter.place.topic, "partition": letter.place.number, "offset": letter.offset},
        "counts": letter.verdict.counts,
        "why": letter.verdict.why or None,
        "key": readable(letter.key),
        "died": time_of(letter.died_ms),
        "attempts": header.attempts,
        "redrives": header.redrives,
        "error": None if error is None else error.error,
        "message": None if error is None else error.message,
        "reason": None if error is None else error.reason,
        "handler": None if error is None else error.handler,
    }


def whole(letter: Letter) -> dict[str, Any]:
    """Give all of *letter*: payload, headers, history and stack too."""
    value = letter.value
    return outline(letter) | {
        "value": _decoded(value),
        "value_base64": None if value is None else base64.b64encode(value).decode(),
        "headers": [[name, readable(data)] for name, data in letter.headers],
        "edits": [
            {"id": one.id, "time": time_of(one.time_ms), "who": one.who, "was_sha256": one.was or None}
            for one in letter.edits
        ],
        "history": [{"time": time_of(run.time_ms), "error": run.error} for run in letter.header.history],
        "stack": None if letter.error is None else letter.error.stack,
    }


def original_of(kept: Kept) -> dict[str, Any]:
    """Give what a record was before it was edited."""
    value = kept.value
    return {
        "value": _decoded(value),
        "value_base64": None if value is None else base64.b64encode(value).decode(),
        "sha256": kept.was or None,
    }


def _decoded(value: bytes | None) -> Any:
    """Give JSON as what it says, other text as it is, and None for anything else."""
    if value is None:
        return None
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        text = readable(value)
        return None if text.startswith("hex:") else text
