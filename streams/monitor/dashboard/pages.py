"""How pages are made: templates, what they may call, and the files that belong to them."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from importlib.resources import files
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from streams.monitor.dashboard.charts import HEIGHT, WIDTH
from streams.monitor.dashboard.guard import visitor_of
from streams.wording import age, readable, time_of

_STATIC: Final = {"style.css": "text/css", "monitor.js": "text/javascript", "icon.svg": "image/svg+xml"}
_KEY_CHARS: Final = 80


def _static() -> dict[str, tuple[str, bytes]]:
    folder = files("streams.monitor.dashboard") / "static"
    return {name: (kind, (folder / name).read_bytes()) for name, kind in _STATIC.items()}


_FILES: Final = _static()
_VERSION: Final = hashlib.sha256(b"".join(data for _, data in _FILES.values())).hexdigest()[:12]


def static_file(request: Request) -> Response:
    """Give a file that belongs to the pages; its address changes with what is in it."""
    kind, data = _FILES.get(request.path_params["name"], ("", b""))
    if not kind:
        return Response(status_code=404)
    return Response(data, media_type=kind, headers={"Cache-Control": "public, max-age=31536000, immutable"})


def render(request: Request, name: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """Make a page."""
    board = request.app.state.board
    board.watch.visit()
    visitor = visitor_of(request)
    shared: dict[str, Any] = {
        "picture": board.watch.picture,
        "visitor": visitor,
        "has_tokens": board.access.has_tokens,
        "form_key": "" if visitor is None else board.access.form_key(visitor),
        "has_alerts": bool(board.alarms.thresholds),
        "firing": board.alarms.firing,
        "deliveries": [one.delivery for one in board.couriers],
        "masked_fields": sorted(board.mask.fields),
        "path": request.url.path,
        "now_s": time.time(),
        "cluster": board.cluster,
    }
    return HTMLResponse(_TEMPLATES.get_template(name).render(shared | values), status_code=status)


def ago(time_s: float, now_s: float) -> str:
    """Say how long ago something was."""
    return f"{age(max(0.0, now_s - time_s))} ago"


def clock(time_ms: float) -> str:
    """Give a time as ``2025-11-03 07:00:00``, in UTC."""
    text = time_of(int(time_ms))
    return "-" if text is None else text[:19].replace("T", " ")


def number(value: float | None) -> str:
    """Give a number in groups of three; a dash where there is none."""
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"


def per_second(value: float | None) -> str:
    """Give a speed."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 10 or value == 0 else f"{value:,.1f}"  # noqa: PLR2004  # below ten a tenth matters


def key_text(key: bytes | None) -> str:
    """Give a Kafka key as people read it, cut where it is long."""
    if key is None:
        return "-"
    text = str(readable(key)) or "(empty)"
    return text if len(text) <= _KEY_CHARS else f"{text[:_KEY_CHARS]}…"


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("streams.monitor.dashboard"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: Mapping[str, Any] = {
        "age": age,
        "clock": clock,
        "number": number,
        "per_second": per_second,
        "key_text": key_text,
        "readable": readable,
    }
    environment.filters.update(filters)
    environment.globals.update(ago=ago, version=_VERSION, chart_width=WIDTH, chart_height=HEIGHT)
    return environment


_TEMPLATES: Final = _environment()
