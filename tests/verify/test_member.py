"""A watched handler ends as the app's own does, and says so in the journal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from streams import App, Skip, Stop
from streams.kafka.message import make_message
from streams.outcome import Ack
from streams.verify.member import Watch


@pytest.mark.parametrize("given", [None, Skip("not ours")])
def test_one_success_in_eight_is_raised(given: Skip | None, tmp_path: Path) -> None:
    """All others, and all that is no plain success, are given back as they are; each is noted as ended."""
    app = App("billing")

    @app.on("orders")
    def handle(_order: bytes) -> Skip | None:
        return given

    route = app.routes["orders"]
    watched = Watch(route, route.retry, tmp_path).wrapped(route)
    ends: list[Any] = []
    for offset in range(16):
        message = make_message("orders", 0, offset, value=b"{}")
        try:
            ends.append(watched.handler(watched.decode(message)))
        except Stop as stop:
            ends.append(stop)
    raised = [offset for offset, end in enumerate(ends) if isinstance(end, Stop)]
    (journal,) = tmp_path.iterdir()
    steps = [line.split()[0] for line in journal.read_text().splitlines()]

    assert raised == ([0, 8] if given is None else [])
    assert all(isinstance(ends[offset].outcome, Ack) for offset in raised)
    assert [end for offset, end in enumerate(ends) if offset not in raised] == [given] * (16 - len(raised))
    assert sum(step.startswith("END") for step in steps) == 16
