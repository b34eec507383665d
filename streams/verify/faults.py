"""The faults there are, by the names that the command line knows, and what each of them needs.

A further one is a function that breaks one thing while records are under way, and a line here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from streams.verify.brokerfaults import (
    broker,
    delay,
    failover,
    halfopen,
    headless,
    outage,
    reset,
    rolling,
    suspend,
)
from streams.verify.foreignfault import foreign
from streams.verify.injected import Injected
from streams.verify.memberfaults import coordinator, cutoff, rebalance, sigkill, sigstop, sigterm, sigterm2, storm
from streams.verify.trial import Trial

FAULTS: Final[Mapping[str, Callable[[Trial], Injected]]] = {
    one.__name__: one
    for one in (
        sigkill,
        sigterm,
        sigterm2,
        sigstop,
        rebalance,
        storm,
        broker,
        failover,
        rolling,
        suspend,
        outage,
        delay,
        reset,
        halfopen,
        headless,
        cutoff,
        coordinator,
        foreign,
    )
}
"""Each gives back when it is over."""

OF_A_NETWORK: Final = frozenset({"delay", "reset", "halfopen", "headless", "cutoff", "coordinator"})
"""Those that need something between members and brokers."""

OF_THREE_BROKERS: Final = frozenset({"broker", "failover", "rolling", "suspend", "halfopen", "headless", "coordinator"})
"""Those that leave some brokers whole."""

OF_THE_CLUSTER: Final = OF_A_NETWORK | OF_THREE_BROKERS | {"outage"}
"""Those that break what other people may use, if it is not the run's own."""
