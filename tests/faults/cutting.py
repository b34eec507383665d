"""Cuts logs short, as a broker does that lost what it had not written to its disk yet."""

from __future__ import annotations

from streams.dev import DevCluster


def cut(cluster: DevCluster, *topics: str) -> int:
    """Kill the broker, take the last part of the logs of *topics* away, and bring it back; give how many bytes went."""
    cluster.brokers[0].kill()
    gone = 0
    for topic in topics:
        (log,) = cluster.folder.path.glob(f"**/{topic}-0/*.log")
        before = log.stat().st_size
        with log.open("r+b") as file:
            file.truncate(before * 6 // 10)
        gone += before - log.stat().st_size
    cluster.heal()
    return gone
