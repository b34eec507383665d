"""What handlers of any framework wrote down, and the checks that read it."""

from __future__ import annotations

from pathlib import Path

from benchmarks.peers.journal import Entry, at_once, disordered, handled, loss_of, order_of, read_journal


def runs(*records: tuple[str, int]) -> list[Entry]:
    """Give the journal of *records* handled one after the other."""
    return [Entry(is_end, *record) for record in records for is_end in (False, True)]


def test_a_journal_is_read_back(tmp_path: Path) -> None:
    """Each line is a begin or an end of one record."""
    journal = tmp_path / "journal"
    journal.write_text("B a 0\nE a 0\n")

    assert read_journal(journal) == runs(("a", 0))


def test_half_a_line_is_left_out(tmp_path: Path) -> None:
    """A kill in the middle of a line leaves the lines before it."""
    journal = tmp_path / "journal"
    journal.write_text("B a 0\nE a 0\nB a 1")

    assert read_journal(journal) == runs(("a", 0))


def test_no_journal_tells_of_nothing(tmp_path: Path) -> None:
    """A worker that handled nothing wrote nothing."""
    assert read_journal(tmp_path / "journal") == []


def test_keys_that_take_turns_are_in_order() -> None:
    """Order is each key's own."""
    order = order_of(runs(("a", 0), ("b", 0), ("a", 1)))

    assert (order.checked, order.violations) == (3, 0)


def test_two_of_a_key_at_once_are_a_violation() -> None:
    """A record may not begin while another of its key is in its handler."""
    order = order_of([Entry(is_end=False, key="a", number=0), Entry(is_end=False, key="a", number=1)])

    assert order.violations == 1
    assert "while another record of the key was running" in order.examples[0]


def test_the_negative_control_is_seen() -> None:
    """A journal in order, with its blocks turned round, is reported."""
    sound = runs(("a", 0), ("b", 0), ("a", 1))

    assert order_of(sound).violations == 0
    assert order_of(disordered(sound)).violations > 0


def test_the_negative_control_of_keys_that_come_once_finds_nothing() -> None:
    """Where each record has a key of its own no order can be seen, and the control says so."""
    assert order_of(disordered(runs(("a", 0), ("b", 0)))).violations == 0


def test_records_under_way_together_are_counted() -> None:
    """The most handlers between begin and end at one moment."""
    begins = [Entry(is_end=False, key=key, number=0) for key in "abc"]

    assert at_once([*begins, *runs(("d", 0))]) == 4


def test_a_record_counts_as_handled_once_it_ended() -> None:
    """A begin alone is not enough, and a second end adds nothing."""
    entries = [*runs(("a", 0), ("a", 0)), Entry(is_end=False, key="a", number=1)]

    assert handled(entries) == 1


def test_what_no_life_of_a_worker_ended_is_lost() -> None:
    """Lost is what neither life ended; what both ended came again."""
    before = [*runs(("a", 0), ("a", 1)), Entry(is_end=False, key="a", number=2)]
    after = runs(("a", 1), ("b", 0))

    assert loss_of([("a", 0), ("a", 1), ("a", 2), ("b", 0)], before, after) == (4, 1, 1)
