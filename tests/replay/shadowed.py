"""An app whose group has a shadow: it writes down each run that ends well, and does what a record says."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from streams import App, Context, DeadLetter, RetryPolicy

ORDERS = os.environ.get("SHADOWED_ORDERS", "orders")
INVOICES = os.environ.get("SHADOWED_INVOICES", "invoices")
FOLDER = Path(os.environ.get("SHADOWED_FOLDER", "."))
JOURNAL = FOLDER / "journal"
GATE = FOLDER / "gate"
"""A record that says ``wait`` waits until this file is there."""

app = App(os.environ.get("SHADOWED_GROUP", "billing"), commit_every_s=0.1, session_timeout_s=6.0, status_every_s=1.0)


@app.on(ORDERS, retry=RetryPolicy(delays=("1s",), memory_up_to="500ms", jitter=0))
def handle(order: dict[str, Any], ctx: Context) -> DeadLetter | None:
    """Do what *order* says, and send an invoice."""
    what = order.get("do", "")
    if what == "fail" and ctx.attempt == 1:
        raise ValueError("not at the first time")
    if what == "dead":
        return DeadLetter(ValueError("never"))
    while what == "wait" and not GATE.exists():
        time.sleep(0.01)
    ctx.send(INVOICES, {"n": order["n"]})
    key, place = ctx.record.key, (ctx.record.partition, ctx.record.offset)
    line = {"replay": ctx.is_replay, "key": None if key is None else key.decode(), "place": place, "n": order["n"]}
    with JOURNAL.open("ab", buffering=0) as journal:
        journal.write(json.dumps(line).encode() + b"\n")
    return None
