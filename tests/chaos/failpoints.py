"""Faults at exact moments inside a member: its process is patched as it starts, and costs nothing where it is not.

Named in ``CHAOS_FAILPOINT``; a file in the member's folder tells that one has
struck.  The engine knows nothing of any of this.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from streams.engine.commit import Committer
from streams.engine.control import Control
from streams.engine.partition import Bury, Move, PartitionState
from streams.engine.relocation import Errand, Relocator
from streams.kafka.consumer import GroupConsumer

VARIABLE: Final = "CHAOS_FAILPOINT"
EXIT: Final = 9
"""What a process ends with that a failpoint has ended."""
_TURNS: Final = 400
"""Turns of the loop before it is struck: work is under way by then."""
_WAKES_WITHIN_S: Final = 120


class PollThreadError(Exception):
    """Nobody expected this one."""


def struck(folder: Path, pid: int) -> Path:
    """Name the file that tells that process *pid* was struck."""
    return folder / f"{pid}.struck"


def struck_ns(folder: Path, pid: int) -> int:
    """Say when process *pid* was struck, which it was."""
    return int(struck(folder, pid).read_text())


def go_on(folder: Path, pid: int) -> Path:
    """Name the file that lets process *pid* go on after it was struck."""
    return folder / f"{pid}.go-on"


class Failpoints:
    """Those of this process."""

    def __init__(self, folder: Path) -> None:
        """Tell in *folder* what has struck."""
        self._folder = folder
        self._turns = 0

    def install(self, name: str) -> None:
        """Patch this process."""
        known: Mapping[str, Callable[[], None]] = {
            "after-letter": self.after_letter,
            "copy-on-its-way": self.copy_on_its_way,
            "after-copy": self.after_copy,
            "before-commit": self.before_commit,
            "copied-before-commit": self.copied_before_commit,
            "answer-on-its-way": self.answer_on_its_way,
            "answered-before-commit": self.answered_before_commit,
            "poll-dies": self.poll_dies,
            "poll-hangs": self.poll_hangs,
        }
        known[name]()

    def after_letter(self) -> None:
        """End the process when the broker has acknowledged a dead letter, before anything of it is settled."""
        self._end_after(lambda move: isinstance(move, Bury))

    def after_copy(self) -> None:
        """The same with a copy for a retry topic or the parked one."""
        self._end_after(lambda move: not isinstance(move, Bury))

    def copy_on_its_way(self) -> None:
        """End the process when such a copy was handed to the client, and nobody knows whether it went."""
        produce = Relocator._produce  # noqa: SLF001  # the very moment

        def end(relocator: Relocator, queue: deque[Errand], most: int) -> None:
            copies = [one for one in queue if isinstance(one.what, Move) and not isinstance(one.what, Bury)]
            before = relocator.unacknowledged
            produce(relocator, queue, most)
            if copies and relocator.unacknowledged > before:
                self._end()

        _patch(Relocator, "_produce", end)

    def before_commit(self) -> None:
        """End the process when a dead letter is acknowledged and settled, before the commit that says so is sent."""
        letters = list[Move]()
        _listen(lambda moves: letters.extend(move for move in moves if isinstance(move, Bury)))
        self._end_at_commit(lambda: bool(letters))

    def copied_before_commit(self) -> None:
        """The same once a copy for a retry topic or the parked one is acknowledged and its letter settled."""
        copies = list[Move]()
        _listen(lambda moves: copies.extend(move for move in moves if not isinstance(move, Bury)))
        self._end_at_commit(lambda: bool(copies))

    def answer_on_its_way(self) -> None:
        """End the process when the answer to a command was handed to the client, and nobody knows whether it went."""
        answer = Control._answer  # noqa: SLF001  # the very moment

        def end(control: Control, *args: Any) -> None:
            answer(control, *args)
            self._end()

        _patch(Control, "_answer", end)

    def answered_before_commit(self) -> None:
        """End the process when the audit has the answer, before the commit that says the command was carried out."""
        told = list[bool]()
        hear = Control._hear_of_answers  # noqa: SLF001  # the very moment

        def listen(control: Control) -> None:
            before = control._under_way  # noqa: SLF001  # the same
            hear(control)
            told.extend([True] * (control._under_way < before))  # noqa: SLF001  # the same

        _patch(Control, "_hear_of_answers", listen)
        self._end_at_commit(lambda: bool(told))

    def _end_at_commit(self, is_time: Callable[[], bool]) -> None:
        commit = GroupConsumer.commit

        def send(consumer: GroupConsumer, *entries: Any) -> None:
            if is_time():
                self._end()
            commit(consumer, *entries)

        _patch(GroupConsumer, "commit", send)

    def poll_dies(self) -> None:
        """Have the poll thread meet an error that nobody expected."""
        self._strike_loop(self._raise)

    def poll_hangs(self) -> None:
        """Have the poll thread stand still until it is told to go on."""
        self._strike_loop(self._hang)

    def _end_after(self, is_meant: Callable[[Move], bool]) -> None:
        def end(moves: list[Move]) -> None:
            if any(map(is_meant, moves)):
                self._end()

        _listen(end)

    def _strike_loop(self, strike: Callable[[], None]) -> None:
        commit_if_due = Committer.commit_if_due

        def turn(committer: Committer, consumer: GroupConsumer) -> None:
            self._turns += 1
            if self._turns == _TURNS:
                self._tell()
                strike()
            commit_if_due(committer, consumer)

        _patch(Committer, "commit_if_due", turn)

    def _raise(self) -> None:
        raise PollThreadError("an error that nobody expected")

    def _hang(self) -> None:
        word, ends_at = go_on(self._folder, os.getpid()), time.monotonic() + _WAKES_WITHIN_S
        while not word.exists() and time.monotonic() < ends_at:
            threading.Event().wait(0.05)

    def _end(self) -> None:
        self._tell()
        os._exit(EXIT)

    def _tell(self) -> None:
        file = struck(self._folder, os.getpid())
        file.with_suffix(".told").write_text(str(time.monotonic_ns()))
        file.with_suffix(".told").rename(file)


def _listen(hear: Callable[[list[Move]], None]) -> None:
    """Have *hear* told of the copies that the broker has, before anybody else is."""
    arrived = Relocator.arrived

    def listen(relocator: Relocator) -> Mapping[PartitionState, list[Move]]:
        moves = arrived(relocator)
        hear([move for some in moves.values() for move in some])
        return moves

    _patch(Relocator, "arrived", listen)


def _patch(owner: type, name: str, function: Callable[..., Any]) -> None:
    setattr(owner, name, function)
