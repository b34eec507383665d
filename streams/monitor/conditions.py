"""What is wrong with a group, in sentences: stuck handlers, routes and partitions that stand still, silent members.

Concluded from what members report and what the coordinator says of them; told
apart from what is merely slow, and from what waits for its time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Literal, NamedTuple, TypeAlias, cast

from streams.engine.directive import Directive
from streams.kafka.groups import Group
from streams.monitor.report import Failing, Report
from streams.monitor.states import ADVICE, spelled
from streams.observer import PauseReason
from streams.record import Partition
from streams.wording import age

Kind: TypeAlias = Literal[
    "halted", "stuck", "breaker", "guard", "paused", "blocked", "silent", "failing", "busy", "last words"
]
"""``failing`` and ``busy`` may be nothing wrong: runs fail and are repeated, records are in members' hands.
``last words``: said by a member that is gone."""

_ORDINARY: Final = frozenset({"in_flight", "partition", "bytes"})
"""Pauses that are back-pressure: the handlers are slower than what comes."""
_KINDS: Final = 3
"""Kinds of errors that are told, the most frequent."""
_COVERED: Final = frozenset({"breaker", "guard", "operator", "end"})
"""Pauses of which another sentence says more."""


class Condition(NamedTuple):
    """One thing that an operator has to know."""

    kind: Kind
    text: str

    @property
    def is_wrong(self) -> bool:
        """Something stands still that should not."""
        return self.kind not in {"failing", "busy", "last words"}


def conditions(
    group: Group,
    reports: Mapping[str, Report],
    now_ms: int,
    standing: Iterable[Directive] = (),
    *,
    tells_text: bool = True,
) -> list[Condition]:
    """Say what is wrong with *group*, the worst first; where nothing is, what its members have in hand.

    Args:
        group: As its coordinator describes it.
        reports: The last ones of its members.
        now_ms: The time, ms since 1970-01-01 UTC.
        standing: What operators want of it.
        tells_text: The text of errors is told too, which may hold parts of payloads.
    """
    present = {member.member_id for member in group.members}
    living = [one for name, one in reports.items() if name in present]
    halted = list(_halted(group.name, standing, now_ms))
    if not living:
        return [*halted, *_last_words(group, reports, now_ms)]
    wrong = [
        *halted,
        *_stuck(living, now_ms),
        *_circuits(group.name, living),
        *_paused(living),
        *_blocked(living),
        *_silent(living, now_ms),
    ]
    return wrong + list(_failing(living, now_ms, tells_text=tells_text)) + list(_busy(living, now_ms))


def _halted(group: str, standing: Iterable[Directive], now_ms: int) -> Iterator[Condition]:
    for one in standing:
        if one.kind == "pause":
            what, option = (f"topic {one.topic}", f" --topic {one.topic}") if one.topic else ("all of it", "")
            reason = f": {one.why}" if one.why else ""
            yield Condition(
                "halted",
                f"PAUSED by {one.who or 'an operator'} {age((now_ms - one.time_ms) / 1000)} ago, {what}{reason}."
                f" Let it go on: streams groups resume {group}{option}",
            )


def _stuck(living: list[Report], now_ms: int) -> Iterator[Condition]:
    for report in living:
        for run in report.runs:
            if run.is_stuck(now_ms):
                text = (
                    f"STUCK: {run.topic}/{run.partition}/{run.offset} has run for"
                    f" {age((now_ms - run.since_ms) / 1000)}, and may run for {age(run.timeout_s)}, in member"
                    f" {report.name}. What it calls does not return; later records of its key wait for it"
                )
                yield Condition("stuck", text)


def _circuits(group: str, living: list[Report]) -> Iterator[Condition]:
    members: defaultdict[tuple[str, str], list[tuple[Report, str, str]]] = defaultdict(list)
    for report in living:
        for one in report.circuits:
            members[one.kind, one.name].append((report, one.state, one.why))
    for (kind, name), told in sorted(members.items()):
        _, state, cause = told[-1]
        stands = "is open" if state == "open" else "lets a few records try"
        if kind == "breaker":
            text = (
                f"DEPENDENCY DOWN: the breaker of {name} {stands} in {len(told)} member(s): {cause}."
                f" The topics that need it stand still, and no attempt is counted"
            )
            yield Condition("breaker", text)
        else:
            text = (
                f"TOO MANY DEAD LETTERS: the guard of {name} {stands} in {len(told)} member(s): {cause}. Once the cause"
                f" is mended let it go on: streams groups resume {group} --topic {name}"
            )
            yield Condition("guard", text)


def _failing(living: list[Report], now_ms: int, *, tells_text: bool) -> Iterator[Condition]:
    """Say what runs fail of, of each topic the most frequent first."""
    kinds: defaultdict[tuple[str, str], list[Failing]] = defaultdict(list)
    for report in living:
        for one in report.failing:
            kinds[one.topic, one.error].append(one)
    for (topic, error), told in sorted(kinds.items(), key=lambda kind: -sum(one.runs for one in kind[1]))[:_KINDS]:
        last = max(told, key=lambda one: one.last_ms)
        runs, first_ms = sum(one.runs for one in told), min(one.first_ms for one in told)
        message = f": {last.message}" if last.message and tells_text else ""
        yield Condition(
            "failing",
            f"FAILING: {runs:,} run(s) on {topic} in {age(max(0, now_ms - first_ms) / 1000)}, the last"
            f" {age(max(0, now_ms - last.last_ms) / 1000)} ago: {error}{message}",
        )


def _paused(living: list[Report]) -> Iterator[Condition]:
    places: defaultdict[str, list[Partition]] = defaultdict(list)
    for report in living:
        for one in report.troubled:
            if one.paused and one.paused not in _COVERED:
                places[one.paused].append(Partition(one.topic, one.partition))
    for reason, partitions in sorted(places.items()):
        advice = ADVICE.get(cast("PauseReason", reason), reason)
        if reason in _ORDINARY:
            yield Condition("paused", f"SLOW: intake of {spelled(partitions)} is paused ({reason}): {advice}")
        else:
            yield Condition("paused", f"PAUSED: intake of {spelled(partitions)} ({reason}): {advice}")


def _blocked(living: list[Report]) -> Iterator[Condition]:
    blocked = {
        Partition(one.topic, one.partition): one.blocked for report in living for one in report.troubled if one.blocked
    }
    if blocked:
        text = f"BLOCKED: {sum(blocked.values()):,} key(s) of {spelled(blocked)} stand still until somebody decides"
        yield Condition("blocked", f"{text} about their dead letters: streams dlq list")


def _silent(living: list[Report], now_ms: int) -> Iterator[Condition]:
    for report in living:
        if report.is_silent(now_ms):
            text = (
                f"SILENT: member {report.name} has reported nothing for {age((now_ms - report.time_ms) / 1000)}:"
                f" it hangs, its machine is overloaded, or it is cut off from the broker"
            )
            yield Condition("silent", text)


def _busy(living: list[Report], now_ms: int) -> Iterator[Condition]:
    in_hand = sum(report.outstanding for report in living)
    if not in_hand:
        return
    running, capacity = sum(one.running for one in living), sum(one.capacity for one in living)
    begun = min((run.since_ms for report in living for run in report.runs), default=now_ms)
    oldest = f", the oldest for {age((now_ms - begun) / 1000)}" if running else ""
    retrying = sum(one.retrying for report in living for one in report.troubled)
    waits = f"; {retrying:,} wait in memory for another attempt" if retrying else ""
    text = f"{in_hand:,} in members' memory: {running:,} of {capacity:,} possible handler runs under way{oldest}{waits}"
    yield Condition("busy", text)


def _last_words(group: Group, reports: Mapping[str, Report], now_ms: int) -> Iterator[Condition]:
    """Tell what members said that are gone without a word: what ran then may be what ended them."""
    if group.members:
        return
    for report in sorted(reports.values(), key=lambda one: -one.time_ms)[:3]:
        runs = ", ".join(f"{run.topic}/{run.partition}/{run.offset}" for run in report.runs[:3])
        told = f"running {runs}" if runs else "nothing was running"
        if report.circuits:
            told += "; " + ", ".join(f"{one.kind} {one.name} {one.state}: {one.why}" for one in report.circuits)
        ago = age((now_ms - report.time_ms) / 1000)
        yield Condition("last words", f"The last that member {report.name} said, {ago} ago: {told}")
