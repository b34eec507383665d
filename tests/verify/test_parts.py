"""The parts of a run: journals that grow, bodies that handlers can read, the load's mark, what a report counts."""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from streams import NO_RETRY, App, Context, RetryPolicy
from streams.errors import UsageError
from streams.verify.checks import CHECKS
from streams.verify.crew import Crew, VerifyError
from streams.verify.faults import FAULTS, OF_THE_CLUSTER
from streams.verify.history import History, Place, Reading, Sent
from streams.verify.injected import Injected
from streams.verify.journal import Journal, JournalWriter, key_name
from streams.verify.mark import STRANGER, Mark, mark_of
from streams.verify.payload import payload_of
from streams.verify.plan import hurried, quick, wait_ms
from streams.verify.report import INVARIANTS, Report, effects_of, rows_of
from streams.verify.resources import Usage
from streams.verify.trial import kafka_hash
from streams.verify.verdict import judge

HERE = __name__


@dataclass
class Bill:
    number: str
    cents: int


def app_of(handler: object, key: str | None = None) -> App:
    """Give an app whose one handler takes records of ``bills``."""
    app = App("payers")
    app.on("bills", key=key)(handler)  # type: ignore[type-var]  # a function, whichever
    return app


def demanding(bill: Bill) -> None:
    """Take what reads as a bill."""


def undemanding(bill: dict[str, Any], ctx: Context) -> None:
    """Take any object."""


def test_a_journal_is_read_as_it_grows(tmp_path: Path) -> None:
    """What runs and what has ended is known after each look, and what was cut off at the end."""
    writer = JournalWriter(tmp_path)
    journal = Journal(next(tmp_path.iterdir()))
    writer.note("START", Place(0, 1), 1, "a")
    first = journal.refresh().in_flight
    writer.note("END", Place(0, 1), 1, "a")
    writer.note("START", Place(0, 2), 1, "a")
    runs = list(journal.refresh().runs(died_ns=1 << 62))

    assert first == {Place(0, 1)}
    assert (journal.ended, journal.in_flight, journal.touched) == (1, {Place(0, 2)}, {Place(0, 1), Place(0, 2)})
    assert [run.ended for run in runs] == ["done", "cut"]
    assert journal.started_since(runs[0].start_ns) == {Place(0, 2)}


@pytest.mark.parametrize(("key", "name"), [(None, "-"), (b"-", "%2D"), (b"a b\n", "a%20b%0A"), (b"", "")])
def test_any_key_stands_in_a_line(key: bytes | None, name: str) -> None:
    """No key breaks the journal, and none looks like the lack of one."""
    assert key_name(key) == name


def test_the_mark_of_a_record_is_read_back() -> None:
    """What the load did not send has none."""
    mark = Mark(7, 3, 20, 1)

    assert mark_of([("other", b"1"), mark.header()]) == mark
    assert mark_of([("other", b"1")]) == STRANGER


def test_a_member_that_ends_by_itself_is_told_with_the_signal(tmp_path: Path) -> None:
    """A crash of the client library leaves no words in a log."""
    crew = Crew(tmp_path, [], "nowhere:app", {})
    worker = crew.start()
    worker.process.send_signal(signal.SIGSEGV)
    worker.process.wait(30)
    crew.end()

    with pytest.raises(VerifyError, match="member 1 ended by itself, by SIGSEGV"):
        worker.require()


def test_bodies_keep_their_keys(tmp_path: Path) -> None:
    """The field that the route names is the Kafka key, as long as there are bodies with different ones."""
    file = tmp_path / "bills.jsonl"
    file.write_text('{"number": "a", "cents": 1}\n{"number": "b", "cents": 2}\n{"number": "a", "cents": 3}\n')
    payload = payload_of(app_of(demanding, "number"), "bills", {"": file}, HERE)

    assert [payload.key(number) for number in range(5)] == ["a", "b", "a~1", "b~1", "a~2"]
    assert [payload.body(0, seq)[-2:] for seq in range(3)] == [b"1}", b"3}", b"1}"]


def test_bodies_that_the_handler_can_not_read_are_told(tmp_path: Path) -> None:
    """Nothing is started with a load of which every record would be a dead letter."""
    file = tmp_path / "bills.jsonl"
    file.write_text('{"number": "a"}\n')

    with pytest.raises(UsageError, match=r"can't read what stands in .*--payload bills=FILE"):
        payload_of(app_of(demanding), "bills", {"bills": file}, HERE)


def test_a_handler_that_takes_anything_needs_no_bodies() -> None:
    """For others it is said what is missing."""
    assert payload_of(app_of(undemanding), "bills", {}, HERE).body(0, 0)

    with pytest.raises(UsageError, match=r"bills\.jsonl"):
        payload_of(app_of(demanding), "bills", {}, HERE)


def test_short_waits_leave_the_attempts_as_they_are() -> None:
    """What fails goes through retry topics, at most three, as often as the app says."""
    policy = RetryPolicy(delays=("1m", "10m", "1h", "6h", "1d"), overrides={OSError: NO_RETRY}, max_attempts=9)
    short = quick(policy)

    assert short.attempts == 9
    assert short.tiers == (0.5, 1.0, 2.0)
    assert short.overrides[OSError].attempts == 1
    assert quick(NO_RETRY).attempts == 1


def test_a_wait_is_the_policys_or_longer_on_request() -> None:
    """By the error's own policy, and the last wait repeats; where the attempt is not known there is none to hold to."""
    policy = RetryPolicy(delays=("1s", "2s"), overrides={OSError: RetryPolicy(delays=("5s",))}, max_attempts=9)

    assert [wait_ms(policy, ValueError(), attempt) for attempt in (0, 1, 2, 3)] == [0, 1000, 2000, 2000]
    assert wait_ms(policy, TimeoutError(), 1) == 5000
    assert wait_ms(policy, ValueError(), 1, timedelta(seconds=9)) == 9000
    assert wait_ms(NO_RETRY, ValueError(), 1) == 0
    assert wait_ms(hurried(policy), TimeoutError(), 1) == 2500


def test_every_check_belongs_to_an_invariant() -> None:
    """What is judged is shown."""
    shown = [check for invariant in INVARIANTS for check in invariant.checks]

    assert sorted(shown) == sorted(check.__name__ for check in CHECKS)


def report_of(*injected: Injected, exit_codes: tuple[int, ...] = (0,)) -> Report:
    """Give the report of a run in which nothing happened to records."""
    verdicts = {"bills": judge(History({}, readings=(Reading(1, 1, {}),)))}
    return Report("app", 1, None, rows_of(verdicts, exit_codes), effects_of(injected), {}, Usage([]), 1.0)


def test_a_fault_that_hit_nothing_counts_as_failed() -> None:
    """Neither without members, nor without records in flight, nor where it had no effect."""
    assert report_of(Injected("sigkill", (1,), 5)).is_kept
    assert not report_of(Injected("sigkill", (1,), 5), Injected("sigkill", (2,), 0)).is_kept
    assert not report_of(Injected("sigkill", (), 5)).is_kept
    assert not report_of(Injected("sigstop", (1,), 5, "nobody took over")).is_kept


def test_every_fault_is_documented() -> None:
    """The page has a line for each; those of members alone may be done to a cluster of the user's."""
    page = (Path(__file__).parents[2] / "docs" / "VERIFY.md").read_text()
    lines = re.findall(r"^\| `(\w+)` \|", page.partition("## Faults")[2].partition("## Invariants")[0], re.MULTILINE)

    assert lines == list(FAULTS)
    assert set(FAULTS) - OF_THE_CLUSTER == {
        "sigkill",
        "sigterm",
        "sigterm2",
        "sigstop",
        "rebalance",
        "storm",
        "foreign",
    }


@pytest.mark.parametrize(
    ("group", "number"),
    [("hello", 99162322), ("polygenelubricants", 0), ("billing", 109829509), ("orders-é", 1234322433)],
)
def test_a_group_has_the_number_that_kafka_gives_it(group: str, number: int) -> None:
    """By it Kafka chooses the partition of its commits, and with that its coordinator."""
    assert kafka_hash(group) == number


def test_a_stop_that_ends_badly_is_told() -> None:
    """The exit codes of members that were told to stop count."""
    assert report_of(exit_codes=(0, 1)).violated == ["shutdown"]


def test_a_record_that_the_broker_lost_is_found() -> None:
    """What was acknowledged has to stand in the topic."""
    verdict = judge(History({Place(0, 0): Sent("a", 1)}, missing=(4,)))

    assert any("record 4 of the load" in text for text in verdict.violations["lost"])
