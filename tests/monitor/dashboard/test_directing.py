"""A group does as an operator asks from its page; the audit says who, what and why; nobody else may."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from streams import App
from streams.engine.directive import directive_topic
from tests.brokers import Topics
from tests.cli.shell import Shell
from tests.monitor.dashboard.board import TOKENS, Desk, Serve, bury, declare, field, shows
from tests.path.members import Bench
from tests.waiting import eventually

FREE = b"{}"
SHOP = """
from streams import App
app = App({group!r})

@app.on({topic!r})
def handle(value: bytes) -> None:
    pass
"""


@pytest.fixture
def streams(bench: Bench) -> Shell:
    """The `streams` command."""
    return Shell(bench.bootstrap)


def test_a_topic_is_paused_and_goes_on(  # noqa: PLR0917  # fixtures
    bench: Bench, topic: Topics, app: App, desk: Desk, serve: Serve, streams: Shell
) -> None:
    """Nothing of it runs meanwhile; the page says who paused it, and the command tells the same audit."""
    orders = topic()
    declare(app, orders, desk)
    member = bury(bench, app, orders, [FREE])
    served = serve(tokens=TOKENS)
    group = f"/groups/{app.group}"
    with served.client() as otto:
        otto.post("/login", data={"token": "token-of-otto-the-operator"})
        shows(otto, group, "Pause…", "Restart…", "Drain…")
        asked = otto.get(f"{group}/direct?what=pause").text
        before = streams(f"audit {app.group} --json").json["directives"]
        form = {"form_key": field(asked, "form_key"), "what": "pause", "topic": orders}
        begun = otto.post(f"{group}/direct", data={**form, "reason": "the ledger is <moved>"})
        told = shows(
            otto,
            begun.headers["location"],
            "PAUSED by otto",
            f"<button>Resume {orders}</button>",
            "0 of 1 member(s) have said",
        )
        member.until(lambda: "operator" in [reason for _, reason in member.ear.heard("paused")])
        bench.write(orders, [(b"k", FREE)] * 3)
        shows(otto, group, "<dt>Outstanding</dt><dd>3</dd>")
        was_served = len(desk.served)
        lifting = shows(otto, f"{group}/direct?what=resume&topic={orders}", f"Resume topic {orders} of {app.group}?")
        form = {"form_key": field(lifting, "form_key"), "what": "resume", "topic": orders, "reason": "it is there"}
        otto.post(f"{group}/direct", data=form)
        eventually(lambda: len(desk.served) == 4)
        again = otto.post(f"{group}/direct", data=form)
        audit = shows(otto, f"/audit?group={app.group}", "the ledger is &lt;moved&gt;", "it is there", "lifted")
        everyone = shows(otto, "/audit", app.group, "it is there")
    given = streams(f"audit {app.group} --json").json["directives"]

    assert "offsets stay committed" in asked
    assert before == []
    assert "Pause: the group is told" in told
    assert was_served == 1
    assert (again.status_code, "not paused any more" in again.text) == (400, True)
    assert [(one["kind"], one["topic"], one["lifted"], one["who"], one["why"]) for one in given] == [
        ("pause", orders, False, "otto", "the ledger is <moved>"),
        ("pause", orders, True, "otto", "it is there"),
    ]
    assert audit.count('<td data-l="what">pause</td>') == 2
    assert f'<td data-l="where">{orders}</td>' in audit
    assert "<moved>" not in audit + told + everyone


def test_what_the_command_paused_goes_on_from_the_page(  # noqa: PLR0917  # fixtures
    bench: Bench, topic: Topics, app: App, desk: Desk, serve: Serve, streams: Shell
) -> None:
    """In one step, a topic that the group does not read included; the page says who paused it and why."""
    orders = topic()
    declare(app, orders, desk)
    bury(bench, app, orders, [FREE])
    served = serve()
    group = f"/groups/{app.group}"
    streams(f"groups pause {app.group} --who ops --why moved --wait 0")
    streams(f"groups pause {app.group} --topic elsewhere --who ops --wait 0")
    with served.client() as local:
        page = shows(local, group, "PAUSED by ops", "all of it: moved", "Resume all of it", "Resume elsewhere")
        form = {"form_key": field(page, "form_key"), "what": "resume", "reason": "it is there"}
        ends = [local.post(f"{group}/direct", data={**form, "topic": name}) for name in ("elsewhere", "")]
        after = shows(local, ends[1].headers["location"], "0 of 1 member(s) have said", "Pause…")
    bench.write(orders, [(b"k", FREE)])

    assert [one.status_code for one in ends] == [303, 303]
    assert "PAUSED" not in after
    assert eventually(lambda: len(desk.served) == 2)


def test_the_page_counts_who_follows(  # noqa: PLR0917  # fixtures
    bench: Bench, topic: Topics, app: App, serve: Serve, streams: Shell, tmp_path: Path
) -> None:
    """A member that reports says so; while none runs, the page says that those that begin will follow."""
    orders = topic()
    bench.write(orders, [(b"k", FREE)])
    (tmp_path / "shop.py").write_text(SHOP.format(group=app.group, topic=orders))
    environment = {**os.environ, "STREAMS_BOOTSTRAP": bench.bootstrap, "STREAMS_STATUS_EVERY_S": "0.5"}
    served = serve()
    group = f"/groups/{app.group}"
    with (tmp_path / "log").open("wb") as log, served.client() as local:
        command = [sys.executable, "-m", "streams", "run", "shop:app"]
        member = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=log, stderr=log)
        try:
            shows(local, group, "Restart…")
            form = {"form_key": field(shows(local, f"{group}/direct?what=pause", "Why"), "form_key"), "reason": "-"}
            begun = local.post(f"{group}/direct", data={**form, "what": "pause"}).headers["location"]
            followed = shows(local, begun, "1 of 1 member(s) follow")
            local.post(f"{group}/direct", data={**form, "what": "drain"})
            local.post(f"{group}/direct", data={**form, "what": "resume"})
            ended = member.wait(60)
        finally:
            member.kill()
            member.wait()
        alone = shows(local, begun, "No member runs: those that begin follow it")

    assert "Pause: the group is told" in followed
    assert ended == 0
    assert "member(s)" not in alone
    assert streams(f"groups show {app.group} --json").json["directives"][0]["kind"] == "drain"


def test_members_are_drained_and_restarted(  # noqa: PLR0917  # fixtures
    bench: Bench, topic: Topics, app: App, desk: Desk, serve: Serve, streams: Shell
) -> None:
    """They begin anew under other names, or finish and leave; where none runs, nobody is told."""
    orders = topic()
    declare(app, orders, desk)
    member = bury(bench, app, orders, [FREE])
    served = serve()
    group = f"/groups/{app.group}"
    with served.client() as local:
        asked = shows(local, f"{group}/direct?what=restart", "Over how many seconds")
        form = {"form_key": field(asked, "form_key"), "what": "restart", "reason": "deployed"}
        odd = [local.post(f"{group}/direct", data={**form, "over": over}).status_code for over in ("soon", "-1")]
        local.post(f"{group}/direct", data={**form, "over": "3600"})
        local.post(f"{group}/direct", data={**form, "what": "drain"})
        member.passed()
        shows(local, group, "Nobody is in the group")
        shows(local, f"/audit?group={app.group}", "restart over 3600 s", ">drain<", "deployed")
        alone = local.post(f"{group}/direct", data={**form, "what": "drain"})
    given = streams(f"audit {app.group} --json").json["directives"]

    assert odd == [400, 400]
    assert (alone.status_code, "no member runs" in alone.text) == (400, True)
    assert [(one["kind"], one["value"], one["who"]) for one in given] == [
        ("restart", "3600", "local"),
        ("drain", None, "local"),
    ]


def test_who_may_only_look_directs_nothing(bench: Bench, topic: Topics, app: App, desk: Desk, serve: Serve) -> None:
    """No button is shown, what is sent all the same is refused, and so is a form of another session or site."""
    orders = topic()
    declare(app, orders, desk)
    bury(bench, app, orders, [FREE])
    served = serve(tokens=TOKENS)
    path = f"/groups/{app.group}/direct"
    form = {"what": "pause", "reason": "because"}
    with served.client("token-of-vera-the-viewer") as vera, served.client() as otto:
        page = shows(vera, f"/groups/{app.group}", app.group)
        looked, sent = vera.get(f"{path}?what=pause").status_code, vera.post(path, data=form).status_code
        unknown = otto.post(path, data=form).status_code
        otto.post("/login", data={"token": "token-of-otto-the-operator"})
        key = field(shows(otto, f"{path}?what=pause", "Why"), "form_key")
        refused = [
            otto.post(path, data=form).status_code,
            otto.post(path, data={**form, "form_key": key}, headers={"Sec-Fetch-Site": "cross-site"}).status_code,
            otto.post(path, data={**form, "form_key": key}, headers={"Origin": "http://elsewhere"}).status_code,
        ]
        wrong = [
            otto.post(path, data={**form, "form_key": key} | more).status_code
            for more in ({"reason": " "}, {"topic": "payments"}, {"what": "log_level"}, {"what": "delete"})
        ]

    assert "Pause…" not in page
    assert (looked, sent, unknown) == (403, 403, 401)
    assert refused == [403, 403, 403]
    assert wrong == [400] * 4
    assert directive_topic(app.group) not in bench.kafka.admin.list_topics(timeout=30).topics
