"""The proxy before brokers: what passes, what does not, and whom it concerns."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import pytest

from streams.dev.ports import HOST
from streams.verify.proxy import Proxy, Where
from tests.waiting import eventually

Connect = Callable[..., socket.socket]
DEADLINE_S = 20


class Echo:
    """Stands for a broker: gives back what it takes, and counts it."""

    def __init__(self) -> None:
        self.taken = 0
        self._door = socket.create_server((HOST, 0))
        self.port: int = self._door.getsockname()[1]
        threading.Thread(target=self._admit, daemon=True).start()

    def close(self) -> None:
        self._door.shutdown(socket.SHUT_RDWR)
        self._door.close()

    def _admit(self) -> None:
        while True:
            try:
                side, _ = self._door.accept()
            except OSError:  # it was closed
                return
            threading.Thread(target=self._answer, args=[side], daemon=True).start()

    def _answer(self, side: socket.socket) -> None:
        with side:
            try:
                while data := side.recv(65536):
                    self.taken += len(data)
                    side.sendall(data)
            except ConnectionResetError:
                return


@pytest.fixture
def brokers() -> Iterator[list[Echo]]:
    """Two of them."""
    with closing(Echo()) as one, closing(Echo()) as other:
        yield [one, other]


@pytest.fixture
def proxy(brokers: list[Echo]) -> Iterator[Proxy]:
    """Before both."""
    with closing(Proxy(2)) as proxy:
        proxy.lead_to([broker.port for broker in brokers])
        yield proxy


@pytest.fixture
def connect(proxy: Proxy) -> Iterator[Connect]:
    """Connect: `connect("name", broker=1)` gives a connection on which the client has said its name."""
    with ExitStack() as ending:

        def connected(name: str, broker: int = 1) -> socket.socket:
            side = ending.enter_context(socket.create_connection((HOST, proxy.ports[broker - 1]), timeout=DEADLINE_S))
            side.sendall(request(name))
            return side

        yield connected


def request(name: str) -> bytes:
    """Give the first request of a Kafka client: which versions are spoken, asked by *name*, with a tail of tags."""
    rest = struct.pack(">hhih", 18, 3, 1, len(name)) + name.encode() + b"\0\0\0"
    return struct.pack(">i", len(rest)) + rest


def answer(side: socket.socket, count: int) -> bytes:
    """Take *count* bytes."""
    taken = b""
    while len(taken) < count and (more := side.recv(count - len(taken))):
        taken += more
    return taken


def is_quiet(side: socket.socket) -> bool:
    """Say whether nothing has come."""
    side.setblocking(False)  # noqa: FBT003  # its only parameter
    try:
        side.recv(1)
    except BlockingIOError:
        return True
    finally:
        side.settimeout(DEADLINE_S)
    return False


def test_answers_alone_can_be_late(connect: Connect, proxy: Proxy, brokers: list[Echo]) -> None:
    """What the client sends arrives; what comes back waits."""
    side = connect("anna")
    answer(side, len(request("anna")))
    before = brokers[0].taken
    proxy.delay(3600, Where(client="anna"), answers_alone=True)
    side.sendall(b"more")
    eventually(lambda: brokers[0].taken == before + 4)
    is_held = is_quiet(side)
    proxy.calm()

    assert is_held
    assert answer(side, 4) == b"more"


def test_bytes_pass_both_ways(connect: Connect) -> None:
    """The request in which the name stands, and a lot after it, unchanged."""
    side = connect("anna")
    much = bytes(range(256)) * 8_000
    threading.Thread(target=side.sendall, args=[much]).start()

    assert answer(side, len(request("anna"))) == request("anna")
    assert answer(side, len(much)) == much


def test_a_client_without_a_name_is_let_through(connect: Connect) -> None:
    """A name may be missing."""
    side = connect("")

    assert answer(side, len(request(""))) == request("")


def test_one_client_is_silenced_and_what_it_sent_arrives_late(
    proxy: Proxy, connect: Connect, brokers: list[Echo]
) -> None:
    """New connections of it too are taken and kept; others go on; afterwards all of it passes."""
    anna, ben = connect("anna"), connect("ben")
    first = len(request("anna")) + len(request("ben"))
    both = answer(anna, len(request("anna"))) + answer(ben, len(request("ben")))
    silenced = proxy.silence(Where(client="anna"))
    anna.sendall(b"late")
    again = connect("anna")
    ben.sendall(b"on time")
    on_time = answer(ben, 7)
    passed, is_still = brokers[0].taken, is_quiet(anna) and is_quiet(again)
    proxy.calm()

    assert len(both) == first
    assert (silenced, on_time, passed, is_still) == (1, b"on time", first + 7, True)
    assert answer(anna, 4) == b"late"
    assert answer(again, len(request("anna"))) == request("anna")


def test_one_broker_is_silenced(proxy: Proxy, connect: Connect, brokers: list[Echo]) -> None:
    """It takes connections and answers none; the other one does."""
    proxy.silence(Where(broker=2))
    mute, spoken = connect("anna", broker=2), connect("anna", broker=1)

    assert answer(spoken, len(request("anna"))) == request("anna")
    assert is_quiet(mute)
    assert brokers[1].taken == 0


def test_connections_are_reset(proxy: Proxy, connect: Connect) -> None:
    """Those that are there break off with a reset; the next one works."""
    anna, ben = connect("anna"), connect("ben")
    answer(anna, len(request("anna")))
    answer(ben, len(request("ben")))
    broken = proxy.reset(Where(client="anna"))
    ben.sendall(b"on")

    assert broken == 1
    with pytest.raises(ConnectionResetError):
        anna.recv(1)
    assert answer(ben, 2) == b"on"
    assert answer(connect("anna"), len(request("anna"))) == request("anna")


def test_what_is_slow_arrives_whole(proxy: Proxy, connect: Connect) -> None:
    """Each chunk is held for its time, and no longer than the order lasts."""
    anna, ben = connect("anna"), connect("ben")
    answer(anna, len(request("anna")))
    answer(ben, len(request("ben")))
    concerned = proxy.delay(0.01)
    anna.sendall(b"slow")
    slow = answer(anna, 4)
    proxy.delay(3600, Where(client="anna"))
    anna.sendall(b"slower")
    ben.sendall(b"on time")
    on_time, is_held = answer(ben, 7), is_quiet(anna)
    proxy.calm()

    assert (concerned, slow) == (2, b"slow")
    assert (on_time, is_held) == (b"on time", True)
    assert answer(anna, 6) == b"slower"


def test_a_broker_that_is_gone_has_its_clients_reset() -> None:
    """They are not left waiting."""
    with closing(Echo()) as gone:
        port = gone.port
    with closing(Proxy(1)) as proxy:
        proxy.lead_to([port])
        side = socket.create_connection((HOST, proxy.ports[0]), timeout=DEADLINE_S)
        side.sendall(request("anna"))
        with side, pytest.raises(ConnectionResetError):
            side.recv(1)


def test_it_ends_with_its_connections(proxy: Proxy, connect: Connect) -> None:
    """Silent ones too, and those that never said a name; nobody can connect any more."""
    side = connect("anna")
    answer(side, len(request("anna")))
    mute = socket.create_connection((HOST, proxy.ports[1]), timeout=DEADLINE_S)
    port = proxy.ports[0]
    proxy.silence(Where())
    proxy.close()

    for one in (side, mute):
        with one, pytest.raises(ConnectionResetError):
            one.recv(1)
    eventually(lambda: is_refused(port))


def is_refused(port: int) -> bool:
    """Say whether nobody listens there."""
    try:
        socket.create_connection((HOST, port), timeout=DEADLINE_S).close()
    except ConnectionRefusedError:
        return True
    return False
