"""How runs are put into batches, and what of a batch has ended when one of its records has not."""

from __future__ import annotations

from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from streams.engine.executors.executor import NOT_STARTED, Interruption, first_trouble, next_batch
from streams.engine.partition import Run
from streams.outcome import DeadLetter, Outcome, Retry, Skip
from tests.engine.stage import messages, state

BAD = ValueError("bad")
OUTCOMES = st.sampled_from([None, None, None, Skip(), DeadLetter(BAD), Retry(BAD)])


def run_of(count: int) -> Run:
    """*count* records of one lane."""
    chunk = (orders := state()).admit(messages(*((offset, b"a") for offset in range(count))))
    assert chunk is not None
    return orders.enlane(chunk)[0]


def offsets(run: Run) -> list[int]:
    """Where the records of *run* stand."""
    return [item[0].offset() or 0 for item in run]


@given(outcomes=st.lists(OUTCOMES, min_size=1, max_size=8))
def test_what_a_batch_did_for_a_lane_counts_up_to_its_first_retry(outcomes: list[Outcome | None]) -> None:
    """The lane stops at its first record that did not end well; what ended well before a retry has ended, once."""
    run = run_of(len(outcomes))
    found = first_trouble(run, outcomes)
    at = offsets(found.run)
    done, rest = at[: found.done], at[found.done :]
    first = next((number for number, one in enumerate(outcomes) if one is not None), None)
    retry = next((number for number, one in enumerate(outcomes) if isinstance(one, Retry)), len(outcomes))

    assert sorted(at) == list(range(len(outcomes)))
    assert done == [number for number in range(retry) if outcomes[number] is None]
    assert rest == sorted(rest)
    if first is None:
        assert (found.outcome, rest) == (None, [])
    else:
        assert (found.outcome, rest[0]) == (outcomes[first], first)


@given(lengths=st.lists(st.integers(1, 9), max_size=20), size=st.integers(1, 12))
def test_runs_are_put_into_batches_in_their_order(lengths: list[int], size: int) -> None:
    """No batch is larger than asked for, but for one that is a single longer run; nothing is left out."""
    runs = [run_of(length) for length in lengths]
    ready, parts = deque(runs), list[list[Run]]()
    while ready:
        parts.append(next_batch(ready, size))

    assert [run for part in parts for run in part] == runs
    assert all(part for part in parts)
    assert all(len(part) == 1 or sum(map(len, part)) <= size for part in parts)


def test_an_interruption_knows_its_handler_runs() -> None:
    """A record that was not started was no run; every other end was one."""
    run = run_of(5)
    ends = [Interruption(run, 5, None), Interruption(run, 2, Retry(BAD)), Interruption(run, 2, NOT_STARTED)]

    assert [one.runs for one in ends] == [5, 3, 2]
