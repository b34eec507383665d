"""Free ports on the loopback address."""

from __future__ import annotations

import secrets
import socket

HOST = "127.0.0.1"
"""Everything of the development broker listens here and nowhere else."""

_RANGE = range(20_000, 32_000)
"""Below the ports that systems hand to outgoing connections: a broker that is
restarted finds its port still free."""


def free_ports(count: int) -> list[int]:
    """*count* different ports that nothing listens on at this moment."""
    ports: set[int] = set()
    while len(ports) < count:
        candidate = secrets.choice(_RANGE)
        if is_free(candidate):
            ports.add(candidate)
    return list(ports)


def is_free(port: int) -> bool:
    """Whether *port* could be listened on now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def answers(port: int, *, timeout_s: float = 0.5) -> bool:
    """Whether something accepts connections on *port*."""
    try:
        socket.create_connection((HOST, port), timeout=timeout_s).close()
    except OSError:
        return False
    return True
