"""One broker of a development cluster: its process, and the faults one can do to it."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable
from dataclasses import replace

from streams.dev.folder import DataFolder, Member, Roster
from streams.dev.ports import HOST
from streams.dev.process import Process, spawn
from streams.dev.properties import LOGGING, server_properties
from streams.dev.runtime import Runtime
from streams.errors import BrokerError

_STOP_WITHIN_S = 15.0
_ALONE = ("-Xmx512m",)
_IN_COMPANY = ("-Xmx400m", "-XX:TieredStopAtLevel=1")
"""Three share the machine: they start with a third less work, and are not for measuring throughput."""

_TAIL_LINES = 15


class Broker:
    """One broker: a number, a port, and whichever process runs it now.

    What it knows of the process is in the folder's roster, so that several
    handles on one broker agree.  Not for two threads at once.

    Always true:

    * Only the very process that this cluster started is signalled.
    * The roster names a process before anybody waits for it.
    """

    def __init__(self, node: int, folder: DataFolder, runtime: Callable[[], Runtime]) -> None:
        self.node = node
        self._folder = folder
        self._runtime = runtime

    def __repr__(self) -> str:
        return f"<Broker {self.node} at {self.address}>"

    @property
    def port(self) -> int:
        """The port for clients."""
        return self._member.port

    @property
    def address(self) -> str:
        """Host and port for clients."""
        return f"{HOST}:{self.port}"

    @property
    def proxied_port(self) -> int:
        """The port for a proxy that was named at the start of the cluster; 0 where none was."""
        return self._member.proxied_port

    @property
    def pid(self) -> int | None:
        """The id of its process; None while it does not run."""
        process = self._process
        return process.pid if process and process.is_running else None

    @property
    def is_running(self) -> bool:
        """Whether its process runs; true for a suspended one too."""
        return self._member.is_running

    def configure(self) -> None:
        """Write its settings, and format its storage if it has none.

        Raises:
            BrokerError: Kafka refused to format; the text has its words.
        """
        node = self._folder.node(self.node)
        (node / "tmp").mkdir(parents=True, exist_ok=True)
        (node / "log4j2.properties").write_text(LOGGING)
        settings = server_properties(self._member, self._roster.brokers, node / "data")
        (node / "server.properties").write_text(settings)
        if not (node / "data" / "meta.properties").exists():
            self._format()

    def start(self) -> None:
        """Start its process, if none runs; it answers some seconds later (`DevCluster.await_answer`)."""
        if self.is_running:
            return
        self._folder.put_log_aside(self.node)
        options = _ALONE if len(self._roster.brokers) == 1 else _IN_COMPANY
        node = self._folder.node(self.node)
        program = ["kafka.Kafka", str(node / "server.properties")]
        command = self._runtime().command(node, program, *options)
        self._note(spawn(command, output=self._folder.output(self.node)))

    def stop(self) -> None:
        """End it in an orderly way; past 15 s, kill it.  Returns when it is gone."""
        if process := self._process:
            process.end(deadline_s=_STOP_WITHIN_S)

    def kill(self) -> None:
        """End it as a power cut would.  Returns when it is gone."""
        if process := self._process:
            process.kill()

    def suspend(self) -> None:
        """Make it stand still: its connections stay, nothing is answered."""
        if process := self._process:
            process.send(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on after `suspend`."""
        if process := self._process:
            process.send(signal.SIGCONT)

    def last_words(self) -> str:
        """The last lines of what it printed and logged since its start, without the stack traces."""
        files = self._folder.output(self.node), self._folder.log(self.node)
        lines = [line for file in files if file.exists() for line in file.read_text(errors="replace").splitlines()]
        return "\n".join([line for line in lines if not line.startswith("\t")][-_TAIL_LINES:])

    @property
    def _roster(self) -> Roster:
        roster = self._folder.roster()
        if roster is None:
            raise BrokerError(f"{self._folder.path} holds no cluster any more. Start it again: streams dev up")
        return roster

    @property
    def _member(self) -> Member:
        return self._roster.member(self.node)

    @property
    def _process(self) -> Process | None:
        return self._member.process

    def _note(self, process: Process) -> None:
        self._folder.write(self._roster.with_member(replace(self._member, process=process)))

    def _format(self) -> None:
        node = self._folder.node(self.node)
        settings = str(node / "server.properties")
        program = ["kafka.tools.StorageTool", "format", "-t", self._roster.cluster_id, "-c", settings]
        command = self._runtime().command(node, program, "-Xmx256m", "-XX:TieredStopAtLevel=1")  # it ends at once
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            words = (done.stdout + done.stderr).strip()
            raise BrokerError(f"Kafka can't format {node / 'data'}; nothing was started. It says:\n{words}")
