"""What each step of a record's way costs by itself: the profile beside the figures of the bench.

    python -m benchmarks.pieces

No broker is needed: the steps are called as the engine calls them, on batches
of 500 records as polls give them, each alone, and the lowest of several
timings counts.  What is left between their sum and what the bench measures is
the client, the broker's acknowledgements, the turn of the loop, and threads
that wait for the interpreter.
"""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final, NamedTuple

from streams.app import App
from streams.codec import encode_value
from streams.engine.chain import read
from streams.engine.chainstate import ChainState
from streams.engine.context import Context
from streams.engine.executors.inline import InlineExecutor
from streams.engine.ledger import Chunk, Ledger
from streams.engine.partition import Decision, Item, Move, PartitionState, finish
from streams.engine.plan import plan_of
from streams.engine.retries import Retries
from streams.engine.route import Route
from streams.engine.topics import Chain
from streams.envelope import effect_headers
from streams.kafka.message import ERROR, Message, by_partition, make_message
from streams.outcome import Retry
from streams.record import Partition
from streams.retry import RetryPolicy

_AT_ONCE: Final = 500
_TIMES: Final = 40
_VALUE: Final = b'{"order_id":"4f0c8a52","key":"k-17","amount":1250,"currency":"EUR","note":"' + b"x" * 223 + b'"}'
_SOURCE: Final = Partition("orders", 0)
_ERROR: Final = ConnectionError("the service is not there")


class Piece(NamedTuple):
    """One step, and what it costs a record."""

    way: str
    step: str
    ns: float


def main() -> None:
    """Print the table."""
    print("| way | step | ns a record |\n|---|---|---|")
    for piece in pieces():
        print(f"| {piece.way} | {piece.step} | {piece.ns:,.0f} |")


def pieces() -> Iterator[Piece]:
    """Time every step."""
    yield from _every_record()
    yield from _handlers()
    yield from _failures()
    yield from _sends()


def _every_record() -> Iterator[Piece]:
    messages = messages_read()
    way = "every record"
    yield Piece(way, "is it an error of the client?", _ns(lambda: any(map(ERROR, messages))))
    yield Piece(way, "of which partition is it?", _ns(lambda: list(by_partition(messages, "orders"))))
    yield Piece(way, "ledger: into a chunk", _ns(lambda: Chunk(messages)))
    yield Piece(way, "ledger: settled and committable, as a chunk", _ns_of(_chunks(), _settle))
    yield Piece(way, "lanes, where a chunk does not run whole: in and out", _ns_of(_chunks(), _through_lanes))


def _handlers() -> Iterator[Piece]:
    messages = messages_read()
    for name, route in (("bytes", _route(_takes_bytes)), ("JSON", _route(_takes_dict))):
        yield Piece("values", f"{name}, decoded", _ns(partial(_decode, route, messages)))
    yield Piece("inline", "a chunk: the value as it is, the lease, the call", _ns_of(_chunks(), _runs_inline()))
    batch = _route(_takes_all, batch=_AT_ONCE)
    yield Piece("batch", "a call: values as they are, outcomes", _ns(lambda: batch.call_batch(messages)))


def _failures() -> Iterator[Piece]:
    way = "a failure"
    yield Piece(way, "what follows, the index, the copy's header", _ns_of(items_in_hand(), fail))
    packed = [move.packed for move in fail(next(items_in_hand())) if isinstance(move, Move)]
    alone = _ns(lambda: deque(map(read, packed), 0))
    yield Piece(way, "recovery: a header read alone (alike ones are read in rows)", alone)


def _sends() -> Iterator[Piece]:
    state, chunk = next(_chunks())
    item: Item = state.enlane(chunk)[0][0]
    value = {"order_id": "4f0c8a52", "total": 1250}
    cause = Context(item).envelope

    def send() -> None:
        context = Context(item)
        context.send("invoices", value)
        context.ended(None)

    way = "a send"
    yield Piece(way, "the value as JSON", _ns(lambda: _repeat(encode_value, value)))
    yield Piece(
        way,
        "the event's headers",
        _ns(lambda: _repeat(effect_headers, "invoices", "/orders", "application/json", cause)),
    )
    yield Piece(way, "all of ctx.send, and the context", _ns(lambda: _repeat(send)))


# -- the ground ------------------------------------------------------------------------------------------


def _takes_bytes(_value: bytes) -> None: ...


def _takes_dict(_value: dict[str, Any]) -> None: ...


def _takes_all(_values: list[bytes]) -> None: ...


def _route(handler: Callable[..., Any], **options: Any) -> Route:
    app = App("bench")
    app.on("orders", **options)(handler)
    return app.routes["orders"]


def messages_read() -> list[Message]:
    """Give a batch as one poll gives it, each record with a key of its own."""
    return [
        make_message("orders", 0, number, key=b"k-%d" % number, value=_VALUE, timestamp_ms=1_700_000_000_000)
        for number in range(_AT_ONCE)
    ]


def _chunks() -> Iterator[tuple[PartitionState, Chunk]]:
    """Give fresh partitions, each with a chunk that it has just admitted."""
    chain = Chain("id", (60.0,), (), has_parked=True)
    plan = plan_of("orders", "bench", chain, "park", "continue")
    for _ in range(_TIMES):
        begun: ChainState[Item] = plan.begin(0, b"assigned")
        state = PartitionState(
            partition=_SOURCE,
            assignment_id=b"assigned",
            ledger=Ledger(0),
            retries=Retries(RetryPolicy(delays=("1m",)), random.Random(1)),  # for the jitter
            chain=begun,
            lease_until=float("inf"),
            granted_until=float("inf"),
        )
        state.begin_chain()
        chunk = state.admit(messages_read())
        assert chunk is not None, "new offsets"  # noqa: S101  # for the types
        yield state, chunk


def items_in_hand() -> Iterator[tuple[PartitionState, list[Item]]]:
    """Give fresh partitions, each with records that are running."""
    for state, chunk in _chunks():
        yield state, [item for run in state.enlane(chunk) for item in run]


def _decode(route: Route, messages: list[Message]) -> None:
    deque(route.values(messages), 0)


def fail(one: tuple[PartitionState, list[Item]]) -> list[Decision]:
    """Let every one of the records fail for the first time."""
    state, items = one
    return state.fail_all([(item, Retry(_ERROR)) for item in items], 0.0, 1_700_000_000_000, lambda *_: False)


def _settle(one: tuple[PartitionState, Chunk]) -> None:
    state, chunk = one
    state.settle_chunk(chunk)
    assert state.ledger.committable == _AT_ONCE  # noqa: S101  # what is timed was done


def _through_lanes(one: tuple[PartitionState, Chunk]) -> None:
    state, chunk = one
    deque(finish(state.enlane(chunk)), 0)


def _runs_inline() -> Callable[[tuple[PartitionState, Chunk]], None]:
    executor = InlineExecutor(_route(_takes_bytes, run="inline"))
    return lambda one: executor.take(*one)


def _repeat(call: Callable[..., object], *arguments: object) -> None:
    for _ in range(_AT_ONCE):
        call(*arguments)


def _ns(step: Callable[[], object]) -> float:
    """Give the nanoseconds a record of *step*, which goes over a whole batch."""
    return _ns_of(iter([None] * _TIMES), lambda _: step())


def _ns_of(grounds: Iterator[Any], step: Callable[[Any], object]) -> float:
    """Give the nanoseconds a record of *step* on one batch of each of *grounds*."""
    best = float("inf")
    for ground in grounds:
        began = time.perf_counter()
        step(ground)
        best = min(best, time.perf_counter() - began)
    return best / _AT_ONCE * 1e9


if __name__ == "__main__":
    main()
