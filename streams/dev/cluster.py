"""A development cluster: one or three brokers in one data folder."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from streams.dev import process
from streams.dev.broker import Broker
from streams.dev.folder import DataFolder, Member, Roster, default_folder, new_cluster_id
from streams.dev.ports import HOST, answers, free_ports, is_free
from streams.dev.process import Process
from streams.dev.runtime import Runtime
from streams.errors import BrokerError, UsageError
from streams.kafka.probe import await_broker

_READY_WITHIN_S = 90.0
_PORT_ATTEMPTS = 5
_GUARD_STOP_S = 2.0


def tell_nobody(step: str) -> None:
    """Hear of a *step* and keep it."""


class DevCluster:
    """A real Kafka on this machine, in the processes that its folder's roster names.

    Not bound to a process: whoever opens the folder has the same cluster.

    Always true:

    * It listens on the loopback address only.
    * `down` ends what was started in this folder, and nothing else.
    """

    def __init__(self, data: Path | None = None, *, say: Callable[[str], None] = tell_nobody) -> None:
        self.folder = DataFolder(Path(data or default_folder()).absolute())
        self._say = say

    @classmethod
    def start(
        cls,
        data: Path | None = None,
        *,
        brokers: int | None = None,
        lives_with: Process | None = None,
        proxies: Sequence[int] = (),
        say: Callable[[str], None] = tell_nobody,
    ) -> DevCluster:
        """The cluster in *data*: found, or started; it answers when this returns.

        Args:
            data: Its folder; by default the one of this user.
            brokers: 1 or 3; by default as many as the folder holds, or 1.
            lives_with: End the brokers when this process is gone, however it
                ended; by default they stay until `down`.
            proxies: A port for each broker of a new cluster: a proxy of the
                caller's listens there and leads to `Broker.proxied_port`.
                Clients that come that way are told these addresses of all
                brokers, so they never pass it by.
            say: Is told each step that takes time.

        Raises:
            UsageError: The folder, the Java or the number of brokers can't be used.
            BrokerError: The jars can't be had, or a broker did not come up.
        """
        cluster = cls(data, say=say)
        try:
            cluster.folder.prepare()
            with cluster.folder.locked():
                cluster._bring_up(brokers, lives_with, proxies)
        except OSError as failure:
            raise UsageError(
                f"No cluster can be started in {cluster.folder.path}: {failure}. Nothing runs there. "
                "Make room or give rights, or name another folder with --data."
            ) from failure
        return cluster

    @property
    def brokers(self) -> list[Broker]:
        """A handle on each broker, running or not; none before the first start."""
        roster = self.folder.roster()
        members = roster.brokers if roster else ()
        return [Broker(one.node, self.folder, lambda: self._runtime) for one in members]

    @property
    def bootstrap(self) -> str:
        """The addresses of all brokers, in the form that clients take."""
        return ",".join(broker.address for broker in self.brokers)

    @property
    def is_running(self) -> bool:
        """Whether any of its brokers runs."""
        return any(broker.is_running for broker in self.brokers)

    @property
    def is_whole(self) -> bool:
        """Whether it was ever started and each of its brokers accepts connections."""
        brokers = self.brokers
        return bool(brokers) and all(broker.is_running and answers(broker.port) for broker in brokers)

    def heal(self) -> None:
        """Bring back every broker that was stopped, killed or suspended, and wait until all answer.

        Raises:
            BrokerError: One did not come up.
        """
        for broker in self.brokers:
            broker.resume()
            broker.start()
        self.await_answer()

    def await_answer(self, *, deadline_s: float = _READY_WITHIN_S) -> None:
        """Wait until every broker answers and sees all the others, where its proxy leads to as well.

        Raises:
            BrokerError: One ended, or does not answer within *deadline_s*.
        """
        brokers = self.brokers
        for broker in brokers:
            entrances = [broker.address, *([f"{HOST}:{broker.proxied_port}"] if broker.proxied_port else [])]
            for entrance in entrances:
                await_broker(entrance, deadline_s, brokers=len(brokers), between_tries=self._check_alive)

    def down(self) -> int:
        """End its brokers; their records stay in the folder.

        Returns:
            How many were running.
        """
        if self.folder.roster() is None:
            return 0
        with self.folder.locked():
            return self._end()

    def throw_away(self) -> None:
        """End it and remove its records; a folder that is not a cluster's is refused.

        Raises:
            UsageError: Somebody else's files are in the folder.
        """
        self.folder.prepare()
        with self.folder.locked():
            self._end()
            self.folder.clear()

    @cached_property
    def _runtime(self) -> Runtime:
        return Runtime.find(self._say)

    def _bring_up(self, count: int | None, lives_with: Process | None, proxies: Sequence[int]) -> None:
        roster = self.folder.roster()
        held = len(roster.brokers) if roster else 0
        if count is not None and held not in {0, count}:
            raise UsageError(
                f"{self.folder.path} holds a cluster of {held}, not of {count}; nothing was changed. "
                "Name another folder with --data, or throw its records away with --fresh."
            )
        if self.is_running:
            self.heal()
        else:
            self._start_all(roster or _new_roster(count or 1, proxies), lives_with)

    def _start_all(self, roster: Roster, lives_with: Process | None) -> None:
        """Start every broker; ports that were taken in the meantime are chosen again."""
        for attempt in range(1, _PORT_ATTEMPTS + 1):
            self.folder.write(roster)
            if not self._ports_are_free():
                self.folder.write(_on_free_ports(roster))
            try:
                self._start_once(lives_with)
            except BrokerError:
                self._end()
                if self._ports_are_free() or attempt == _PORT_ATTEMPTS:
                    raise
            except BaseException:
                self._end()
                raise
            else:
                return

    def _start_once(self, lives_with: Process | None) -> None:
        brokers = self.brokers
        self._say(f"preparing a cluster of {len(brokers)} in {self.folder.path}")
        _ = self._runtime  # found once, before several threads ask for it
        with ThreadPoolExecutor(len(brokers)) as threads:
            list(threads.map(Broker.configure, brokers))
        if lives_with is not None:
            self._set_guard(lives_with)
        self._say(f"starting {self.bootstrap}")
        for broker in brokers:
            broker.start()
        self.await_answer()

    def _ports_are_free(self) -> bool:
        roster = self.folder.roster()
        members = roster.brokers if roster else ()
        return all(is_free(port) for one in members for port in one.ports)

    def _check_alive(self) -> None:
        for broker in self.brokers:
            if not broker.is_running:
                raise BrokerError(
                    f"Broker {broker.node} of the cluster in {self.folder.path} ended. Its last words:\n"
                    f"{broker.last_words() or '(none)'}"
                )

    def _end(self) -> int:
        running = [broker for broker in self.brokers if broker.is_running]
        if running:
            with ThreadPoolExecutor(len(running)) as threads:
                list(threads.map(Broker.stop, running))
        if (roster := self.folder.roster()) and roster.guard:
            roster.guard.end(deadline_s=_GUARD_STOP_S)
            self.folder.write(replace(roster, guard=None))
        return len(running)

    def _set_guard(self, watched: Process) -> None:
        """Have the brokers ended when *watched* is gone."""
        roster_file = str(self.folder.roster_file)
        command = [sys.executable, "-I", "-S", process.__file__, str(watched.pid), watched.birth, roster_file]
        guard = process.spawn(command, output=self.folder.path / "guard.log")
        if roster := self.folder.roster():
            self.folder.write(replace(roster, guard=guard))


def running_bootstrap(data: Path | None = None) -> str | None:
    """The address of the development cluster in *data*, if it runs: no network but this machine's."""
    cluster = DevCluster(data)
    is_there = any(broker.is_running and answers(broker.port) for broker in cluster.brokers)
    return cluster.bootstrap if is_there else None


def _new_roster(count: int, proxies: Sequence[int]) -> Roster:
    before = zip(range(1, count + 1), proxies or [0] * count, strict=True)
    members = (Member(node, port=0, controller_port=0, proxy_port=port) for node, port in before)
    return _on_free_ports(Roster(new_cluster_id(), tuple(members)))


def _on_free_ports(roster: Roster) -> Roster:
    ports = iter(free_ports(3 * len(roster.brokers)))
    chosen = zip(roster.brokers, ports, ports, ports, strict=True)
    return replace(roster, brokers=tuple(_on_ports(one, *three) for one, *three in chosen))


def _on_ports(member: Member, port: int, controller_port: int, proxied_port: int) -> Member:
    proxied = proxied_port if member.proxy_port else 0
    return replace(member, port=port, controller_port=controller_port, proxied_port=proxied)
