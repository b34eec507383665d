"""Handlers that do something, apart from any engine."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from streams.bench.apps import app_for, concurrency_of
from streams.bench.order import OrderCheck
from streams.bench.records import numbered_records
from streams.bench.task import MODES, SPEED_HANDLERS, Handler, Mode, Task, modes_of
from streams.bench.work import Failures, Order, Till, failing, spin, turns_for
from streams.errors import UsageError
from streams.outcome import Retry

VALUES: list[dict[str, Any]] = [msgspec.json.decode(value) for _, value in numbered_records(5_000)]


def task(handler: Handler, mode: Mode, **more: Any) -> Task:
    """One run."""
    return Task(topic="orders", partitions=1, handler=handler, mode=mode, group="bench", **more)


@pytest.mark.parametrize("handler", SPEED_HANDLERS)
@pytest.mark.parametrize("mode", MODES)
def test_a_handler_runs_in_the_modes_that_it_names_and_in_no_other(handler: Handler, mode: Mode) -> None:
    """What can't be measured in a mode is refused, and not measured as something else."""
    if mode in modes_of(handler):
        assert app_for(task(handler, mode, events="events"), OrderCheck(), []).routes["orders"].batch == (
            500 if mode == "batch" else None
        )
    else:
        with pytest.raises(UsageError, match=f"no {handler} handler runs in mode {mode}"):
            app_for(task(handler, mode), OrderCheck(), [])


def test_as_many_are_under_way_as_is_asked_for() -> None:
    """The bound of a handler that waits is counted with the concurrency that it is run with."""
    assert concurrency_of(task("wait5", "asyncio")) == 1_000
    assert concurrency_of(task("wait5", "threads", concurrency=64)) == 64


def test_every_record_is_an_order() -> None:
    """The handler that validates orders finds none to refuse among the bench's records."""
    orders = [msgspec.json.decode(value, type=Order) for _, value in numbered_records(1_000)]

    assert len(orders) == 1_000


def test_an_event_tells_the_total_of_its_key() -> None:
    """Amounts of one key add up; those of others stay apart."""
    till = Till()
    orders = [Order(key=key, number=0, order_id="0" * 16, amount=amount, is_express=False) for key, amount in PAID]

    assert [till.event(order)["total"] for order in orders] == [2, 3, 7]


PAID = [("a", 2.0), ("b", 3.0), ("a", 5.0)]


def test_computing_for_longer_takes_more_turns() -> None:
    """The CPU's clock says how many turns a time takes; the work itself can't be left out."""
    assert 0 < turns_for(50e-6) < turns_for(1e-2)
    assert spin(5) == 10


def test_a_share_of_the_records_fails_and_each_of_them_once() -> None:
    """About 1 % fail at the first run, the same ones in every bench; at the second run none does."""
    failures = Failures(1.0)

    first, second = sum(fails(failures, value) for value in VALUES), sum(fails(failures, value) for value in VALUES)

    assert 20 < first < 90
    assert second == 0
    assert first == sum(fails(Failures(1.0), value) for value in VALUES)


def fails(failures: Failures, value: dict[str, Any]) -> bool:
    """Whether the record fails now."""
    try:
        failures.check(value)
    except ConnectionError:
        return True
    return False


def test_in_a_batch_what_stands_behind_a_failed_record_of_its_key_is_left_alone() -> None:
    """A batch goes on with other keys; the rest of a key that failed is not worked on before its elder."""
    worked: list[dict[str, Any]] = []
    one = VALUES[0] | {"key": "a", "order_id": "0" * 16}
    behind, other = VALUES[1] | {"key": "a", "order_id": "f" * 16}, VALUES[2] | {"key": "b", "order_id": "f" * 16}

    outcomes = failing({"batch": worked.extend}, 1.0)["batch"]([one, behind, other])

    assert isinstance(outcomes[0], Retry)
    assert outcomes[1:] == [None, None]
    assert worked == [other]


def test_only_handlers_that_see_values_can_fail_by_them() -> None:
    """A share of failures is refused where the handler is given bytes."""
    with pytest.raises(UsageError, match="decoded, not noop"):
        app_for(task("noop", "inline", failures=1.0), OrderCheck(), [])
