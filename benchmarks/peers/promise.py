"""Shows what each framework keeps: order in a run of its own, and what a SIGKILL in the middle of its work loses."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from benchmarks.peers.answer import Errand
from benchmarks.peers.catalog import Peer
from benchmarks.peers.journal import Loss, Order, at_once, disordered, handled, loss_of, order_of, read_journal
from benchmarks.peers.stage import Stage
from streams.bench.ground import BenchError
from streams.errors import BrokerError
from streams.kafka.admin import Admin
from streams.kafka.offsets import committed

_WAIT_MS: Final = 10.0
_LOOK_EVERY_S: Final = 0.2
_KILLED_WITHIN_S: Final = 120.0
_SILENCE_S: Final = 40.0
"""A worker that handled nothing for so long handles nothing more: a dead member's session is 6 s."""


class Records(NamedTuple):
    """What a topic holds."""

    topic: str
    partitions: int
    expected: list[tuple[str, int]]
    """Key and number of each."""


class KeptOrder(NamedTuple):
    """An order check and its negative control."""

    sound: Order
    control: Order
    """Of the same journal, each block backwards."""
    records: int

    @property
    def is_kept(self) -> bool:
        """Every record came once, in the order of its key."""
        return self.sound.violations == 0 and self.sound.checked == self.records

    @property
    def is_seen(self) -> bool:
        """The check reported the disordered journal: it is able to see."""
        return self.control.violations > 0


class Survival(NamedTuple):
    """What a kill did."""

    loss: Loss
    at_once: int
    """Handlers that were under way at the same time before it, at most."""


def show_order(
    stage: Stage, command: list[str], peer: Peer, records: Records, environment: Mapping[str, str] | None = None
) -> KeptOrder:
    """Run *peer* over *records* with handlers that write down when they begin and end."""
    errand = stage.errand(peer, records.topic, records.partitions, "told", len(records.expected))
    stage.run(command, errand, environment)
    entries = read_journal(Path(errand.journal))
    return KeptOrder(order_of(entries), order_of(disordered(entries)), len(records.expected))


def show_loss(
    stage: Stage, command: list[str], peer: Peer, records: Records, environment: Mapping[str, str] | None = None
) -> Survival:
    """Kill *peer* in the middle of *records*, start it again, and count what was never handled.

    Raises:
        BenchError: It handled nothing, or all, or committed nothing, before it could be killed.
    """
    endless = stage.errand(peer, records.topic, records.partitions, "told", 0)
    errand = msgspec.structs.replace(endless, wait_ms=_WAIT_MS)
    with stage.started(command, errand, environment) as process:
        _await_middle(stage, errand, records, process)
    journal = Path(errand.journal)
    before = read_journal(journal)
    with stage.started(command, errand, environment) as process:
        _await_end(journal, len(records.expected), process)
    return Survival(loss_of(records.expected, read_journal(journal)), at_once(before))


def _await_middle(stage: Stage, errand: Errand, records: Records, process: subprocess.Popen[bytes]) -> None:
    """Wait until something is committed and something else is under way."""
    journal, total = Path(errand.journal), len(records.expected)
    give_up = time.monotonic() + _KILLED_WITHIN_S
    with Admin(stage.place.settings) as admin:
        while time.monotonic() < give_up and process.poll() is None:
            time.sleep(_LOOK_EVERY_S)
            if _has_committed(admin, errand.group):
                break
        else:
            raise BenchError(f"nothing was committed within {_KILLED_WITHIN_S:g} s; what a kill loses is not shown")
    ended = handled(read_journal(journal))
    if not 0 < ended < total:
        raise BenchError(f"{ended:,} of {total:,} records had ended when it was to be killed; nothing is shown")


def _has_committed(admin: Admin, group: str) -> bool:
    try:
        return any(place.offset > 0 for place in committed(admin, group).values())
    except BrokerError as error:
        if isinstance(error.__cause__, UnicodeDecodeError):  # a commit with metadata that is no text
            return True
        raise


def _await_end(journal: Path, total: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until all was handled, or nothing more is."""
    size, give_up = -1, time.monotonic() + _SILENCE_S
    while time.monotonic() < give_up and process.poll() is None:
        time.sleep(_LOOK_EVERY_S)
        if journal.stat().st_size != size:
            size, give_up = journal.stat().st_size, time.monotonic() + _SILENCE_S
            if handled(read_journal(journal)) >= total:
                return
