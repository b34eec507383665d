"""The pages, over real HTTP, of groups on a real broker: what they show is what the commands show."""

from __future__ import annotations

import json
import threading

import pytest

from streams import App
from streams.dev.ports import HOST, free_ports
from streams.engine.command import control_topic
from tests.brokers import Topics
from tests.cli.shell import Shell
from tests.monitor.dashboard.board import TOKENS, Desk, Serve, Served, bury, declare, field, shows
from tests.path.members import Bench
from tests.waiting import eventually

CARD = "4111222233334444"
NEEDS = json.dumps({"needs": "desk", "card": CARD, "total": 7}).encode()
FREE = b'{"total": 7}'


@pytest.fixture
def streams(bench: Bench) -> Shell:
    """The `streams` command."""
    return Shell(bench.bootstrap)


def test_a_group_is_shown_as_status_tells_it(  # noqa: PLR0917  # fixtures
    bench: Bench, topic: Topics, app: App, desk: Desk, serve: Serve, streams: Shell
) -> None:
    """The same numbers, partition by partition, with its members and its hint."""
    orders = topic(partitions=3)
    declare(app, orders, desk)
    bury(bench, app, orders, [NEEDS, FREE, NEEDS, FREE, NEEDS])
    served = serve()
    with served.client() as client:
        page = shows(client, "/", app.group, "3 dead letters to decide about")
        own = shows(client, f"/groups/{app.group}", f"{orders}/0", "Members")
    (told,) = streams(f"status {app.group} --json").json["groups"]
    view = served.board.watch.picture.groups[app.group]

    assert (view.dead, view.outstanding, len(view.members)) == (3, 0, 1)
    assert (told["dead_letters"], told["outstanding"], told["members"]) == (3, 0, 1)
    assert sum(view.chain_of(place, "dlq") for place in view.standing.progress) == 3
    assert f'href="/groups/{app.group}/letters"' in page
    assert own.count('<th scope="row">' + orders) == 3


def test_what_stands_still_is_seen_at_once(bench: Bench, topic: Topics, app: App, desk: Desk, serve: Serve) -> None:
    """A group whose members are gone while records wait stands first, and its partitions say at which record."""
    orders = topic()
    declare(app, orders, desk)
    member = bury(bench, app, orders, [FREE])
    member.stop()
    bench.write(orders, [(b"k", FREE)] * 4)
    served = serve()
    with served.client() as client:
        shows(client, "/", app.group, "nobody works on it: 4 wait and no member runs")
        own = shows(client, f"/groups/{app.group}", f"/records/{orders}/0/1")

    assert "Nobody is in the group" in own


def test_dead_letters_are_retried_from_the_page(  # noqa: PLR0917  # fixtures
    bench: Bench, topic: Topics, app: App, desk: Desk, serve: Serve, streams: Shell
) -> None:
    """It shows how many and which kinds first; nothing is done by looking; the audit says who and why."""
    orders = topic()
    declare(app, orders, desk)
    bury(bench, app, orders, [NEEDS, FREE, NEEDS])
    served = serve(tokens=TOKENS)
    with served.client() as otto:
        otto.post("/login", data={"token": "token-of-otto-the-operator"})
        shows(otto, f"/groups/{app.group}/letters", f"{orders}/0/0", f"{orders}/0/2")
        asked = otto.get(f"/groups/{app.group}/letters/act?verb=retry&error=refused").text
        before = streams(f"audit {app.group} --json").json["answers"]
        desk.is_down = False
        form = {name: field(asked, name) for name in ("form_key", "verb", "choice", "shown")}
        begun = otto.post(f"/groups/{app.group}/letters/act", data={**form, "reason": "the desk is back"})
        shows(otto, begun.headers["location"], "Done.", "<dt>Retried</dt><dd>2</dd>")
        shows(otto, f"/groups/{app.group}/letters", "There are none.")
        audit = shows(otto, f"/audit?group={app.group}", "2 retried")
    eventually(lambda: len(desk.served) >= 3)  # told once their copies are written
    (answer,) = streams(f"audit {app.group} --json").json["answers"]

    assert "Retry 2 dead letters of 2 keys?" in asked
    assert "ConnectionError: card" in asked
    assert before == []
    assert (answer["who"], answer["why"], answer["verb"]) == ("otto", "the desk is back", "retry")
    assert "the desk is back" in audit
    assert desk.served == [FREE, NEEDS, NEEDS]


def test_one_letter_is_forgotten_and_the_others_stay(
    bench: Bench, topic: Topics, app: App, desk: Desk, serve: Serve
) -> None:
    """Only when it was ticked that it is for good, with a reason."""
    orders = topic()
    declare(app, orders, desk)
    bury(bench, app, orders, [NEEDS, NEEDS, NEEDS])
    served = serve()
    path = f"/groups/{app.group}/letters"
    with served.client() as local:
        shows(local, path, f"{orders}/0/1")
        asked = local.get(f"{path}/act", params={"verb": "forget", "origin": f"{orders}/0/1"}).text
        form = {name: field(asked, name) for name in ("form_key", "verb", "choice", "shown")}
        refusals = [local.post(f"{path}/act", data=form | more) for more in ({"reason": "spam"}, {"sure": "yes"})]
        done = local.post(f"{path}/act", data={**form, "reason": "spam", "sure": "yes"})
        shows(local, done.headers["location"], "Done.", "<dt>Forgotten</dt><dd>1</dd>")
        left = shows(local, path, "<strong>2</strong>")

    assert "Forget 1 dead letter of 1 key?" in asked
    assert [one.status_code for one in refusals] == [400, 400]
    assert "for good" in refusals[0].text
    assert "say why" in refusals[1].text
    assert f"{orders}/0/1<" not in left
    assert f"{orders}/0/0<" in left


def test_who_may_only_look_can_do_nothing(bench: Bench, topic: Topics, app: App, desk: Desk, serve: Serve) -> None:
    """No button is shown, and what is sent all the same is refused; the control topic is not even made."""
    orders = topic()
    declare(app, orders, desk)
    bury(bench, app, orders, [NEEDS])
    served = serve(tokens=TOKENS)
    path = f"/groups/{app.group}/letters"
    with served.client("token-of-vera-the-viewer") as vera, served.client("token-of-otto-the-operator") as otto:
        page = shows(vera, path, f"{orders}/0/0")
        form = {"verb": "retry", "choice": "", "shown": "9", "reason": "because"}
        refused = [
            vera.post(f"{path}/act", data=form).status_code,
            vera.get(f"{path}/act?verb=retry").status_code,
            vera.post("/jobs/x/stop", data={}).status_code,
        ]
        shown = otto.get(path).text

    assert refused == [403, 403, 403]
    assert "Retry" not in page
    assert "Retry" in shown
    assert control_topic(app.group) not in bench.kafka.admin.list_topics(timeout=30).topics


def test_what_is_asked_of_a_stopped_group_says_so(
    bench: Bench, topic: Topics, app: App, desk: Desk, serve: Serve
) -> None:
    """It waits until a member runs, and is done then."""
    orders = topic()
    declare(app, orders, desk)
    bury(bench, app, orders, [NEEDS]).stop()
    served = serve()
    with served.client() as local:
        shows(local, f"/groups/{app.group}/letters", f"{orders}/0/0")
        asked = shows(local, f"/groups/{app.group}/letters/act?verb=retry", "No member of the group runs")
        form = {name: field(asked, name) for name in ("form_key", "verb", "choice", "shown")}
        begun = local.post(f"/groups/{app.group}/letters/act", data={**form, "reason": "later"})
        shows(local, begun.headers["location"], "is done as soon as a member runs")
        desk.is_down = False
        bench.run(app)
        shows(local, f"/groups/{app.group}/letters", "There are none.")

    assert eventually(lambda: desk.served) == [NEEDS]


def test_masked_fields_are_shown_to_an_administrator_alone(
    bench: Bench, topic: Topics, app: App, desk: Desk, serve: Serve
) -> None:
    """In the list, the letter with its stack, the journey, the question, the export; a filter finds no secret."""
    orders = topic()
    declare(app, orders, desk)
    bury(bench, app, orders, [NEEDS])
    served = serve(tokens=TOKENS, mask=["card"])
    group = f"/groups/{app.group}"
    paths = [
        f"{group}/letters",
        f"{group}/letters/{orders}/0/0",
        f"{group}/records/{orders}/0/0",
        f"{group}/letters/act?verb=retry",
        f"{group}/letters/export",
        f"{group}/letters?error={CARD[:8]}",
        "/letters",
    ]
    with served.client("token-of-otto-the-operator") as otto, served.client("token-of-anna-the-admin") as anna:
        shows(anna, paths[0], f"{orders}/0/0")
        below = {path: otto.get(path).text for path in paths}
        above = {path: anna.get(path).text for path in paths}

    assert [path for path, text in below.items() if CARD in text] == []
    assert [path for path, text in above.items() if CARD in text] == paths
    assert "None of them fits" in below[paths[5]]
    assert json.loads(below[paths[4]])["value"] == {"needs": "desk", "card": "•••", "total": 7}
    assert json.loads(above[paths[4]])["value"]["card"] == CARD


def test_what_is_exported_is_what_the_command_exports(  # noqa: PLR0917  # fixtures
    bench: Bench, topic: Topics, app: App, desk: Desk, serve: Serve, streams: Shell
) -> None:
    """Byte for byte, of all and of those that a filter chooses."""
    orders = topic()
    declare(app, orders, desk)
    bury(bench, app, orders, [NEEDS, FREE, NEEDS])
    served = serve()
    with served.client() as client:
        shows(client, f"/groups/{app.group}/letters", f"{orders}/0/2")
        whole = client.get(f"/groups/{app.group}/letters/export")
        one = client.get(f"/groups/{app.group}/letters/export", params={"key": "k2"}).content

    assert whole.content == streams(f"dlq export {app.group}").raw
    assert one == streams(f"dlq export {app.group} --key k2").raw
    assert one.count(b"\n") == 1
    assert "attachment" in whole.headers["content-disposition"]


def test_a_journey_is_the_one_that_why_tells(  # noqa: PLR0917  # fixtures
    bench: Bench, topic: Topics, app: App, desk: Desk, serve: Serve, streams: Shell
) -> None:
    """Done, dead, and not there yet; of a key, what waits of it."""
    orders = topic()
    declare(app, orders, desk)
    bury(bench, app, orders, [NEEDS, FREE])
    served = serve()
    pages, states = [], []
    with served.client() as client:
        shows(client, f"/groups/{app.group}/letters", f"{orders}/0/0")
        for offset in range(3):
            pages.append(client.get(f"/groups/{app.group}/records/{orders}/0/{offset}").text)
            states.append(streams(f"why {app.group} --record {orders}/0/{offset} --json").json["state"])
        key = client.get(f"/groups/{app.group}/key?key=k0").text
        nowhere = client.get(f"/groups/{app.group}/records/{orders}/7/0").status_code

    assert states == ["dead-lettered", "done", "absent"]
    assert all(f"<strong>{state}</strong>" in page for state, page in zip(states, pages, strict=True))
    assert "a dead letter after 1 attempt(s)" in pages[0]
    assert f"{orders}/0/0" in key
    assert "dead-lettered" in key
    assert nowhere == 502


def test_a_search_leads_to_the_page(bench: Bench, topic: Topics, app: App, desk: Desk, serve: Serve) -> None:
    """A group by its name, a record by its place, a key by what is dead of it."""
    orders = topic()
    declare(app, orders, desk)
    bury(bench, app, orders, [NEEDS])
    served = serve()
    with served.client() as client:
        shows(client, f"/groups/{app.group}/letters", f"{orders}/0/0")
        leads = [client.get("/search", params={"q": text}) for text in (app.group, f"{orders}/0/0")]
        key = client.get("/search", params={"q": "k0"}).text
        part = client.get("/search", params={"q": app.group[3:]}).text

    assert [one.headers["location"] for one in leads] == [
        f"/groups/{app.group}",
        f"/groups/{app.group}/records/{orders}/0/0",
    ]
    assert f"/groups/{app.group}/letters/{orders}/0/0" in key
    assert f"/groups/{app.group}/key?key=k0" in key
    assert f'<a href="/groups/{app.group}">' in part


def test_a_plan_is_shown_and_nothing_changes(  # noqa: PLR0917  # fixtures
    bench: Bench, topic: Topics, app: App, desk: Desk, serve: Serve, streams: Shell
) -> None:
    """What would run again, as the command says it, which carries it out."""
    orders = topic()
    declare(app, orders, desk)
    bury(bench, app, orders, [FREE] * 5).stop()
    served = serve()
    with served.client() as client:
        shows(client, "/", app.group)
        page = client.get(f"/groups/{app.group}/replay", params={"to": "beginning"}).text
        odd = client.get(f"/groups/{app.group}/replay", params={"to": "time", "value": "soon"}).text
    told = streams(f"replay plan {app.group} --to-beginning --json").json

    assert "<strong>5</strong> records would run again" in page
    assert f"streams replay start {app.group} --to-beginning --yes" in page
    assert (told["again"], told["applied"]) == (5, False)
    assert "is no time" in odd


def test_pages_that_listen_are_told_of_each_look(serve: Serve) -> None:
    """And one that leaves counts as watching no more."""
    served = serve()
    heard: list[str] = []
    with served.client() as client, client.stream("GET", "/events") as answer:
        lines = answer.iter_lines()
        while len(heard) < 3:
            heard += [line for line in [next(lines)] if line.startswith("data:")]
        was_watched = served.board.watch._open_pages  # noqa: SLF001  # what nobody else needs to know

    assert answer.headers["content-type"].startswith("text/event-stream")
    assert [int(line[5:]) for line in heard] == sorted({int(line[5:]) for line in heard})
    assert was_watched == 1


def test_a_broker_that_is_away_is_told_and_the_pages_stay() -> None:
    """What was seen last is shown, with the reason; the end of the dashboard is quick."""
    served = Served(f"{HOST}:{free_ports(1)[0]}")
    try:
        with served.client() as client:
            page = shows(client, "/", "The last look failed", "no broker answers")
            health = client.get("/healthz").json()
    finally:
        served.stop()

    assert "streams dev up" in page
    assert health == {"ok": True, "seconds_since_look": None, "trouble": True}
    assert not [one for one in threading.enumerate() if one.name == "streams-watch"]
