"""What is owned although the group wants it elsewhere: told once it has been so twice."""

from __future__ import annotations

from streams.engine.claims import ASK_EVERY_S, Claims
from streams.kafka.groups import Group, Member
from streams.record import Partition

P0, P1, P2 = (Partition("orders", number) for number in range(3))


def answer(*wanted: Partition, knows: bool = True, members: int = 1, is_classic: bool = False) -> Group:
    """Give what the group says: that member ``us`` is to have *wanted*."""
    ours = Member("us" if knows else "they", "till", "here", None, (), None if is_classic else frozenset(wanted))
    others = [Member(f"other-{number}", "till", "there", None, (), frozenset()) for number in range(members - 1)]
    return Group("billing", "stable", "consumer", "uniform", (*others, ours))


def test_what_is_wanted_elsewhere_twice_is_told() -> None:
    """And told once: after it the member joins anew, and hears."""
    claims = Claims()
    told = [claims.unwanted("us", [P0, P1, P2], answer(P0)) for _ in range(3)]

    assert told == [frozenset(), {P1, P2}, frozenset()]


def test_what_is_given_up_in_time_is_no_matter() -> None:
    """The member had heard, and was still finishing what ran."""
    claims = Claims()

    assert claims.unwanted("us", [P0, P1], answer(P0)) == frozenset()
    assert claims.unwanted("us", [P0], answer(P0)) == frozenset()
    assert claims.unwanted("us", [P0, P1], answer(P0)) == frozenset()


def test_only_what_was_unwanted_both_times_counts() -> None:
    """Another partition at each look is a group that moves."""
    claims = Claims()

    assert claims.unwanted("us", [P0, P1], answer(P0)) == frozenset()
    assert claims.unwanted("us", [P0, P1], answer(P1)) == frozenset()


def test_what_is_still_to_come_is_no_claim() -> None:
    """The group wants this member to have more: others give it up first."""
    claims = Claims()

    assert [claims.unwanted("us", [P0], answer(P0, P1)) for _ in range(2)] == [frozenset()] * 2


def test_who_says_nothing_wants_nothing_back() -> None:
    """A group that does not know the member, and the classic protocol, which tells no targets."""
    for group in (answer(knows=False), answer(is_classic=True)):
        claims = Claims()
        assert [claims.unwanted("us", [P0], group) for _ in range(3)] == [frozenset()] * 3


def test_large_groups_are_asked_less_often() -> None:
    """Each answer names every member."""
    claims = Claims()
    claims.unwanted("us", [P0], answer(P0))
    small = claims.ask_every_s
    claims.unwanted("us", [P0], answer(P0, members=1_000))

    assert (small, claims.ask_every_s) == (ASK_EVERY_S, 200.0)
