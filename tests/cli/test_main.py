"""The command as a whole: what it loads, how it ends, and how it tells a mistake."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import version

import click
import pytest

from streams.cli import COMMANDS, Commands, main
from streams.cli.feed import Pace
from streams.dev.ports import HOST, free_ports
from tests.cli.shell import Shell


@pytest.fixture
def lonely() -> Shell:
    """The command, with a broker named where none is."""
    return Shell(f"{HOST}:{free_ports(1)[0]}")


def test_help_loads_no_command() -> None:
    """Help and version import no command's file, nor what those need to talk to a broker."""
    program = (
        "import sys; from streams.cli import main; main(['--help'], standalone_mode=False);"
        "print(sorted(n for n in sys.modules if n.startswith(('streams.cli.', 'streams.kafka.admin', 'streams.dev'))))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.splitlines()[-1] == "['streams.cli.output']"
    assert "Commands:" in done.stdout


@pytest.mark.parametrize("closed", ["2>&-", "0<&- 2>&-"])
def test_standard_streams_that_are_closed_are_nobody_elses(closed: str) -> None:
    """What is opened next gets another number, and words for a stream that is not there go nowhere."""
    program = (
        "import os, sys; from streams.cli import main; main(['--version'], standalone_mode=False);"
        "print('words', file=sys.stderr, flush=True); print(os.open(os.devnull, os.O_RDONLY))"
    )
    line = f'exec "{sys.executable}" -c "{program}" {closed}'
    done = subprocess.run(["/bin/sh", "-c", line], stdout=subprocess.PIPE, text=True, check=True)

    assert int(done.stdout.splitlines()[-1]) > 2


def test_every_command_of_the_overview_is_there() -> None:
    """Each command of the overview can be loaded and has a help of its own."""
    for name in COMMANDS:
        command = Commands().get_command(click.Context(main), name)

        assert command is not None, name
        assert command.help, name


@pytest.mark.parametrize("name", ["topics", "produce", "lag", "status", "describe", "dlq", "replay", "metrics"])
def test_each_command_has_one_example(name: str) -> None:
    """Help ends with an example that begins as one would type it."""
    command = Commands().get_command(click.Context(main), name)
    leaves = list(command.commands.values()) if isinstance(command, click.Group) else [command]

    for leaf in leaves:
        assert leaf is not None
        assert re.fullmatch(rf"Example:  streams {name} .+", leaf.epilog or ""), leaf.name


def test_version_is_the_package_s(lonely: Shell) -> None:
    """`--version` tells the installed version."""
    assert lonely("--version").out == f"streams, version {version('streams')}\n"


def test_an_unknown_command_is_a_usage_error(lonely: Shell) -> None:
    """What is no command ends with 2."""
    assert "No such command" in lonely("frobnicate", code=2).err


@pytest.mark.parametrize(
    "line",
    [
        "topics list",
        "topics create orders --partitions 1",
        "produce orders",
        "lag billing",
        "status",
        "dlq list",
        "replay plan billing --to-end",
    ],
)
def test_no_broker_is_a_failure_in_words(lonely: Shell, line: str) -> None:
    """Without a broker every command ends with 1, says where it looked and what to do, and prints no result."""
    said = lonely(line, "--json", code=1, stdin="")

    assert "no broker answers at 127.0.0.1:" in said.err
    assert "streams dev up" in said.err
    assert said.out == ""


def test_no_address_is_a_usage_error() -> None:
    """Where no broker is named and none runs here, the words say how to name one."""
    said = Shell("")("status", code=2)

    assert "STREAMS_BOOTSTRAP" in said.err
    assert "streams dev up" in said.err


def test_every_wrong_setting_is_listed(lonely: Shell) -> None:
    """All faults of the settings are told at once."""
    said = lonely(
        "status --bootstrap nonsense", code=2, STREAMS_PROTOCOL="eager", STREAMS_KAFKA_ENABLE_AUTO_COMMIT="true"
    )

    for fault in (
        "'nonsense' is not of the form host:port",
        "protocol: 'eager'",
        "'enable.auto.commit' is set by streams",
    ):
        assert fault in said.err


def test_a_secret_is_not_shown(lonely: Shell) -> None:
    """A password in the environment appears in no output."""
    environment = {"STREAMS_KAFKA_SASL_PASSWORD": "hush-hush", "STREAMS_KAFKA_SASL_USERNAME": "alice"}
    said = lonely("status", code=1, **environment)

    assert "hush-hush" not in said.err + said.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("dlq", "show", "billing", f"orders/0/{'9' * 5_000}"), "is not of the form TOPIC/PARTITION/OFFSET"),
        (
            ("dlq", "list", "billing", "--key", "\udcff", "--bootstrap", "nowhere"),
            "'nowhere' is not of the form host:port",
        ),
        (("produce", "orders", "--file", "x", "--rejects", "r" * 300, "--bootstrap", "nowhere"), "'nowhere' is not of"),
    ],
    ids=["a number of many digits", "a key that is no UTF-8", "a name of many characters"],
)
def test_an_odd_argument_is_no_traceback(arguments: tuple[str, ...], words: str, lonely: Shell) -> None:
    """It is refused in words, or taken as it is."""
    assert words in lonely(arguments[0], *arguments[1:], code=2).err


def test_the_highest_rate_is_none() -> None:
    """A number beyond all numbers is as fast as it goes."""
    pace = Pace.parse("9" * 400)

    assert pace.look_every > 0
    assert pace.ahead_s(1_000) <= 0
