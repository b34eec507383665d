"""How old the oldest outstanding record of a partition is: it is read, of a bounded number of partitions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from typing import Final

from streams.config import Settings
from streams.engine.standing import Progress
from streams.kafka.cursor import Cursor
from streams.kafka.reader import Stretch, walk
from streams.monitor.dashboard.picture import Seen
from streams.record import Partition

WATCHED: Final = 4
"""Partitions of each group, those furthest behind, whose record is read in a look while somebody has a page open."""
REST: Final = 1
"""The same at rest."""
_AT_MOST: Final = 200
"""Of all groups together, in one look."""
_SILENCE_S: Final = 3.0
_FEW_BYTES: Final[dict[str, object]] = {
    "auto.offset.reset": "earliest",
    "isolation.level": "read_committed",
    "max.partition.fetch.bytes": 2_048,  # one record is wanted; the broker gives a batch whole in any case
    "fetch.max.bytes": 1024 * 1024,
    "message.max.bytes": 1024 * 1024,
}


class Heads:
    """Owned by the watch's thread.

    Always true: a stamp belongs to the record at the offset that is its partition's first outstanding one.
    """

    def __init__(self, settings: Settings) -> None:
        """Read from the cluster of *settings*."""
        self._settings = settings
        self._stamps: dict[Partition, tuple[int, int]] = {}

    def update(self, groups: Mapping[str, Seen], *, is_watched: bool) -> dict[str, dict[Partition, int]]:
        """Give the time stamps that are known, ms since 1970, by group; reads what has changed.

        Raises:
            BrokerError: The broker does not answer.
        """
        most = WATCHED if is_watched else REST
        wanted: dict[str, Sequence[Progress]] = {name: seen.open[:most] for name, seen in groups.items()}
        starts = {
            (name, one.partition): one
            for name, parts in wanted.items()
            for one in parts
            if self._stamps.get(one.partition, (-1, 0))[0] != one.start
        }
        unread = {place: Stretch(one.start, one.end) for (_, place), one in list(starts.items())[:_AT_MOST]}
        self._read(unread)
        return {name: self._known(seen.open) for name, seen in groups.items()}

    def _known(self, parts: Iterable[Progress]) -> dict[Partition, int]:
        return {
            one.partition: self._stamps[one.partition][1]
            for one in parts
            if self._stamps.get(one.partition, (-1, 0))[0] == one.start
        }

    def _read(self, starts: Mapping[Partition, Stretch]) -> None:
        if not starts:
            return
        with closing(Cursor(self._settings, _FEW_BYTES)) as cursor:
            for place, messages in walk(cursor, starts, _SILENCE_S, may_end_early=True):
                if place in cursor.positions:
                    self._stamps[place] = starts[place].start, messages[0].timestamp()[1]
                    cursor.leave([place])
