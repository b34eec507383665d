"""Engines broken on purpose go through the same checks: what finds nothing in them has shown nothing of the others."""

from __future__ import annotations

from typing import Final

from benchmarks.peers.catalog import OURS
from benchmarks.peers.environment import ROOT, command_of
from benchmarks.peers.promise import Records, show_loss
from benchmarks.peers.stage import Stage
from streams.bench.ground import BenchError
from streams.engine.broken import VARIABLE

_LOSES: Final = {VARIABLE: "commit-before-work"}


def check_loss_is_seen(stage: Stage, records: Records) -> int:
    """Kill an engine that commits before the work is done; give how many records it lost.

    Raises:
        BenchError: The check found none lost.
    """
    threads = next(peer for peer in OURS if peer.mode == "threads")
    lost = show_loss(stage, command_of(threads, ROOT), threads, records, _LOSES).loss.lost
    if not lost:
        raise BenchError("an engine that commits before its work lost nothing when it was killed: the check is blind")
    return lost
