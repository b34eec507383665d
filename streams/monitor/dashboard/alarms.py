"""Which thresholds are crossed by which groups, and when somebody has to be told of it."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import orjson

from streams.monitor.dashboard.hint import hint
from streams.monitor.dashboard.picture import Picture
from streams.monitor.dashboard.thresholds import HOLD_S, LOOK_AGE, Threshold, told
from streams.wording import age, time_of

Kind: TypeAlias = Literal["firing", "still_firing", "resolved"]

REMIND_S: Final = 4 * 3600.0
"""Who was told that a threshold is crossed is told again so often while it is."""
_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Notice:
    """What somebody is told."""

    id: str
    """Random; the same however often it has to be sent."""
    kind: Kind
    threshold: Threshold
    group: str
    """Empty where it is about the cluster."""
    value: float | None
    """None where the group is gone."""
    since_s: float
    """Since when it is, or was, crossed: seconds since 1970."""
    time_s: float
    """When this was found, seconds since 1970."""
    needs: str = ""
    """What the group needs, as its page says."""
    cluster: str = ""

    @property
    def text(self) -> str:
        """Give it in one line."""
        where, measure = self.group or "the cluster", self.threshold.measure
        for_s = age(self.time_s - self.since_s)
        if self.kind == "resolved":
            now = f"{measure.name} is {told(self.value, measure.unit)}" if self.value is not None else "it is gone"
            return f"{where}: no more {self.threshold.text}, after {for_s}: {now}"
        value = f"{measure.name} is {told(self.value, measure.unit)}"
        return f"{where}: {value} ({self.threshold.text}), for {for_s}" + (f"; {self.needs}" if self.needs else "")

    @property
    def document(self) -> dict[str, Any]:
        """Give it as it is sent."""
        return {
            "version": 1,
            "id": self.id,
            "kind": self.kind,
            "text": self.text,
            "alert": self.threshold.text,
            "group": self.group or None,
            "measure": self.threshold.measure.name,
            "unit": self.threshold.measure.unit or None,
            "value": self.value,
            "bound": self.threshold.bound,
            "since": time_of(int(self.since_s * 1000)),
            "time": time_of(int(self.time_s * 1000)),
            "needs": self.needs or None,
            "cluster": self.cluster,
        }

    def pack(self) -> bytes:
        """Give it as JSON."""
        return orjson.dumps(self.document)


@dataclass(slots=True)
class _Alarm:
    """One threshold at one group: about to begin, firing, or about to end; at rest there is none."""

    since_s: float
    """When it was found crossed first, seconds since 1970."""
    is_firing: bool = False
    turning_s: float | None = None
    """Since when, by the clock that goes on, the value says otherwise than what was told."""
    told_s: float = 0.0
    value: float | None = None

    @property
    def is_at_rest(self) -> bool:
        """There is nothing to remember."""
        return not self.is_firing and self.turning_s is None

    def see(self, threshold: Threshold, value: float | None, now_s: float) -> Kind | None:
        """Take in a value, None of a group that is gone; give what has to be told of it."""
        self.value = value
        is_crossed = value is not None and threshold.is_crossed(value)
        if is_crossed == self.is_firing:
            self.turning_s = None
            return "still_firing" if is_crossed and now_s >= self.told_s + REMIND_S else None
        if self.turning_s is None:
            self.turning_s = now_s
        if now_s < self.turning_s + (threshold.hold_s if is_crossed else min(threshold.hold_s, HOLD_S)):
            return None
        self.is_firing, self.turning_s = is_crossed, None
        return "firing" if is_crossed else "resolved"


@dataclass(frozen=True, slots=True)
class Firing:
    """A threshold that is crossed, as a page shows it."""

    threshold: Threshold
    group: str
    value: float | None
    since_s: float

    @property
    def told(self) -> str:
        """The value as a person reads it."""
        return told(self.value, self.threshold.measure.unit)


class Alarms:
    """Owned by the watch's thread; others take `firing`, which never changes once given.

    Always true: each threshold and group is told of once when it begins, once
    when it ends, and at most every `REMIND_S` in between.  A value that is not
    known changes nothing.
    """

    def __init__(
        self,
        thresholds: Sequence[Threshold],
        tell: Callable[[Notice], None],
        *,
        cluster: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Hold pictures against *thresholds*; *tell* is called in the watch's thread, and must not block."""
        self.thresholds = tuple(thresholds)
        self.firing: tuple[Firing, ...] = ()
        self._tell = tell
        self._cluster = cluster
        self._clock = clock
        self._begun_s = time.time()
        self._alarms: dict[tuple[Threshold, str], _Alarm] = {}

    def hear(self, picture: Picture) -> None:
        """Take in what one look found."""
        try:
            self._hear(picture)
        except Exception:  # noqa: BLE001  # whatever it is, the watch goes on, and the next look may go well
            _LOG.exception("alerts could not be held against a look")

    def _hear(self, picture: Picture) -> None:
        now_s, time_s = self._clock(), time.time()
        for threshold, group, value in list(self._values(picture, time_s)):
            alarm = self._alarms.setdefault((threshold, group), _Alarm(time_s))
            kind = alarm.see(threshold, value, now_s)
            if kind is not None:
                alarm.told_s = now_s
                self._say(kind, threshold, group, alarm, picture)
        self._alarms = {key: alarm for key, alarm in self._alarms.items() if not alarm.is_at_rest}
        self.firing = tuple(
            Firing(threshold, group, alarm.value, alarm.since_s)
            for (threshold, group), alarm in self._alarms.items()
            if alarm.is_firing
        )

    def _values(self, picture: Picture, time_s: float) -> Iterator[tuple[Threshold, str, float | None]]:
        """Give what is known; None of a group that is gone."""
        for threshold in self.thresholds:
            if threshold.measure.name == LOOK_AGE:
                yield threshold, "", max(0.0, time_s - (picture.time_s or self._begun_s)) if picture.trouble else 0.0
            elif not picture.trouble:
                for name, view in picture.groups.items():
                    value = threshold.measure.read(view) if not view.seen.trouble else None
                    if value is not None and threshold.is_about(name):
                        yield threshold, name, value
        if not picture.trouble:
            for threshold, group in [key for key in self._alarms if key[1] and key[1] not in picture.groups]:
                yield threshold, group, None

    def _say(self, kind: Kind, threshold: Threshold, group: str, alarm: _Alarm, picture: Picture) -> None:
        view, time_s = picture.groups.get(group), time.time()
        notice = Notice(
            id=secrets.token_hex(8),
            kind=kind,
            threshold=threshold,
            group=group,
            value=alarm.value,
            since_s=alarm.since_s,
            time_s=time_s,
            needs=picture.trouble if view is None else hint(view, time_s).text,
            cluster=self._cluster,
        )
        _LOG.log(logging.INFO if kind == "resolved" else logging.WARNING, "alert: %s", notice.text)
        self._tell(notice)
