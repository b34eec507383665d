"""Whoever was named is told what a group on a real broker needs, and the pages say how that stands."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from streams import App
from streams.monitor.dashboard.targets import read_targets
from streams.monitor.dashboard.thresholds import read_thresholds
from tests.brokers import Topics
from tests.monitor.dashboard.board import Desk, Serve, bury, declare, field, shows
from tests.monitor.dashboard.receiver import Receiver
from tests.path.members import Bench
from tests.waiting import eventually

NEEDS = json.dumps({"needs": "desk"}).encode()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A web server that takes notices."""
    receiver = Receiver()
    yield receiver
    receiver.stop()


def test_dead_letters_are_told_when_they_come_and_when_they_are_done(  # noqa: PLR0917  # fixtures
    bench: Bench, topic: Topics, app: App, desk: Desk, serve: Serve, receiver: Receiver
) -> None:
    """Once each, though looks go on; the page of alerts and the probe count both."""
    orders = topic()
    declare(app, orders, desk)
    bury(bench, app, orders, [NEEDS, NEEDS])
    served = serve(
        thresholds=read_thresholds([f"{app.group}:dead_letters>1 for 300ms", f"{app.group}:lag>1000"]),
        targets=read_targets([f"http://{receiver.place}/hook?token=hush"]),
    )
    path = f"/groups/{app.group}/letters"
    with served.client() as client:
        eventually(lambda: receiver.documents)
        firing = shows(client, "/alerts", "dead_letters&gt;1 for 300ms", "was taken", f'href="/groups/{app.group}"')
        health = client.get("/healthz").json()["alerts"]
        asked = shows(client, f"{path}/act?verb=forget", "Forget 2 dead letters")
        form = {name: field(asked, name) for name in ("form_key", "verb", "choice", "shown")}
        begun = client.post(f"{path}/act", data={**form, "reason": "spam", "sure": "yes"})
        shows(client, begun.headers["location"], "Done.")
        eventually(lambda: len(receiver.documents) >= 2)
        over = shows(client, "/alerts", "was taken")
        seen = served.board.watch.picture.number
        eventually(lambda: served.board.watch.picture.number > seen + 3)
    first, second = receiver.documents

    assert (first["kind"], first["group"], first["value"]) == ("firing", app.group, 2)
    assert first["text"].endswith("2 dead letters to decide about")
    assert (second["kind"], second["group"]) == ("resolved", app.group)
    assert health == {
        "firing": 1,
        "notices_sent": 1,
        "notices_waiting": 0,
        "notices_failed": 0,
        "failing_targets": 0,
    }
    assert "hush" not in firing
    assert f'href="/groups/{app.group}"' not in over


def test_a_target_that_takes_nothing_is_told_on_every_page(  # noqa: PLR0917  # fixtures
    bench: Bench, topic: Topics, app: App, desk: Desk, serve: Serve, receiver: Receiver
) -> None:
    """With what it answers, and how many were given up; the watch looks on."""
    receiver.codes += [404] * 9
    orders = topic()
    declare(app, orders, desk)
    bury(bench, app, orders, [NEEDS])
    served = serve(
        thresholds=read_thresholds([f"{app.group}:dead_letters>0 for 0s"]),
        targets=read_targets([f"http://ann:hush@{receiver.place}/hush"]),
    )
    with served.client() as client:
        page = shows(client, "/", "Notices don't reach", "it answers 404", "1 were given up")
        health = client.get("/healthz").json()
    seen = served.board.watch.picture.number

    assert (health["ok"], health["alerts"]["failing_targets"], health["alerts"]["notices_failed"]) == (True, 1, 1)
    assert "hush" not in page
    assert eventually(lambda: served.board.watch.picture.number > seen + 2)


def test_where_nobody_is_named_the_page_says_how(serve: Serve) -> None:
    """And no page leads to it."""
    with serve().client() as client:
        groups, alerts = client.get("/").text, client.get("/alerts").text

    assert "None are named" in alerts
    assert "/alerts" not in groups
