"""What a named field holds is shown nowhere below an administrator."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from streams.monitor.dashboard.masking import HIDDEN, Mask

SECRETS = st.text(st.characters(codec="utf-8", categories=["L", "N"]), min_size=8, max_size=30)


@given(secret=SECRETS, depth=st.integers(0, 5), in_list=st.booleans())
def test_a_named_field_is_hidden_at_any_depth(secret: str, depth: int, *, in_list: bool) -> None:
    """Whatever it is in, and whatever the case of its name."""
    value: object = {"Card": [secret] if in_list else secret, "n": 1}
    for _ in range(depth):
        value = {"inner": [value]}
    payload = json.dumps(value).encode()
    mask = Mask(["card"])

    assert secret in json.dumps(json.loads(payload), ensure_ascii=False)
    assert secret not in (mask.payload(payload) or b"").decode()
    assert HIDDEN in (mask.payload(payload) or b"").decode()
    assert secret not in mask.scrub(f"card {secret} was refused", payload)


def test_what_other_fields_hold_stays() -> None:
    """A name that only contains the masked one is another name."""
    payload = b'{"card":"4111222233334444","cardinal":"red","total":7}'
    shown = json.loads(Mask(["card"]).payload(payload) or b"")

    assert shown == {"card": HIDDEN, "cardinal": "red", "total": 7}


def test_keys_and_headers_are_scrubbed_too() -> None:
    """A key that is the masked value, a header of that name, and one that holds it."""
    payload, mask = b'{"email":"ann@example.com"}', Mask(["Email"])
    headers = mask.headers([("email", b"x"), ("to", b"for ann@example.com"), ("none", None), ("odd", b"\xff")], payload)

    assert mask.scrub_bytes(b"ann@example.com", payload) == HIDDEN.encode()
    assert mask.scrub_bytes(b"o-1", payload) == b"o-1"
    assert headers == [("email", HIDDEN.encode()), ("to", f"for {HIDDEN}".encode()), ("none", None), ("odd", b"\xff")]


def test_what_is_no_json_is_hidden_whole() -> None:
    """Nobody knows which of its bytes are the field."""
    assert Mask(["card"]).payload(b"card=4111222233334444") == f"{HIDDEN} 21 bytes that are no JSON".encode()
    assert Mask(["card"]).scrub("card=4111222233334444 can't be read", b"card=4111222233334444") == HIDDEN
    assert Mask(["card"]).scrub_bytes(b"o-1", b"card=4111222233334444") == b"o-1"
    assert Mask().payload(b"card=4111222233334444") == b"card=4111222233334444"


def test_numbers_are_hidden_and_short_values_are_not_looked_for() -> None:
    """To hide each 7 of a text would tell nothing."""
    mask = Mask(["card", "cvc"])
    payload = b'{"card":4111222233334444,"cvc":7,"nothing":null}'

    assert mask.scrub("4111222233334444 at 7 o'clock", payload) == f"{HIDDEN} at 7 o'clock"
