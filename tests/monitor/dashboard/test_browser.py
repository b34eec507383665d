"""The dashboard in a real browser: keys, live parts, an action, and no page that is wider than a phone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Request, sync_playwright

from streams import App
from tests.brokers import Topics, unavailable
from tests.monitor.dashboard.board import TOKENS, Desk, Serve, Served, bury, declare, shows
from tests.path.members import Bench
from tests.waiting import eventually

NEEDS = json.dumps({"needs": "desk", "card": "4111222233334444"}).encode()


@pytest.fixture
def browser() -> Iterator[Browser]:
    """Debian's Chromium, without a window."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        unavailable("no Chromium is installed: apt-get install chromium")
    with sync_playwright() as running:
        browser = running.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


class Tab:
    """A page of the browser; what its console complains of fails the test."""

    def __init__(self, browser: Browser, served: Served, **chosen: Any) -> None:
        self.url = served.url
        self.context = browser.new_context(base_url=served.url, **chosen)
        self.page = self.context.new_page()
        self.foreign: list[str] = []
        self.complaints: list[str] = []
        self.page.on("console", lambda said: self.complaints.append(said.text) if said.type == "error" else None)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on(
            "request", lambda asked: None if asked.url.startswith(served.url) else self.foreign.append(asked.url)
        )

    def _note(self, asked: Request) -> None:
        if not asked.url.startswith(self.url):
            self.foreign.append(asked.url)

    def close(self) -> None:
        """Close it, and hold that nothing went wrong."""
        self.context.close()
        assert self.complaints == []
        assert self.foreign == []


@pytest.fixture
def served(bench: Bench, topic: Topics, app: App, desk: Desk, serve: Serve) -> Served:
    """A dashboard, and a group with three dead letters."""
    orders = topic()
    declare(app, orders, desk)
    bury(bench, app, orders, [NEEDS, NEEDS, NEEDS])
    served = serve()
    with served.client() as client:
        shows(client, f"/groups/{app.group}/letters", f"{orders}/0/2")
    return served


def test_a_letter_is_retried_with_the_keyboard(browser: Browser, served: Served, app: App, desk: Desk) -> None:
    """Search, walk, open, retry, and see it gone: without a mouse, and without loading the last page anew."""
    tab = Tab(browser, served)
    page = tab.page
    page.goto("/")
    page.keyboard.press("/")
    page.keyboard.type(app.group)
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/groups/{app.group}")
    page.get_by_role("link", name="Dead letters").nth(1).press("Enter")
    page.wait_for_url("**/letters")
    page.keyboard.press("j")
    page.keyboard.press("j")
    chosen = page.locator("tr.at").get_attribute("data-href")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**{chosen}")
    page.get_by_role("link", name="Retry…").press("Enter")
    page.wait_for_url("**/act?**")
    desk.is_down = False
    page.get_by_label("Why").fill("the desk is back")
    page.keyboard.press("Enter")
    page.wait_for_url("**/jobs/*")
    page.get_by_text("Done.").wait_for()
    page.goto(f"/groups/{app.group}/letters")
    page.locator("#letter-count strong", has_text="2").wait_for()
    tab.close()

    assert eventually(lambda: desk.served) == [NEEDS]


def test_an_open_page_follows(browser: Browser, served: Served, app: App, bench: Bench) -> None:
    """A record that dies while the list is open appears in it; the page is not loaded anew."""
    tab = Tab(browser, served)
    page = tab.page
    page.goto(f"/groups/{app.group}/letters")
    page.evaluate("window.stays = 'yes'")
    (orders,) = app.routes
    bench.write(orders, [(b"new", NEEDS)])
    page.get_by_text(f"{orders}/0/3").wait_for()
    stays = page.evaluate("window.stays")
    tab.close()

    assert stays == "yes"


def test_ticked_letters_stay_ticked(browser: Browser, served: Served, app: App, bench: Bench) -> None:
    """A list in which somebody chooses is not changed under their hands; what is chosen is what is asked for."""
    tab = Tab(browser, served)
    page = tab.page
    page.goto(f"/groups/{app.group}/letters")
    ticks = page.locator("input[name=origin]")
    ticks.nth(0).check()
    ticks.nth(2).check()
    (orders,) = app.routes
    bench.write(orders, [(b"new", NEEDS)])
    with served.client() as client:
        shows(client, f"/groups/{app.group}/letters", f"{orders}/0/3")
    page.get_by_role("button", name="Forget…").click()
    heading = page.get_by_role("heading", level=2).inner_text()
    tab.close()

    assert heading == "Forget 2 dead letters of 2 keys?"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_fits_a_phone(browser: Browser, served: Served, app: App, scheme: str) -> None:
    """375 pixels wide, in both schemes: nothing has to be moved sideways, and the ground is light or dark."""
    (orders,) = app.routes
    tab = Tab(browser, served, viewport={"width": 375, "height": 812}, color_scheme=scheme)
    group, wide, grounds = f"/groups/{app.group}", {}, set()
    paths = [
        "",
        "/letters",
        f"/letters/{orders}/0/0",
        "/keys",
        f"/records/{orders}/0/0",
        "/letters/act?verb=forget",
        "/direct?what=pause",
    ]
    for path in ["/", *(group + path for path in paths), "/topics", "/audit", "/alerts", "/jobs", "/replays"]:
        tab.page.goto(path)
        wide[path] = tab.page.evaluate("document.documentElement.scrollWidth")
        grounds.add(tab.page.evaluate("getComputedStyle(document.body).backgroundColor"))
    tab.close()

    assert {path: width for path, width in wide.items() if width > 375} == {}
    assert grounds == {"rgb(247, 248, 249)" if scheme == "light" else "rgb(15, 19, 24)"}


def test_without_scripts_it_can_be_read_and_used(browser: Browser, served: Served, app: App) -> None:
    """Forms and links do everything; only the live parts stand still."""
    tab = Tab(browser, served, java_script_enabled=False)
    page = tab.page
    page.goto("/")
    page.get_by_role("link", name=app.group).click()
    page.get_by_role("link", name="Dead letters").nth(1).click()
    page.get_by_role("link", name="Forget 3…").click()
    page.get_by_label("Why").fill("spam")
    page.get_by_label("dropped for good").check()
    page.get_by_role("button", name="Forget 3").click()
    page.wait_for_url("**/jobs/*")
    tab.close()

    assert len(served.board.jobs.all()) == 1


def test_a_group_is_paused_and_goes_on_by_its_buttons(
    browser: Browser, served: Served, app: App, bench: Bench, desk: Desk
) -> None:
    """What is asked stands on the group's page and in the audit; a reason has to be given."""
    (orders,) = app.routes
    desk.is_down = False
    tab = Tab(browser, served)
    page = tab.page
    page.goto(f"/groups/{app.group}")
    page.get_by_role("link", name="Pause…").click()
    page.get_by_label("What").select_option(label=f"topic {orders}")
    page.get_by_role("button", name="Pause").click()
    is_asked_why = page.get_by_label("Why").evaluate("why => why.validity.valueMissing")
    page.get_by_label("Why").fill("the ledger is moved")
    page.get_by_role("button", name="Pause").click()
    page.wait_for_url("**?told=pause")
    page.get_by_text("PAUSED by local").wait_for()
    page.get_by_label("Why").fill("it is there")
    page.get_by_role("button", name=f"Resume {orders}").click()
    page.wait_for_url("**?told=resume")
    page.get_by_role("button", name=f"Resume {orders}").wait_for(state="detached")
    page.goto(f"/audit?group={app.group}")
    told = page.locator("tbody tr").all_inner_texts()
    bench.write(orders, [(b"k", NEEDS)])
    tab.close()

    assert is_asked_why is True
    assert [["pause" in row, orders in row, "local" in row] for row in told] == [[True] * 3] * 2
    assert ["lifted" in told[0], "it is there" in told[0]] == [True, True]
    assert ["given" in told[1], "the ledger is moved" in told[1]] == [True, True]
    assert eventually(lambda: desk.served) == [NEEDS]


@pytest.mark.usefixtures("served")  # its group
def test_a_viewer_has_no_buttons_and_is_refused(browser: Browser, serve: Serve, app: App) -> None:
    """Also where the address of a button is typed; the operator beside sees them."""
    guarded = serve(tokens=TOKENS)
    with guarded.client("token-of-vera-the-viewer") as client:
        shows(client, f"/groups/{app.group}", "Members")
    found = {}
    for name, token in (("vera", "token-of-vera-the-viewer"), ("otto", "token-of-otto-the-operator")):
        tab = Tab(browser, guarded)
        page = tab.page
        page.goto("/login")
        page.get_by_label("Token").fill(token)
        page.keyboard.press("Enter")
        page.get_by_role("link", name=app.group).wait_for()
        page.goto(f"/groups/{app.group}")
        page.get_by_role("heading", name="Partitions").wait_for()
        buttons = page.get_by_role("link", name="…").all_inner_texts()
        answer = page.goto(f"/groups/{app.group}/direct?what=drain")
        assert answer is not None
        found[name] = buttons, answer.status, page.get_by_role("button", name="Drain").count()
        tab.complaints = [one for one in tab.complaints if "403" not in one]  # of the page that was refused
        tab.close()

    assert found == {"vera": ([], 403, 0), "otto": (["Pause…", "Restart…", "Drain…"], 200, 1)}
