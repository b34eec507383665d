"""What one owner of a partition tells the next, and what that one makes of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from streams.engine.snapshot import Snapshot
from streams.engine.tenure import Tenure

HERE, THERE = b"here", b"there"


def told(tenure: Tenure, committable: int = 0, marks: tuple[int, ...] = ()) -> Snapshot:
    """What the commit of *tenure* says, its chain being where *marks* are."""
    return tenure.snapshot(b"assigned", (), committable, marks)


def died(starts: int = 1, *, named: int = -1, blamed: int = -1, deaths: int = 0, process: bytes = THERE) -> Snapshot:
    """What an owner left that died."""
    return Snapshot(b"former", starts, process=process, named=named, blamed=blamed, deaths=deaths)


def test_each_owner_counts_itself() -> None:
    """One more began here, as long as another process wrote what was found."""
    assert told(Tenure.after(died(2), HERE, 6)).starts == 3
    assert told(Tenure.after(died(2, process=HERE), HERE, 6)).starts == 2


@pytest.mark.parametrize(
    ("former", "blame"),
    [
        (died(), (-1, 0)),
        (died(named=7), (7, 1)),
        (died(named=7, blamed=7, deaths=1), (7, 2)),
        (died(named=8, blamed=7, deaths=1), (8, 1)),
        (died(named=7, process=HERE), (-1, 0)),
        (died(blamed=7, deaths=1), (7, 1)),
    ],
    ids=["none ran alone", "one did", "the same again", "another one", "in this process", "none did this time"],
)
def test_who_ran_alone_at_a_death_is_blamed(former: Snapshot, blame: tuple[int, int]) -> None:
    """Deaths are counted for one record at a time, and a new stay in the same process is none."""
    tenure = Tenure.after(former, HERE, 6)

    assert (tenure.blamed, tenure.deaths) == blame


@pytest.mark.parametrize(
    ("former", "is_suspected"), [(died(3), False), (died(4), True), (died(1, blamed=7, deaths=1), True)]
)
def test_after_too_many_deaths_the_place_is_suspected(former: Snapshot, *, is_suspected: bool) -> None:
    """Two are left for finding the record; where one is blamed already there is no waiting."""
    assert Tenure.after(former, HERE, 6).is_suspected == is_suspected


@pytest.mark.parametrize(
    ("committable", "marks", "starts"),
    [(5, (9, -1), 3), (6, (9, -1), 3), (5, (10, -1), 3), (6, (10, -1), 1), (6, (10, 4), 1), (6, (-1, -1), 1)],
)
def test_progress_ends_the_count(committable: int, marks: tuple[int, ...], starts: int) -> None:
    """It has to be progress of the source, and of every topic of the chain that held anything at the beginning."""
    tenure = Tenure(3, began_at=5, chain_began=(9, -1))

    assert told(tenure, committable, marks).starts == starts


def test_a_graceful_end_is_no_death() -> None:
    """Its commit does not count this owner and names nobody; who was blamed stays so."""
    tenure = Tenure(3, HERE, named=8, blamed=7, deaths=1)
    tenure.end_gracefully()
    said = told(tenure)

    assert (said.starts, said.named, said.blamed, said.deaths) == (2, -1, 7, 1)


def test_one_that_ran_alone_and_ended_is_cleared() -> None:
    """It is named no more, and what it was blamed for is forgotten."""
    tenure = Tenure(named=7, blamed=7, deaths=2)
    was_killer = tenure.is_killer(7)
    tenure.survived(7)

    assert was_killer
    assert not tenure.is_killer(7)
    assert (tenure.tested, tenure.named, tenure.deaths) == (1, -1, 0)


def test_of_another_one_nothing_is_cleared() -> None:
    """That a record did no harm says nothing of the one that is blamed."""
    tenure = Tenure(named=8, blamed=7, deaths=2)
    tenure.survived(8)

    assert tenure.is_killer(7)
    assert not tenure.is_killer(8)


@pytest.mark.parametrize(("ends", "left"), [(Tenure.acquit, (1, -1, 0)), (Tenure.let_go, (5, 7, 1))])
def test_only_an_acquittal_forgets_what_is_counted(ends: Callable[[Tenure], None], left: tuple[int, int, int]) -> None:
    """One that is let go untried leaves the count to the next owner."""
    tenure = Tenure(5, is_suspected=True, named=8, blamed=7, deaths=1)
    ends(tenure)
    said = told(tenure)

    assert not tenure.is_suspected
    assert said.named == -1
    assert (said.starts, said.blamed, said.deaths) == left
