"""Which records a replay takes."""

from __future__ import annotations

import pytest

from streams.errors import UsageError
from streams.kafka.message import make_message
from streams.replay.choice import Choice, condition


@pytest.mark.parametrize(
    ("wanted", "payload", "is_taken"),
    [
        ("status=open", b'{"status": "open"}', True),
        ("status=open", b'{"status": "Open"}', False),
        ("status=open", b'{"state": "open"}', False),
        ("n=5", b'{"n": 5}', True),
        ("n=5", b'{"n": "5"}', True),
        ("n=5", b'{"n": 50}', False),
        ("n=1", b'{"n": true}', False),
        ("n=true", b'{"n": true}', True),
        ("n=null", b'{"n": null}', True),
        ("n=five", b'{"n": 5}', False),
        ("n=100000000000000000001", b'{"n": 100000000000000000001}', True),
        ("a.b=x=y", b'{"a": {"b": "x=y"}}', True),
        ("a.b=x", b'{"a": "x"}', False),
        ("a=x", b'["a"]', False),
        ("a=x", b"no JSON", False),
        ("a=x", b"\xff", False),
        ("a=x", b"[" * 100_000, False),
        ("a=x", None, False),
    ],
)
def test_a_field_has_to_have_the_value(wanted: str, payload: bytes | None, *, is_taken: bool) -> None:
    """Text as it is, anything else as JSON spells it; a payload that is no JSON has no fields."""
    takes = Choice(where=(condition(wanted),)).takes()

    assert takes is not None
    assert takes(make_message("orders", 0, 0, value=payload)) is is_taken


def test_all_that_is_said_has_to_hold() -> None:
    """One of the keys, every field, and the text, in whichever case."""
    takes = Choice(keys=(b"a", b"b"), where=(("n", "1"),), text="SEVEN").takes()
    assert takes is not None

    def taken(key: bytes | None, value: bytes) -> bool:
        return takes(make_message("orders", 0, 0, key=key, value=value))

    assert taken(b"a", b'{"n": 1, "tenant": "seven"}')
    assert taken(b"b", b'{"n": 1, "tenant": "Seven"}')
    assert not taken(b"c", b'{"n": 1, "tenant": "seven"}')
    assert not taken(None, b'{"n": 1, "tenant": "seven"}')
    assert not taken(b"a", b'{"n": 2, "tenant": "seven"}')
    assert not taken(b"a", b'{"n": 1}')


def test_nothing_said_is_everything_and_costs_nothing() -> None:
    """There is nothing to ask of a record then."""
    assert Choice().takes() is None
    assert not Choice()
    assert Choice(keys=(b"",))


@pytest.mark.parametrize("text", ["status", "=open", ".a=1", "a.=1", ""])
def test_what_is_no_condition_is_said(text: str) -> None:
    """The words show the form."""
    with pytest.raises(UsageError, match="FIELD=VALUE"):
        condition(text)


def test_a_choice_is_said_as_it_was_given() -> None:
    """So that it can be typed again."""
    choice = Choice(keys=(b"a", b"\xff"), where=(("a.b", "x"),), text="y")

    assert choice.words() == "--key a --key hex:ff --where a.b=x --text y"
