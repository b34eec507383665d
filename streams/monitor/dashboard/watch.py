"""The watch: a thread that looks at the cluster again and again, and keeps what it saw.

It looks often while somebody has a page open, and seldom otherwise; what a
look costs decides too (`Pace`).  Whoever wants to be told of each look, pages
that are open or something that sends alerts, gives `listen` a callable.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from streams.errors import StreamsError
from streams.kafka.admin import Admin
from streams.monitor.dashboard.heads import Heads
from streams.monitor.dashboard.history import History
from streams.monitor.dashboard.letters import LetterIndex
from streams.monitor.dashboard.masking import Mask
from streams.monitor.dashboard.pace import Pace
from streams.monitor.dashboard.picture import GroupView, Picture, Rebalance, Seen
from streams.monitor.dashboard.survey import Survey
from streams.record import Partition

Listener: TypeAlias = Callable[[Picture], None]

VISIT_S: Final = 30.0
"""A page that was asked for counts as watched for so long; one that listens, for as long as it does."""
_REBALANCES: Final = 50
"""Rebalances of a group that are remembered."""
_DISCOVER_S: Final = 5.0
_READING_SHARE: Final = 0.5
"""Of a core, while letters are read that were there before."""
_LOG: Final = logging.getLogger(__name__)


class Watch:
    """Its thread owns the survey and everything that reads; others take `picture`, which never changes once given.

    Always true: a look that fails leaves the picture before it, with the reason.
    """

    def __init__(self, admin: Admin, mask: Mask, *, pace: Pace | None = None) -> None:
        """Watch the cluster of *admin*, which is the watch's own from now on."""
        self.picture = Picture()
        self.letters = LetterIndex(admin.settings, mask)
        self._survey = Survey(admin)
        self._heads = Heads(admin.settings)
        self._pace = pace or Pace()
        self._histories: dict[str, History] = {}
        self._still: dict[tuple[str, Partition], tuple[int, float]] = {}
        self._still_of: dict[str, tuple[Partition, ...]] = {}
        self._idle: dict[str, tuple[int, float]] = {}
        self._rebalances: dict[str, list[Rebalance]] = {}
        self._owners: dict[str, dict[Partition, str]] = {}
        self._listeners: list[Listener] = []
        self._visited_s = float("-inf")
        self._discovered_s = float("-inf")
        self._open_pages = 0
        self._has_read = True
        self._wake = threading.Event()
        self._is_stopped = False
        self._thread = threading.Thread(target=self._run, name="streams-watch", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more, and let go of the connections."""
        self._is_stopped = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(30)

    def listen(self, listener: Listener) -> None:
        """Have *listener* called with each picture, in the watch's thread: it must be quick, and raise nothing."""
        self._listeners.append(listener)

    def visit(self) -> None:
        """Note that somebody looks; where nobody did, a look is taken at once."""
        was_watched = self.is_watched
        self._visited_s = time.monotonic()
        if not was_watched:
            self._wake.set()

    def opened(self) -> None:
        """Note that a page listens from now on."""
        self.visit()
        self._open_pages += 1

    def closed(self) -> None:
        """Note that it does so no more."""
        self._open_pages -= 1

    def hurry(self) -> None:
        """Look at once, as something was changed."""
        self._wake.set()

    def discover(self) -> None:
        """Look anew at which groups and topics there are: somebody asks for one that is not known."""
        if time.monotonic() >= self._discovered_s + _DISCOVER_S:
            self._discovered_s = time.monotonic()
            self._survey.forget()
            self._wake.set()

    @property
    def is_watched(self) -> bool:
        """Somebody has a page open, or had one a moment ago."""
        return self._open_pages > 0 or time.monotonic() < self._visited_s + VISIT_S

    def history(self, group: str) -> History:
        """Give what was seen of *group* in the last hours."""
        return self._histories.get(group) or History()

    def histories(self) -> list[History]:
        """Give those of all groups."""
        return list(self._histories.values())

    def _run(self) -> None:
        while not self._is_stopped:
            self._wake.clear()
            pause_s = self._look()
            self._wake.wait(pause_s)
        self._survey.close()

    def _look(self) -> float:
        """Take one look; give how long to wait for the next one."""
        is_watched, began_s = self.is_watched, time.process_time()
        seen: Mapping[str, Seen] = {}
        heads: Mapping[str, Mapping[Partition, int]] = {}
        has_read, trouble, before = True, "", self.picture
        try:
            # While letters are read that were there before, what is unchanged waits: the list comes sooner.
            seen = self._survey.look(time.monotonic(), is_watched=is_watched and self._has_read)
            has_read = self.letters.update(self._survey.commits())
            heads = self._heads.update(seen, is_watched=is_watched)
        except StreamsError as error:
            trouble = str(error)
            if trouble != before.trouble:
                _LOG.warning("the cluster can't be looked at: %s", trouble)
            self._survey.forget()
        except Exception:  # noqa: BLE001  # whatever it is, the next look may go well, and pages say so
            _LOG.exception("a look failed; the next one follows")
            trouble = "a look failed by a fault of this program; its log says more"
        cost_s = time.process_time() - began_s
        pause_s = self._pace.pause_s(cost_s, is_watched=is_watched)
        if trouble:
            self.picture = Picture(
                before.number + 1, before.time_s, before.groups, before.topics, trouble, cost_s, pause_s
            )
        else:
            now_s = time.time()
            views = {name: self._view(name, one, heads.get(name, {}), now_s) for name, one in seen.items()}
            self._forget_others(views)
            topics = self._survey.topics()
            self.picture = Picture(before.number + 1, now_s, views, topics, "", cost_s, pause_s)
        self._has_read = has_read
        for listener in self._listeners:
            listener(self.picture)
        return pause_s if has_read else max(cost_s * (1 / _READING_SHARE - 1), 0.05)

    def _view(self, name: str, seen: Seen, heads: Mapping[Partition, int], now_s: float) -> GroupView:
        history = self._histories.setdefault(name, History())
        self._note_members(name, seen, now_s)
        bare = GroupView(seen, now_s, heads_ms=heads)
        history.add(bare.counters)
        return GroupView(
            seen,
            now_s,
            speed=history.speed(),
            heads_ms=heads,
            still_s=self._still_parts(name, seen, now_s),
            idle_since_s=self._idle_since(bare, now_s),
            rebalances=tuple(reversed(self._rebalances.get(name, ()))),
        )

    def _still_parts(self, name: str, seen: Seen, now_s: float) -> dict[Partition, float]:
        still = {}
        for one in seen.open:
            done = one.start + one.settled_above
            known = self._still.get((name, one.partition))
            if known is None or known[0] != done:
                known = done, now_s
            still[one.partition] = known
        for place in self._still_of.pop(name, ()):
            self._still.pop((name, place), None)
        self._still.update({(name, place): known for place, known in still.items()})
        self._still_of[name] = tuple(still)
        return {place: since_s for place, (_, since_s) in still.items()}

    def _idle_since(self, view: GroupView, now_s: float) -> float | None:
        if not view.outstanding:
            self._idle.pop(view.name, None)
            return None
        known = self._idle.get(view.name)
        if known is None or known[0] != view.seen.done:
            known = self._idle[view.name] = view.seen.done, now_s
        return known[1]

    def _note_members(self, name: str, seen: Seen, now_s: float) -> None:
        """Compare who has what with the look before."""
        members = {one.member_id: one.instance_id or one.member_id[:8] for one in seen.standing.group.members}
        owners = {place: one.member_id for place, one in seen.standing.owners.items()}
        before = self._owners.get(name)
        self._owners[name] = owners
        if before is None or before == owners:
            return
        were, are = set(before.values()), set(members)
        moved = sum(1 for place, owner in owners.items() if before.get(place, owner) != owner)
        told = Rebalance(
            now_s,
            joined=tuple(sorted(members[one] for one in set(owners.values()) - were)),
            left=tuple(sorted(one[:8] for one in were - are)),
            moved=moved,
            members=len(members),
        )
        self._rebalances[name] = [*self._rebalances.get(name, ()), told][-_REBALANCES:]

    def _forget_others(self, views: Mapping[str, GroupView]) -> None:
        """Keep nothing of groups that are gone."""
        kept: tuple[dict[str, Any], ...] = (self._histories, self._idle, self._rebalances, self._owners)
        for by_name in kept:
            for name in by_name.keys() - views.keys():
                del by_name[name]
        self._still = {key: value for key, value in self._still.items() if key[0] in views}
