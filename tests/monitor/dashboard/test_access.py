"""Who may do what: tokens, roles, sessions, and what a request has to be like."""

from __future__ import annotations

import logging

import httpx
import pytest

from streams.errors import UsageError
from streams.monitor.dashboard.access import SESSIONS, Access, load_tokens, make_token, read_tokens
from streams.monitor.dashboard.guard import COOKIE, MOST_BYTES
from tests.monitor.dashboard.board import TOKENS, Serve, field

OTTO = "token-of-otto-the-operator"
VERA = "token-of-vera-the-viewer"
PAGES = ["/", "/letters", "/topics", "/audit", "/jobs", "/events", "/groups/x", "/search?q=x"]


def test_a_token_opens_its_role_and_no_other() -> None:
    """By itself, and by its sum alone; one that differs in its last letter opens nothing."""
    token, line = make_token("sue", "operator")
    access = Access(read_tokens(f"{TOKENS}\n# a comment\n{line}", "a test"), is_loopback=True)
    roles = [access.visitor(f"Bearer {one}", "", is_forwarded=False) for one in (VERA, OTTO, token, f"{OTTO}x", "")]

    assert [one and (one.name, one.role) for one in roles] == [
        ("vera", "viewer"),
        ("otto", "operator"),
        ("sue", "operator"),
        None,
        None,
    ]
    assert token not in line


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("otto operator", "has 2 words"),
        ("otto captain a-token-that-is-long", "none of viewer, operator, admin"),
        ("otto operator short-secret", "shorter than 16"),
        ("otto operator sha256:12", "the sum of otto is none"),
        ("otto viewer a-token-that-is-long\notto admin b-token-that-is-long", "named twice"),
        ("o!tto viewer a-token-that-is-long", "the name must be"),
    ],
)
def test_a_line_that_is_none_is_told_without_its_secret(line: str, fault: str) -> None:
    """The words say what is wrong, and where; a token is in no error."""
    with pytest.raises(UsageError, match=fault) as told:
        read_tokens(line, "tokens.txt")

    assert "tokens.txt, line" in str(told.value)
    assert not any(word in str(told.value) for word in ("short-secret", "a-token-that-is-long", "sha256:12"))


def test_tokens_may_come_by_the_environment() -> None:
    """Several, with semicolons; an empty one names nobody."""
    given = {"STREAMS_MONITOR_TOKENS": "a viewer 0123456789abcdef; b admin 0123456789abcdeg"}

    assert [one.name for one in load_tokens(None, given)] == ["a", "b"]
    assert load_tokens(None, {}) == []


def test_sessions_are_bounded() -> None:
    """At the bound the oldest ends; one that was left is none."""
    (token,) = read_tokens("otto operator token-of-otto-the-operator", "a test")
    access = Access([token], is_loopback=True)
    first, second = access.begin(token), access.begin(token)
    for _ in range(SESSIONS - 1):
        access.begin(token)
    access.end(second)

    assert access.visitor("", first, is_forwarded=False) is None
    assert access.visitor("", second, is_forwarded=False) is None
    assert access.visitor("", access.begin(token), is_forwarded=False) is not None


def test_without_tokens_only_this_machine_may_act() -> None:
    """Not whoever reaches another address, nor whom a proxy on this machine lets through."""
    here, everywhere = Access(is_loopback=True), Access(is_loopback=False)
    visitors = [
        here.visitor("", "", is_forwarded=False),
        here.visitor("", "", is_forwarded=True),
        everywhere.visitor("", "", is_forwarded=False),
    ]

    assert [one and one.may_act for one in visitors] == [True, False, False]
    assert all(one is not None and one.is_masked for one in visitors)


@pytest.mark.parametrize("path", PAGES)
def test_no_page_is_shown_to_who_shows_no_token(path: str, serve: Serve) -> None:
    """A browser is led to the login, a program told; with a token the page is there."""
    served = serve(tokens=TOKENS)
    with served.client() as browser, served.client(Accept="*/*") as program:
        led, told = browser.get(path), program.get(path)

    assert (led.status_code, led.headers["location"]) == (303, "/login")
    assert (told.status_code, told.headers["www-authenticate"]) == (401, "Bearer")


def test_a_browser_shows_its_token_once(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """The cookie is no token, scripts can't read it, other sites can't send it; leaving ends it; nothing is logged."""
    served = serve(tokens=TOKENS)
    with caplog.at_level(logging.DEBUG), served.client() as browser:
        wrong = browser.post("/login", data={"token": "token-of-otto-the-operatos"})
        right = browser.post("/login", data={"token": OTTO})
        page = browser.get("/")
        kept = browser.cookies[COOKIE]
        browser.post("/logout", data={"form_key": field(page.text, "form_key")})
        browser.cookies.set(COOKIE, kept)
        after = browser.get("/")
    cookie = right.headers["set-cookie"]

    assert wrong.status_code == 401
    assert page.status_code == 200
    assert "otto" in page.text
    assert after.status_code == 303
    assert kept not in OTTO
    assert all(word in cookie for word in ("HttpOnly", "SameSite=strict", "Path=/"))
    assert "token-of-otto" not in caplog.text


def test_a_name_that_leads_here_from_elsewhere_is_refused(serve: Serve) -> None:
    """A page of another site whose name was turned to this machine reads nothing; a name that is allowed does."""
    served = serve(allowed_hosts=["board.example.com"])
    with served.client() as client:
        answers = [
            client.get("/", headers={"Host": host}).status_code
            for host in ("evil.example.com", "127.0.0.1.evil.example.com", "localhost", "board.example.com:443")
        ]

    assert answers == [421, 421, 200, 200]


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example.com"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_what_another_site_sends_does_nothing(headers: dict[str, str], serve: Serve) -> None:
    """By its headers already, with the right form too; from the dashboard's own page it gets further."""
    served = serve()
    with served.client() as client:
        foreign = client.post("/jobs/x/stop", data={"form_key": "x"}, headers=headers)
        own = client.post("/jobs/x/stop", data={"form_key": "x"}, headers={"Origin": served.url})

    assert (foreign.status_code, "Another site" in foreign.text) == (403, True)
    assert "earlier session" in own.text


def test_a_form_without_its_key_does_nothing(serve: Serve) -> None:
    """Nor with that of another session; with its own it is done."""
    served = serve(tokens=TOKENS)
    with served.client() as one, served.client() as other:
        for browser in (one, other):
            browser.post("/login", data={"token": OTTO})
        keys = [field(browser.get("/").text, "form_key") for browser in (one, other)]
        refused = [one.post("/jobs/x/stop", data={"form_key": key}).status_code for key in ("", keys[1])]
        done = one.post("/jobs/x/stop", data={"form_key": keys[0]})

    assert refused == [403, 403]
    assert done.status_code == 303


def test_too_much_is_not_read(serve: Serve) -> None:
    """Neither what says so, nor what says nothing."""
    served = serve()
    much = b"x" * (MOST_BYTES + 1)
    with served.client() as client:
        said = client.post("/jobs/x/stop", content=much)
        unsaid = client.post("/jobs/x/stop", content=iter([much]))

    assert said.status_code == 413
    assert unsaid.status_code == 400


def test_a_browser_may_do_little_with_a_page(serve: Serve) -> None:
    """No script of others, none inline, nothing from elsewhere, in no frame, kept nowhere."""
    served = serve()
    with served.client() as client:
        answers = [client.get(path) for path in ("/", "/nowhere", "/static/monitor.js", "/groups/none")]

    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe-inline" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert answers[0].headers["cache-control"] == "no-store"
    assert [one.status_code for one in answers] == [200, 404, 200, 404]


def test_pages_ask_nobody_else(serve: Serve) -> None:
    """What they load is of this very server."""
    served = serve()
    with served.client() as client:
        texts = [client.get(path).text for path in ("/", "/letters", "/topics")]
        texts += [client.get(f"/static/{name}").text for name in ("style.css", "monitor.js")]

    assert all("//" not in text.replace("// ", "") or "http://www.w3.org" in text for text in texts)
    assert all(httpx.URL(served.url).host not in text for text in texts[3:])
