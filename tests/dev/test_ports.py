"""Free ports on the loopback address."""

from __future__ import annotations

import socket

from streams.dev.ports import HOST, answers, free_ports, is_free


def test_free_ports_differ_and_are_free() -> None:
    """As many as were asked for, none twice, none in use."""
    ports = free_ports(6)

    assert len(set(ports)) == 6
    assert all(is_free(port) and not answers(port) for port in ports)


def test_a_port_that_is_listened_on_is_not_free() -> None:
    """Somebody else's port is never chosen, and it answers."""
    with socket.create_server((HOST, 0)) as server:
        port = server.getsockname()[1]

        assert not is_free(port)
        assert answers(port)
