"""What all pages share."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs

from starlette.requests import Request

from streams.config import Settings
from streams.errors import UsageError
from streams.monitor.dashboard.access import Access
from streams.monitor.dashboard.alarms import Alarms
from streams.monitor.dashboard.courier import Courier
from streams.monitor.dashboard.guard import MOST_BYTES, visitor_of
from streams.monitor.dashboard.jobs import Jobs
from streams.monitor.dashboard.masking import Mask
from streams.monitor.dashboard.picture import GroupView
from streams.monitor.dashboard.reading import Reading
from streams.monitor.dashboard.watch import Watch
from streams.monitor.scaler import Scaler
from streams.record import Partition

_ORIGIN: Final = re.compile(r"([^/]+)/([0-9]{1,10})/([0-9]{1,18})")
_MOST_FIELDS: Final = 1_000


class NotFoundError(UsageError):
    """There is nothing at this address."""


class ForbiddenError(UsageError):
    """This visitor may not do that."""


@dataclass
class Board:
    """Everything that a page may need; one for each server."""

    settings: Settings
    watch: Watch
    access: Access
    mask: Mask
    jobs: Jobs
    reading: Reading
    cluster: str
    """Where it is, as pages name it."""
    alarms: Alarms
    couriers: Sequence[Courier]
    """One for each target of notices."""
    scaler: Scaler
    schemas: Path | None = None
    """The folder of the contracts; None where none is shown."""


def board_of(request: Request) -> Board:
    """Give what the pages share."""
    board: Board = request.app.state.board
    return board


def group_of(request: Request) -> GroupView:
    """Give the group of the address.

    Raises:
        NotFoundError: There is none of that name.
    """
    name, watch = request.path_params["group"], board_of(request).watch
    found = watch.picture.groups.get(name)
    if found is None:
        watch.discover()
        raise NotFoundError(f"No group of streams is called {name!r} here, as of the last look.")
    return found


def place_in(request: Request) -> tuple[Partition, int]:
    """Give the place of the address."""
    values = request.path_params
    return Partition(values["topic"], int(values["partition"])), int(values["offset"])


def origin_in(text: str) -> tuple[Partition, int] | None:
    """Read ``topic/partition/offset``; None where it is none."""
    match = _ORIGIN.fullmatch(text)
    return None if match is None else (Partition(match[1], int(match[2])), int(match[3]))


def key_in(text: str) -> bytes:
    """Read a Kafka key: text, or hexadecimal digits after ``hex:``.

    Raises:
        UsageError: They are none.
    """
    if not text.startswith("hex:"):
        return text.encode()
    try:
        return bytes.fromhex(text.removeprefix("hex:"))
    except ValueError:
        raise UsageError("what follows 'hex:' must be pairs of hexadecimal digits") from None


async def form_of(request: Request) -> Mapping[str, Sequence[str]]:
    """Read a form's fields.

    Raises:
        UsageError: It is too large.
    """
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MOST_BYTES:
            raise UsageError(f"a form of more than {MOST_BYTES:,} bytes is not read")
    return parse_qs(body.decode(errors="replace"), keep_blank_values=True, max_num_fields=_MOST_FIELDS)


def first(fields: Mapping[str, Sequence[str]], name: str) -> str:
    """Give the first value of a field; "" where there is none."""
    return fields.get(name, [""])[0]


def require_operator(request: Request) -> None:
    """Hold that an operator asks.

    Raises:
        ForbiddenError: It is somebody who may look.
    """
    if not visitor_of(request).may_act:
        raise ForbiddenError("Only an operator may act on dead letters and groups.")


def require_own(request: Request, form: Mapping[str, Sequence[str]]) -> None:
    """Hold that an operator sent *form*, from a page of the dashboard.

    Raises:
        ForbiddenError: It was somebody else, or another site.
    """
    require_operator(request)
    if not board_of(request).access.is_own_form(visitor_of(request), first(form, "form_key")):
        raise ForbiddenError("This form is of an earlier session, or of another site; nothing was done. Open it anew.")
