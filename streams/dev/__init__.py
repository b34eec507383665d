"""A real Kafka for development and tests: no Docker, no installed Java.

`DevCluster` starts, finds and ends it; `streams dev` is its command.
"""

from __future__ import annotations

from streams.dev.broker import Broker
from streams.dev.cluster import DevCluster, running_bootstrap
from streams.dev.folder import default_folder
from streams.dev.jars import KAFKA_VERSION
from streams.dev.process import Process, this_process
from streams.dev.runtime import Runtime

__all__ = [
    "KAFKA_VERSION",
    "Broker",
    "DevCluster",
    "Process",
    "Runtime",
    "default_folder",
    "running_bootstrap",
    "this_process",
]
