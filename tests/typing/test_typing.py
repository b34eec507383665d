"""What users write type-checks, and what can't be meant does not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from mypy import api

from tests.typing import users

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.xdist_group("typing")  # one run of the checker for all of them

RIGHT = Path(users.__file__)

WRONG = {
    'Retry("down")': "arg-type",
    "Retry(OSError(), after=5)": "arg-type",
    'DeadLetter("bad")': "arg-type",
    "Skip(7)": "arg-type",
    'Stop("enough")': "arg-type",
    'app.on("orders", policy="parked")': "arg-type",
    'app.on("orders", dead_letters="drop")': "arg-type",
    'app.on("orders", run="processes")': "arg-type",
    'app.on("orders", batch="all")': "arg-type",
    'app.on("orders", retry="1s")': "arg-type",
    "app.on(7)": "arg-type",
    'app.on("orders", speed="high")': "call-arg",
    'app.on("orders", needs=["payments"])': "list-item",
    'app.on("orders", guard=0.5)': "arg-type",
    'app.dependency("payments", errors=OSError)': "arg-type",
    'app.dependency("payments")': "call-arg",
    "App()": "call-arg",
    "RetryPolicy(delays=5)": "arg-type",
    'RetryPolicy(dead_letter_on=("ValueError",))': "arg-type",
    'ctx.send("invoices", {}, key=7)': "arg-type",
    'ctx.send("invoices")': "call-arg",
    'ctx.send("invoices", {}, headers=["tenant"])': "list-item",
    "ctx.attempt = 2": "misc",
    'ctx.record.value = b"other"': "misc",
    "Ack().reason": "attr-defined",
    "charge(7)": "arg-type",
    "charge(b'').done": "attr-defined",
}
"""Lines that a checker must refuse, with the code by which it does."""

BEGIN = """
from streams import Ack, App, Context, DeadLetter, Retry, RetryPolicy, Skip, Stop

app = App("billing")

@app.on("orders")
def charge(order: bytes) -> None: ...

def wrong(ctx: Context) -> None:
"""


@pytest.fixture(scope="module")
def told() -> dict[Path, dict[int, str]]:
    """What a strict checker says, by file and line; asked once for all."""
    cache = ROOT / ".mypy_cache" / "users"
    cache.mkdir(parents=True, exist_ok=True)
    wrong = cache / "wrong.py"
    wrong.write_text(BEGIN + "".join(f"    {line}\n" for line in WRONG))
    out, err, _ = api.run(
        ["--strict", "--config-file=", f"--cache-dir={cache}", "--no-error-summary", str(RIGHT), str(wrong)]
    )
    assert err == ""
    found: dict[Path, dict[int, str]] = {RIGHT: {}, wrong: {}}
    for line in out.splitlines():
        match = re.fullmatch(r"(.+?):(\d+): error: .* \[([a-z-]+)\]", line)
        if match:
            found.setdefault(ROOT / match[1], {})[int(match[2])] = match[3]
    return found


def test_what_users_write_passes(told: dict[Path, dict[int, str]]) -> None:
    """Handlers of every kind, with context, outcomes, codecs and policies, are fine under strict rules."""
    assert told[RIGHT] == {}


def test_what_can_not_be_meant_does_not(told: dict[Path, dict[int, str]]) -> None:
    """Each wrong line is refused, by the rule that it breaks, and nothing else is."""
    (wrong,) = (found for path, found in told.items() if path.name == "wrong.py")
    first = BEGIN.count("\n") + 1
    refused = {line: wrong.get(first + at) for at, line in enumerate(WRONG)}

    assert refused == WRONG
    assert len(wrong) == len(WRONG)


def test_nothing_of_the_package_is_told_to_its_users(told: dict[Path, dict[int, str]]) -> None:
    """A user's checker finds nothing in the package itself."""
    assert {path.name for path, found in told.items() if found} == {"wrong.py"}


def test_what_users_write_can_be_declared() -> None:
    """The same file runs: every handler has its route."""
    routes = users.app.routes

    assert list(routes) == ["orders", "payments", "refunds", "events", "raw", "records"]
    assert [one.run for one in routes.values()] == ["threads", "async", "inline", "threads", "threads", "async"]
