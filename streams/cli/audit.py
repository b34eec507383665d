"""`streams audit`: what operators have had done."""

from __future__ import annotations

from collections import Counter
from typing import Any

import click

from streams.cli.connect import bootstrap_option, json_option, settings_for
from streams.cli.output import print_json, print_table, time_of
from streams.engine.command import Answer
from streams.engine.desk import answers
from streams.engine.directive import Directive
from streams.kafka.admin import Admin


@click.command(epilog="Example:  streams audit billing")
@click.argument("group")
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True, help="The last so many.")
@bootstrap_option
@json_option
def audit(group: str, *, limit: int, bootstrap: str | None, as_json: bool) -> None:
    """Show what operators have had done to GROUP and to its dead letters: who, what, why, and what came of it."""
    with Admin(settings_for(bootstrap)) as admin:
        found = answers(admin, group, limit)
    if as_json:
        told = [_told(one) for one in found if isinstance(one, Answer)]
        given = [_given(one) for one in found if isinstance(one, Directive)]
        print_json({"group": group, "answers": told, "directives": given})
        return
    if not found:
        click.echo(f"Nobody has acted on group {group} or its dead letters.")
        return
    print_table(("done", "who", "what", "partition", "#letters", "result", "why"), map(_row, found))


def _told(answer: Answer) -> dict[str, Any]:
    return {
        "id": answer.id,
        "verb": answer.verb,
        "topic": answer.topic,
        "partition": answer.partition,
        "letters": [{"offset": origin, "fate": fate} for origin, fate in answer.fates],
        "replay": None if answer.rewound is None else answer.rewound.id,
        "result": None if answer.rewound is None else answer.rewound.turn,
        "who": answer.who,
        "why": answer.why or None,
        "asked": time_of(answer.asked_ms),
        "done": time_of(answer.time_ms),
    }


def _given(one: Directive) -> dict[str, Any]:
    return {
        "id": one.id,
        "kind": one.kind,
        "topic": one.topic or None,
        "value": one.value or None,
        "lifted": one.is_lifted,
        "who": one.who,
        "why": one.why or None,
        "given": time_of(one.time_ms),
    }


def _row(answer: Answer | Directive) -> tuple[object, ...]:
    if isinstance(answer, Directive):
        what = f"{answer.kind} {answer.value}".strip()
        result = "lifted" if answer.is_lifted else "given"
        return time_of(answer.time_ms), answer.who, what, answer.topic or "all", None, result, answer.why
    fates = Counter(fate for _, fate in answer.fates)
    place = f"{answer.topic}/{answer.partition}"
    if len(answer.fates) == 1:
        place = f"{place}/{answer.fates[0][0]}"
    result = ", ".join(f"{count:,} {fate}" for fate, count in fates.most_common())
    if answer.rewound is not None:
        what, result = f"{answer.verb} {answer.rewound.id}", answer.rewound.told
        return time_of(answer.time_ms), answer.who, what, place, None, result, answer.why
    return time_of(answer.time_ms), answer.who, answer.verb, place, len(answer.fates), result, answer.why
