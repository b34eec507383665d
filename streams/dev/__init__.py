"""A real Kafka for development and tests: no Docker, no installed Java.

`DevCluster` starts, finds and ends it; `streams dev` is its command.
"""

from __future__ import annotations

from streams.dev.broker import Broker
from streams.dev.cluster import DevCluster, running_bootstrap
from streams.dev.process import Process, this_process
from streams.dev.runtime import Runtime

__all__ = ["Broker", "DevCluster", "Process", "Runtime", "running_bootstrap", "this_process"]
