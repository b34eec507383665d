"""The order check, apart from any engine."""

from __future__ import annotations

from streams.bench.order import OrderCheck


def value(key: str, number: int) -> dict[str, object]:
    """A record's value."""
    return {"key": key, "number": number}


def run(check: OrderCheck, key: str, *numbers: int) -> None:
    """Run records of *key* one after the other."""
    for number in numbers:
        check.begin(value(key, number))
        check.end(value(key, number))


def test_records_in_order_count_as_checked() -> None:
    """Keys that take turns, each in its own order, are in order."""
    check = OrderCheck()
    run(check, "a", 0, 1)
    run(check, "b", 0)
    run(check, "a", 2)

    assert check.totals() == (4, 0)
    assert check.keys == 2


def test_a_record_before_its_elder_is_a_violation() -> None:
    """A later record that starts first is reported, with the key and both numbers."""
    check = OrderCheck()
    run(check, "a", 0, 2)

    assert check.totals() == (1, 1)
    assert check.examples == ["a number 2 began where number 1 was due"]


def test_a_record_that_comes_twice_is_a_violation() -> None:
    """A duplicate is no record in order."""
    check = OrderCheck()
    run(check, "a", 0, 0)

    assert check.totals() == (1, 1)


def test_two_records_of_a_key_at_once_are_a_violation() -> None:
    """The next record of a key may not begin before the one before it has ended."""
    check = OrderCheck()
    check.begin(value("a", 0))
    check.begin(value("a", 1))

    assert check.totals() == (1, 1)
    assert "while another record of the key was running" in check.examples[0]
