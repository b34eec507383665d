"""Engines broken on purpose go through the same checks: what finds nothing in them has shown nothing of the others."""

from __future__ import annotations

from typing import NamedTuple

from benchmarks.peers.catalog import OURS, Peer
from benchmarks.peers.environment import ROOT, command_of
from benchmarks.peers.promise import Records, show_loss, show_order
from benchmarks.peers.stage import Stage
from streams.bench.ground import BenchError
from streams.engine.broken import VARIABLE


class Controls(NamedTuple):
    """What the checks found in the broken engines."""

    violations: int
    """Of one that reverses what it read together."""
    lost: int
    """By one that commits before the work is done, when it was killed."""


def run_controls(stage: Stage, ordered: Records, killed: Records) -> Controls:
    """Check the order of one broken engine, and kill another.

    Raises:
        BenchError: A check found nothing: it is blind.
    """
    inline, threads = _ours("inline"), _ours("threads")
    kept = show_order(stage, command_of(inline, ROOT), inline, ordered, {VARIABLE: "reverse-order"})
    survival = show_loss(stage, command_of(threads, ROOT), threads, killed, {VARIABLE: "commit-before-work"})
    return seen(Controls(kept.sound.violations, survival.loss.lost))


def seen(controls: Controls) -> Controls:
    """Give *controls* back if both checks found something.

    Raises:
        BenchError: One is blind.
    """
    if not controls.violations:
        raise BenchError("an engine that reverses what it read was found in order: the check is blind")
    if not controls.lost:
        raise BenchError("an engine that commits before its work lost nothing when it was killed: the check is blind")
    return controls


def _ours(mode: str) -> Peer:
    return next(peer for peer in OURS if peer.mode == mode)
