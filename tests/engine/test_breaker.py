"""A breaker tells a dependency that is down from records that are bad."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.engine.breaker import Breaker, Dependency
from streams.errors import ConfigError, DecodeError


class DownError(Exception):
    """What a client raises while its service is down."""

    def __init__(self, status: int = 503) -> None:
        self.status = status


class SlowError(DownError):
    """One kind of it."""


DOWN = DownError()


def breaker(**options: Any) -> Breaker:
    """The breaker of a dependency with *options*."""
    return Breaker(dependency(**options))


def dependency(**options: Any) -> Dependency:
    """Payments, with *options*."""
    return Dependency(**({"name": "payments", "errors": (DownError,)} | options))


def fail(broken: Breaker, times: int, now_s: float = 0.0) -> list[bool]:
    """Let so many runs fail at one moment; say after each whether it is open."""
    return [broken.failed(DOWN, now_s) for _ in range(times)]


# -- when it opens ----------------------------------------------------------------------------------------


def test_it_opens_at_the_declared_number_of_failures() -> None:
    """The failure that opens it is told so at once: its run is held, and those before it are ordinary failures."""
    payments = breaker(failures=5)

    assert fail(payments, 7) == [False] * 4 + [True] * 3
    assert payments.circuit.state == "open"
    assert payments.circuit.why == "5 of 5 runs within 10 s failed by it, the last in DownError"


def test_failures_among_many_good_runs_do_not_open_it() -> None:
    """A few bad records an instant are ordinary on a busy topic: the share decides."""
    payments = breaker(failures=5, share=0.5)
    payments.passed(10_000, 0)

    assert not any(fail(payments, 1_000))
    assert payments.circuit.is_closed


def test_a_declared_share_opens_it_among_good_runs() -> None:
    """Where only some records call it, a lower share says that it is down."""
    payments = breaker(failures=5, share=0.1)
    payments.passed(90, 0)

    assert fail(payments, 10).index(True) == 9


def test_a_share_of_nothing_leaves_it_to_the_failures() -> None:
    """With 0 no number of good runs keeps it closed."""
    payments = breaker(failures=5, share=0)
    payments.passed(1_000_000, 0)

    assert fail(payments, 5)[-1]


def test_failures_that_lie_far_apart_do_not_open_it() -> None:
    """Only those of the window count."""
    payments = breaker(failures=3, within="10s")
    seen = [payments.failed(DOWN, now_s) for now_s in (0, 6, 12, 18, 24)]

    assert not any(seen)


def test_good_runs_of_long_ago_do_not_keep_it_closed() -> None:
    """A dependency that was well an hour ago can be down now."""
    payments = breaker(failures=5)
    payments.passed(1_000_000, 0)

    assert fail(payments, 5, now_s=11)[-1]


def test_what_ends_while_it_is_open_counts_for_nothing() -> None:
    """Runs that began before say what was known; after it has closed everything begins anew."""
    payments = breaker(failures=5)
    fail(payments, 100)
    payments.passed(100, 0)
    payments.circuit.close("probes ended well")

    assert fail(payments, 5) == [False] * 4 + [True]


@given(
    events=st.lists(st.tuples(st.floats(0, 4), st.booleans(), st.integers(1, 5)), min_size=1, max_size=80),
    failures=st.integers(1, 8),
    share=st.sampled_from([0.0, 0.25, 0.5, 1.0]),
)
def test_it_opens_exactly_where_a_full_count_says(
    events: list[tuple[float, bool, int]], failures: int, share: float
) -> None:
    """Kept in slices, the window opens where a list of all events would: ten slices of a second, this one included."""
    payments = breaker(failures=failures, share=share, within="10s")
    now_s = 0.0
    ended: Counter[tuple[int, bool]] = Counter()
    for elapsed_s, is_well, count in events:
        now_s += elapsed_s
        if is_well:
            payments.passed(count, now_s)
            ended[int(now_s), True] += count
            continue
        is_open = payments.failed(DOWN, now_s)
        ended[int(now_s), False] += 1
        inside = {key: number for key, number in ended.items() if key[0] > int(now_s) - 10}
        failed = sum(number for (_, well), number in inside.items() if not well)

        assert is_open == (failed >= failures and failed >= share * sum(inside.values()))
        if is_open:
            return


# -- which errors mean it -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "is_behind"),
    [
        (DownError(), True),
        (SlowError(), True),
        (ValueError("bad record"), False),
        (KeyError("id"), False),
    ],
    ids=repr,
)
def test_it_is_behind_errors_of_its_classes(error: Exception, *, is_behind: bool) -> None:
    """Errors of the declared classes and of those below them mean it, and no others."""
    assert dependency().is_behind(error) == is_behind


def test_a_record_that_can_not_be_read_is_nobody_else_s_fault() -> None:
    """However wide the classes are, a record's own fault never stops a topic."""
    assert not dependency(errors=(Exception,)).is_behind(DecodeError("no JSON"))


@pytest.mark.parametrize(("status", "is_behind"), [(503, True), (404, False)])
def test_a_function_tells_errors_of_one_class_apart(status: int, *, is_behind: bool) -> None:
    """Many clients raise one class for every answer: the answer decides."""
    payments = dependency(when=lambda error: error.status >= 500)

    assert payments.is_behind(DownError(status)) == is_behind
    assert not payments.is_behind(ValueError())


def test_an_error_that_can_not_be_judged_means_it() -> None:
    """A function that fails takes nothing down, and its error is of a declared class after all."""
    assert dependency(when=lambda error: error.response.status >= 500).is_behind(DOWN)


# -- what can be declared -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"name": ""}, "letters, digits"),
        ({"name": "my payments"}, "letters, digits"),
        ({"name": 7}, "letters, digits"),
        ({"errors": ()}, "errors=() is no tuple"),
        ({"errors": DownError}, "is no tuple of exception classes"),
        ({"errors": ("DownError",)}, "is no tuple of exception classes"),
        ({"errors": (BaseException,)}, "is no tuple of exception classes"),
        ({"when": "always"}, "when='always'"),
        ({"failures": 0}, "failures=0"),
        ({"failures": True}, "failures=True"),
        ({"failures": 2.5}, "failures=2.5"),
        ({"probes": 0}, "probes=0"),
        ({"probes": 1_001}, "probes=1001"),
        ({"share": 1.1}, "share=1.1"),
        ({"share": "half"}, "share='half'"),
        ({"within": "0s"}, "within='0s' must be longer"),
        ({"within": "soon"}, "within: duration 'soon'"),
        ({"probe_after": 0}, "probe_after=0 must be longer"),
    ],
    ids=str,
)
def test_what_can_not_be_meant_is_refused(options: dict[str, Any], says: str) -> None:
    """Each fault is told with the dependency's name and the option."""
    with pytest.raises(ConfigError) as caught:
        dependency(**options)

    assert says in str(caught.value)
    assert "dependency" in str(caught.value)


def test_all_faults_are_told_together() -> None:
    """Whoever corrects a dependency sees all that is wrong with it."""
    with pytest.raises(ConfigError) as caught:
        dependency(errors=(), failures=0, share=2, within="soon", probe_after="never")

    assert len(caught.value.faults) == 5


@pytest.mark.parametrize("make", [str, float, lambda s: timedelta(seconds=float(s))], ids=["text", "number", "delta"])
def test_times_have_every_form_of_a_duration(make: Callable[[str], Any]) -> None:
    """Text, seconds and timedeltas mean the same."""
    given_s = make("90s" if make is str else "90")

    assert dependency(within=given_s).within_s == 90
