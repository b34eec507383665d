"""A step that takes longer than it may ends the process."""

from __future__ import annotations

import subprocess
import sys
import threading

from streams.engine.watchdog import EXIT_CODE, within


def test_a_step_in_time_ends_nothing() -> None:
    """What ends within its budget is let be, however it ends."""
    expired: list[str] = []
    with within(0.05, "the commit", lambda step, _: expired.append(step)):
        pass
    timers = [one for one in threading.enumerate() if isinstance(one, threading.Timer)]
    for one in timers:
        one.join(30)

    assert expired == []


def test_a_step_past_its_time_is_told_from_another_thread() -> None:
    """The stuck thread itself could tell nobody."""
    told = threading.Event()
    expired: list[tuple[str, float, str]] = []

    def expire(step: str, budget_s: float) -> None:
        expired.append((step, budget_s, threading.current_thread().name))
        told.set()

    with within(0.01, "the commit of orders/0", expire):
        told.wait(30)

    assert [(step, budget_s) for step, budget_s, _ in expired] == [("the commit of orders/0", 0.01)]
    assert expired[0][2] != threading.current_thread().name


def test_the_process_ends_at_once_and_says_why() -> None:
    """No clean-up is trusted any more: handlers at exit do not run, and the exit code tells."""
    program = (
        "import atexit, logging, threading; from streams.engine.watchdog import within\n"
        "logging.basicConfig(); atexit.register(print, 'cleaned up')\n"
        "with within(0.01, 'leaving the group'): threading.Event().wait(60)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == EXIT_CODE == 70
    assert "leaving the group did not end within 0.01 s" in done.stderr
    assert done.stdout == ""
