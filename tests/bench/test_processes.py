"""What several processes do together, from what each of them noted."""

from __future__ import annotations

import pytest

from streams.bench.ground import BenchError
from streams.bench.processes import all_settled, common_rate
from streams.bench.task import Outcome, Task

TASK = Task(topic="orders", partitions=2, records=300)


def member(*marks: tuple[float, int], is_complete: bool = True) -> Outcome:
    """One process."""
    settled = marks[-1][1] if marks else 0
    return Outcome(
        records=settled,
        seconds=1,
        cpu_s=1,
        resident_bytes=1,
        settled=settled,
        is_complete=is_complete,
        marks=list(marks),
    )


def test_only_the_time_counts_in_which_all_were_at_work() -> None:
    """What one did before the other began, or after it ended, is not what both of them do."""
    early, late = member((0, 0), (5, 100), (6, 150), (7, 200)), member((5, 0), (7, 80), (9, 100))

    assert common_rate([early, late]) == pytest.approx((100 + 80) / 2)


def test_one_process_counts_from_its_start_to_its_end() -> None:
    """Beside which the others are set."""
    assert common_rate([member((1, 0), (3, 100))]) == pytest.approx(50)


def test_processes_that_never_worked_together_are_not_quoted() -> None:
    """Where one had ended when the other began, or got nothing, there is no figure."""
    with pytest.raises(BenchError, match="no work left"):
        common_rate([member((0, 0), (1, 300)), member((2, 0), (3, 10))])
    with pytest.raises(BenchError, match="got no record"):
        common_rate([member((0, 0), (1, 300)), member()])


def test_every_record_has_settled_once_in_one_of_the_processes() -> None:
    """A record too few or too many, or a commit that is missing, and nothing is quoted."""
    whole = [member((0, 0), (1, 200)), member((0, 0), (1, 100))]

    assert all_settled(whole, TASK) == whole
    for more in (1, -1):
        with pytest.raises(BenchError, match="of 300 records"):
            all_settled([whole[0], member((0, 0), (1, 100 + more))], TASK)
    with pytest.raises(BenchError, match="did not commit"):
        all_settled([whole[0], member((0, 0), (1, 100), is_complete=False)], TASK)
