"""The clock on the wall jumps while records wait for their time: leases and order do not hang on it."""

from __future__ import annotations

from collections import Counter
from typing import Final

from streams import App, Context, Record, RetryPolicy
from tests.brokers import Topics
from tests.faults.figures import Injected
from tests.path.clocks import LateClock
from tests.path.members import Bench, numbered

_HOUR_S: Final = 3_600.0
_KEYS: Final = [b"fails", b"a", b"b", b"c"]
_ATTEMPTS: Final = 3
_WRITTEN: Final = 40
"""Records between two jumps; the first of them fails."""


def test_a_clock_that_jumps_loses_and_overtakes_nothing(
    bench: Bench, topic: Topics, app: App, injected: Injected
) -> None:
    """An hour ahead, an hour back, and right again: every record has one end, in its order, within its attempts."""
    orders, clock = topic(), LateClock()
    done, runs, waiting = list[tuple[bytes | None, int]](), Counter[int](), list[int]()

    @app.on(orders, policy="park", retry=RetryPolicy(delays=("1s",) * (_ATTEMPTS - 1), jitter=0, memory_up_to="100ms"))
    def handle(record: Record, ctx: Context) -> None:
        runs[record.offset] += 1
        if record.offset % _WRITTEN == 0 and ctx.attempt < _ATTEMPTS:
            raise ValueError("not yet")
        done.append((record.key, record.offset))

    member = bench.run(app, clock=clock)
    (state,) = member.until(member.member.assignment.all)
    for ahead_s in (_HOUR_S, -_HOUR_S, 0.0):
        bench.write(orders, numbered(_WRITTEN, _KEYS))
        waiting.append(member.until(lambda: state.chain.outstanding))
        clock.ahead_s = ahead_s
    member.settled(within_s=60)
    injected(33, times=len(waiting), members=1, in_flight=min(waiting))

    assert sorted(offset for _, offset in done) == list(range(3 * _WRITTEN))
    assert max(runs.values()) == _ATTEMPTS
    assert bench.dead(orders, app.group) == []
    for key in _KEYS:
        offsets = [offset for one, offset in done if one == key]
        assert offsets == sorted(offsets)
