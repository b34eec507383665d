"""What stands between members and brokers, and spoils what passes: slow, silent, or cut off.

One front for each broker.  Brokers tell their clients the addresses of the
fronts, so nothing gets past; who a connection belongs to is read from its first
request, in which every Kafka client says its name.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final, TypeVar

from streams.dev.ports import HOST

T = TypeVar("T")

_CHUNK: Final = 256 * 1024
_HEADER: Final = struct.Struct(">ihhih")
"""Of a request: its length, what is asked, in which version, its number, and the length of the client's name."""
_ANSWERS_WITHIN_S: Final = 30.0
_AT_ONCE: Final = struct.pack("ii", 1, 0)
"""Closing does not wait for what is unsent: the other side sees a reset."""


@dataclass(frozen=True)
class Where:
    """Which connections are meant: all that fit both."""

    broker: int | None = None
    """By its number, from 1; None: whichever."""
    client: str | None = None
    """By the name it gives itself; None: whoever."""

    def holds(self, link: Link) -> bool:
        """Say whether *link* is meant."""
        return self.broker in {None, link.broker} and self.client in {None, link.client}


EVERYWHERE: Final = Where()


@dataclass(frozen=True)
class _Rule:
    """How long each chunk of bytes is held, and where."""

    where: Where = EVERYWHERE
    hold_s: float | None = 0.0
    """None: until another rule comes."""
    answers_alone: bool = False
    """What clients send passes."""

    def holds_up(self, link: Link, *, is_answer: bool) -> bool:
        """Say whether what comes over *link*, to the broker or as its *answer*, is concerned."""
        return self.hold_s != 0.0 and (is_answer or not self.answers_alone) and self.where.holds(link)


@dataclass(eq=False)
class Link:
    """One client's connection to one broker."""

    broker: int
    near: socket.socket
    """To the client."""
    far: socket.socket
    """To the broker."""
    client: str = ""
    """The name that it gave itself; "" until it did."""
    work: asyncio.Task[None] | None = field(default=None, repr=False)

    def reset(self) -> None:
        """Break it off: both sides see a reset."""
        for side in (self.near, self.far):
            side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        if self.work is not None:
            self.work.cancel()

    def close(self) -> None:
        """Let go of both sides."""
        self.near.close()
        self.far.close()


class Proxy:
    """The fronts of all brokers, on free ports of this machine; bytes pass in a thread of its own.

    Its methods are for one other thread; each gives back once what it says holds.

    Always true:

    * One thing is spoilt at a time; the next command takes its place.
    * Nothing of a connection passes before its client is known.
    * What was held passes, late, once it may.
    """

    def __init__(self, brokers: int) -> None:
        """Take the ports; connections are led on after `lead_to`."""
        self._fronts = [socket.create_server((HOST, 0)) for _ in range(brokers)]
        self._behind: Sequence[int] = ()
        self._links: set[Link] = set()
        self._rule = _Rule()
        self._loop = asyncio.new_event_loop()
        self._changed = asyncio.Event()
        self._end = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="verify-proxy", daemon=True)

    @property
    def ports(self) -> list[int]:
        """The port of each front, in the order of the brokers' numbers."""
        return [front.getsockname()[1] for front in self._fronts]

    @property
    def bootstrap(self) -> str:
        """The addresses of all fronts, in the form that clients take."""
        return ",".join(f"{HOST}:{port}" for port in self.ports)

    def lead_to(self, ports: Sequence[int]) -> None:
        """Lead what comes to each front on to the port of its broker, from now on."""
        self._behind = ports
        self._thread.start()

    def calm(self) -> None:
        """Let everything pass."""
        self._tell(lambda: self._follow(_Rule()))

    def delay(self, seconds: float, where: Where = EVERYWHERE, *, answers_alone: bool = False) -> int:
        """Hold each chunk for so long, both ways or on the way back alone; give how many connections that concerns."""
        return self._tell(lambda: self._follow(_Rule(where, seconds, answers_alone)))

    def silence(self, where: Where) -> int:
        """Take connections and keep them, and move no byte; give how many that concerns now."""
        return self._tell(lambda: self._follow(_Rule(where, None)))

    def reset(self, where: Where = EVERYWHERE) -> int:
        """Break off the connections there are; give how many."""
        return self._tell(lambda: self._break(where))

    def close(self) -> None:
        """Break off everything, and let go of the ports."""
        if self._thread.is_alive():
            self._tell(self._end.set)
            self._thread.join(_ANSWERS_WITHIN_S)
        self._loop.close()
        for front in self._fronts:
            front.close()

    def _tell(self, command: Callable[[], T]) -> T:
        async def done() -> T:
            return command()

        return asyncio.run_coroutine_threadsafe(done(), self._loop).result(_ANSWERS_WITHIN_S)

    def _follow(self, rule: _Rule) -> int:
        self._rule = rule
        self._changed.set()
        self._changed = asyncio.Event()
        return sum(rule.where.holds(link) for link in self._links)

    def _break(self, where: Where) -> int:
        meant = [link for link in self._links if where.holds(link)]
        for link in meant:
            link.reset()
        return len(meant)

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            doors = [tasks.create_task(self._admit(number, tasks)) for number in range(1, len(self._fronts) + 1)]
            await self._end.wait()
            for door in doors:
                door.cancel()
            self._break(EVERYWHERE)

    async def _admit(self, broker: int, tasks: asyncio.TaskGroup) -> None:
        front = self._fronts[broker - 1]
        front.settimeout(0)
        while True:
            near, _ = await self._loop.sock_accept(front)
            far = socket.socket()
            for side in (near, far):
                side.settimeout(0)
                side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            link = Link(broker, near, far)
            self._links.add(link)
            link.work = tasks.create_task(self._carry(link))
            link.work.add_done_callback(partial(self._drop, link))

    def _drop(self, link: Link, _: asyncio.Task[None]) -> None:
        self._links.discard(link)
        link.close()

    async def _carry(self, link: Link) -> None:
        """Move the bytes of one connection until both sides have ended; what breaks one side breaks the other."""
        try:
            await self._connect(link)
            async with asyncio.TaskGroup() as ways:
                ways.create_task(self._pass_on(link, link.near, link.far))
                ways.create_task(self._pass_on(link, link.far, link.near))
        except* OSError:
            link.reset()

    async def _connect(self, link: Link) -> None:
        """Learn whose connection it is, and lead it on."""
        first = await self._take(link.near, _HEADER.size)
        name_length = _HEADER.unpack(first)[-1]
        name = await self._take(link.near, max(0, name_length))
        link.client = name.decode(errors="replace")
        await self._when_it_may(link, is_answer=False)
        await self._loop.sock_connect(link.far, (HOST, self._behind[link.broker - 1]))
        await self._loop.sock_sendall(link.far, first + name)

    async def _take(self, side: socket.socket, count: int) -> bytes:
        taken = b""
        while len(taken) < count:
            if not (more := await self._loop.sock_recv(side, count - len(taken))):
                raise ConnectionAbortedError("it ended before it said whose it is")
            taken += more
        return taken

    async def _pass_on(self, link: Link, source: socket.socket, sink: socket.socket) -> None:
        is_answer = source is link.far
        while data := await self._loop.sock_recv(source, _CHUNK):
            await self._when_it_may(link, is_answer=is_answer)
            await self._loop.sock_sendall(sink, data)
        await self._when_it_may(link, is_answer=is_answer)
        sink.shutdown(socket.SHUT_WR)

    async def _when_it_may(self, link: Link, *, is_answer: bool) -> None:
        while (rule := self._rule).holds_up(link, is_answer=is_answer):
            try:
                async with asyncio.timeout(rule.hold_s):
                    await self._changed.wait()
            except TimeoutError:  # it was held for as long as the rule says
                return
