"""Members as processes: started again when they die, told when to stop, killed when they don't."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.errors import StreamsError
from streams.supervisor import Supervisor, next_pause_s
from tests.waiting import eventually

PYTHON = [sys.executable, "-S", "-E", "-c"]
SIGNALS = (signal.SIGTERM, signal.SIGINT)


def program(text: str) -> list[str]:
    """A member that does *text*; it finds its number in ``number``, and may note things in ``log``."""
    begin = "import os, signal, sys, time; number = os.environ['STREAMS_MEMBER']; log = open(sys.argv[1], 'a')\n"
    return [*PYTHON, begin + text]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """What the members note."""
    path = tmp_path / "log"
    path.touch()
    return path


def supervise(text: str, log: Path, count: int = 1, grace_s: float = 30.0) -> list[int]:
    """Run *count* members until all have ended; a death is followed by next to no pause."""
    return Supervisor([*program(text), str(log)], count, grace_s, first_pause_s=0.01).run()


@contextmanager
def supervised(text: str, log: Path, count: int = 1, grace_s: float = 30.0) -> Iterator[subprocess.Popen[str]]:
    """The same in a process of its own, which prints the exit codes."""
    command = json.dumps([*program(text), str(log)])
    run = f"from streams.supervisor import Supervisor; print(Supervisor({command}, {count}, {grace_s}).run())"
    with subprocess.Popen(
        [sys.executable, "-c", run], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as one:
        try:
            yield one
        finally:
            one.kill()


def lines(log: Path) -> list[str]:
    """What was noted so far."""
    return log.read_text().split()


# -- ends and deaths ----------------------------------------------------------------------------------------


def test_members_that_end_by_themselves_are_not_started_again(log: Path) -> None:
    """Each has a number, runs once, and its exit code is given in its place."""
    codes = supervise("log.write(number + '\\n')", log, count=3)

    assert codes == [0, 0, 0]
    assert sorted(lines(log)) == ["0", "1", "2"]


def test_a_mistake_of_the_user_is_not_repeated(log: Path) -> None:
    """A member that ends with a usage error would end so again."""
    codes = supervise("log.write('x\\n'); sys.exit(2)", log)

    assert codes == [2]
    assert lines(log) == ["x"]


@pytest.mark.parametrize("death", ["sys.exit(1)", "sys.exit(70)", "os.kill(os.getpid(), signal.SIGKILL)", "1 / 0"])
def test_a_member_that_dies_is_started_again(death: str, log: Path) -> None:
    """However it died, it comes back until it ends by itself."""
    codes = supervise(
        f"log.write('x\\n'); log.flush()\nif len(open(sys.argv[1]).read().split()) < 3: sys.stderr.close(); {death}",
        log,
    )

    assert codes == [0]
    assert lines(log) == ["x", "x", "x"]


def test_one_death_hinders_nobody(log: Path) -> None:
    """A member that dies again and again does not end the others, nor start them anew."""
    codes = supervise(
        "log.write(number + '\\n'); log.flush()\n"
        "sys.exit(1 if number == '1' and open(sys.argv[1]).read().count('1') < 4 else 0)",
        log,
        count=2,
    )

    assert codes == [0, 0]
    assert sorted(lines(log)) == ["0", "1", "1", "1", "1"]


def test_a_command_that_can_not_be_started_is_told() -> None:
    """What does not exist ends the supervisor in words."""
    with pytest.raises(StreamsError, match="member 0 can't be started"):
        Supervisor(["/nowhere/at/all"], 1, 1.0).run()


def test_signals_are_given_back(log: Path) -> None:
    """After the run signals mean what they meant before."""
    before = [signal.getsignal(number) for number in SIGNALS]
    supervise("", log)

    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_members_know_who_looks_after_them(log: Path) -> None:
    """Each finds the supervisor's process id, to end with it."""
    supervise("log.write(os.environ['STREAMS_SUPERVISOR_PID'])", log)

    assert lines(log) == [str(os.getpid())]


# -- as many as are wanted ----------------------------------------------------------------------------------

WORKS = (
    "signal.signal(signal.SIGTERM, lambda *_: (log.write(f'-{number}\\n'), sys.exit(0)))\n"
    "log.write(f'+{number}\\n'); log.flush()\nwhile True: time.sleep(0.01)"
)


def resized(steps: list[int | None], log: Path, text: str = WORKS, grace_s: float = 30.0) -> list[int]:
    """Have one member after another of *steps* wanted, each until that many work; then stop."""
    left = list(steps)

    def wanted() -> int | None:
        told = lines(log)
        work = sum(1 if line[0] == "+" else -1 for line in told)
        if left and (left[0] is None or left[0] == work):
            left.pop(0)
        if not left:
            signal.raise_signal(signal.SIGTERM)
            return None
        return left[0]

    return Supervisor([*program(text), str(log)], 1, grace_s, first_pause_s=0.01, wanted=wanted).run()


def test_as_many_members_run_as_are_wanted(log: Path) -> None:
    """More are started, fewer end in order, the youngest first; what is not known changes nothing."""
    codes = resized([1, 3, None, 1, 2], log)

    assert codes == [0, 0]
    assert lines(log)[:1] == ["+0"]
    assert sorted(lines(log)[1:3]) == ["+1", "+2"]
    assert sorted(lines(log)[3:5]) == ["-1", "-2"]
    assert "".join(line[0] for line in lines(log)[5:]) == "+--"
    assert "-0" in lines(log)[6:]


def test_none_may_be_wanted(log: Path) -> None:
    """It waits without any, and starts one when it is."""
    codes = resized([1, 0, 1], log)

    assert codes == [0]
    assert "".join(line[0] for line in lines(log)) == "+-+-"


def test_a_member_that_does_not_leave_is_killed(log: Path) -> None:
    """After its time; the others are not touched."""
    stays = (
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0) if number == '0' else None)\n"
        "log.write(f'+{number}\\n'); log.flush()\nwhile True: time.sleep(0.01)"
    )
    seen: list[int] = []

    def wanted() -> int | None:
        if len(lines(log)) < 2:
            return 2
        seen.append(1)
        if len(seen) > 20:
            signal.raise_signal(signal.SIGTERM)
        return 1

    codes = Supervisor([*program(stays), str(log)], 1, 0.3, first_pause_s=0.01, wanted=wanted).run()

    assert codes == [0]


def test_a_mistake_of_the_user_ends_all(log: Path) -> None:
    """Whatever is wanted: the next one would end so too."""
    codes = Supervisor([*program("sys.exit(2)"), str(log)], 1, 1.0, wanted=lambda: 1).run()

    assert codes == [2]


# -- the pause after a death --------------------------------------------------------------------------------


def test_pauses_grow_with_deaths_that_come_soon() -> None:
    """A member that dies at once waits twice as long each time, up to a minute."""
    pauses, pause = [], 0.0
    for _ in range(9):
        pause = next_pause_s(pause, lived_s=0.5)
        pauses.append(pause)

    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_a_member_that_lasted_comes_back_soon() -> None:
    """After a minute of life the next death counts as the first."""
    assert next_pause_s(32.0, lived_s=60.0) == 1.0


@given(before=st.floats(0, 60), lived=st.floats(0, 1e6))
def test_a_pause_has_its_bounds(before: float, lived: float) -> None:
    """No death is followed by a start at once, and none by more than a minute."""
    assert 1.0 <= next_pause_s(before, lived_s=lived) <= 60.0


# -- stopping -------------------------------------------------------------------------------------------------

OBEDIENT = (
    "signal.signal(signal.SIGTERM, lambda *_: (log.write('term\\n'), log.flush(), sys.exit(0)))\n"
    "signal.signal(signal.SIGINT, lambda *_: (log.write('int\\n'), log.flush(), sys.exit(0)))\n"
    "log.write('up\\n'); log.flush(); time.sleep(60)"
)
STUBBORN = (
    "signal.signal(signal.SIGTERM, lambda *_: (log.write('term\\n'), log.flush()))\n"
    "log.write('up\\n'); log.flush(); parent = os.getppid()\n"
    "while os.getppid() == parent: time.sleep(0.1)"  # a supervisor that is killed leaves nobody behind
)
MORTAL = "log.write('up\\n'); log.flush(); sys.exit(1)"


@pytest.mark.parametrize(("number", "noted"), [(signal.SIGTERM, "term"), (signal.SIGINT, "int")])
def test_a_signal_goes_on_to_all_members(number: signal.Signals, noted: str, log: Path) -> None:
    """Every member hears it, and ends as it likes; none is started again."""
    with supervised(OBEDIENT, log, count=2) as one:
        eventually(lambda: lines(log) == ["up", "up"])
        one.send_signal(number)
        out, _ = one.communicate(timeout=30)

    assert out.strip() == "[0, 0]"
    assert lines(log) == ["up", "up", noted, noted]


def test_a_second_signal_goes_on_too(log: Path) -> None:
    """A member decides itself what a second one means."""
    with supervised(STUBBORN, log) as one:
        eventually(lambda: lines(log) == ["up"])
        one.send_signal(signal.SIGTERM)
        eventually(lambda: lines(log) == ["up", "term"])
        one.send_signal(signal.SIGTERM)
        eventually(lambda: lines(log)[2:])

    assert lines(log) == ["up", "term", "term"]


def test_who_does_not_end_in_time_is_killed(log: Path) -> None:
    """Past the grace a stop is a stop."""
    with supervised(STUBBORN, log, grace_s=0.2) as one:
        eventually(lambda: lines(log) == ["up"])
        one.send_signal(signal.SIGTERM)
        out, err = one.communicate(timeout=30)

    assert out.strip() == f"[{-signal.SIGKILL}]"
    assert "did not end within 0.2 s" in err


def test_after_a_stop_nothing_is_started(log: Path) -> None:
    """A member that waits to be started again stays away."""
    with supervised(MORTAL, log) as one:
        eventually(lambda: lines(log) == ["up"])
        one.send_signal(signal.SIGTERM)
        out, _ = one.communicate(timeout=30)

    assert lines(log) == ["up"]
    assert out.strip() in ("[0]", "[1]")
