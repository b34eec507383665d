"""Hints for scalers: ``/scale/<group>`` for those that ask, ``/metrics`` for Prometheus.

A goal stands in the address that asks, so that it is declared where the replicas are.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from streams.errors import ConfigError
from streams.monitor.dashboard.board import board_of
from streams.monitor.scaler import Scaler
from streams.scaling.hint import Goal, hint_document

_NAMES: Final[Mapping[str, str]] = {
    "drain": "drain_s",
    "min": "min_replicas",
    "max": "max_replicas",
    "headroom": "headroom",
    "keep_for": "keep_for_s",
    "wake_every": "wake_every_s",
}
"""What an address may say of a goal, and the field."""
_WHOLE: Final = frozenset({"min", "max"})


def scale(request: Request) -> Response:
    """Answer a scaler: KEDA's metrics-api reads ``desired``; 503 where nobody can tell, so that it leaves what is."""
    group, scaler = request.path_params["group"], board_of(request).scaler
    try:
        one = scaler.ask(group, goal_of(request.query_params))
    except ConfigError as error:
        return JSONResponse({"group": group, "desired": None, "reason": "; ".join(error.faults)}, status_code=400)
    if one.hint is None or one.signals is None:
        return JSONResponse({"group": group, "desired": None, "reason": one.trouble or "not looked at yet"}, 503)
    return JSONResponse(hint_document(group, one.signals, one.hint), 200 if one.hint.desired is not None else 503)


def goal_of(asked: Mapping[str, str]) -> Goal:
    """Read a goal from an address.

    Raises:
        ConfigError: Something in it is no goal; all faults are listed.
    """
    values: dict[str, float] = {}
    parts = ", ".join(_NAMES)
    faults = [f"{name}: no part of a goal; there are {parts}" for name in asked.keys() - _NAMES.keys()]
    for name in asked.keys() & _NAMES.keys():
        try:
            values[_NAMES[name]] = int(asked[name]) if name in _WHOLE else float(asked[name])
        except ValueError:
            faults.append(f"{name}: {asked[name]!r} is no {'whole ' if name in _WHOLE else ''}number")
    if faults:
        raise ConfigError(sorted(faults))
    return Goal(**values).checked()  # type: ignore[arg-type]  # whole where they have to be


def metrics(request: Request) -> Response:
    """Show the hints that were asked for to Prometheus."""
    registry = CollectorRegistry()
    registry.register(_Hints(board_of(request).scaler))
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


class _Hints(Collector):
    """The hints as metrics; what is unknown is absent."""

    def __init__(self, scaler: Scaler) -> None:
        self._scaler = scaler

    def collect(self) -> Iterator[Metric]:
        """Give one sample for each group and goal."""
        desired = GaugeMetricFamily(
            "streams_scale_desired_replicas",
            "Replicas that the group should have, damped; absent while unknown.",
            labels=("group", "drain_seconds"),
        )
        wanted = GaugeMetricFamily(
            "streams_scale_wanted_replicas",
            "Replicas that the group's work alone would take, before bounds and damping; absent while unknown.",
            labels=("group", "drain_seconds"),
        )
        for group, goal, one in self._scaler.all():
            labels = (group, f"{goal.drain_s:g}")
            if one.hint is not None and one.hint.desired is not None:
                desired.add_metric(labels, one.hint.desired)
            if one.hint is not None and not math.isnan(one.hint.wanted):
                wanted.add_metric(labels, one.hint.wanted)
        yield desired
        yield wanted
