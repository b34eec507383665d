"""Which frameworks are run, and the environments that they stand in."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from benchmarks.peers import environment
from benchmarks.peers.__main__ import available, chosen
from benchmarks.peers.catalog import OURS, PEERS, Peer
from benchmarks.peers.environment import command_of, is_current, last_line
from benchmarks.peers.stage import Stage
from streams.bench.ground import Ground
from streams.config import Settings

REQUIREMENTS = Path(environment.__file__).parent / "requirements"
PYTHON_PEERS = [peer for peer in PEERS if peer.kind == "python"]


@pytest.mark.parametrize("peer", PYTHON_PEERS, ids=lambda peer: peer.name)
def test_every_requirement_is_pinned_and_names_no_registry(peer: Peer) -> None:
    """A line is a package and its version, and nothing else."""
    lines = (REQUIREMENTS / f"{peer.environment}.txt").read_text().splitlines()

    assert lines
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.]*", line) for line in lines)


@pytest.mark.parametrize("peer", [*PYTHON_PEERS, *OURS], ids=lambda peer: peer.name)
def test_every_framework_has_its_worker(peer: Peer) -> None:
    """The program that its line names is there."""
    assert (REQUIREMENTS.parent / "workers" / f"{peer.program}.py").is_file()


def test_all_frameworks_run_unless_some_are_named() -> None:
    """Ours run each time."""
    assert chosen("") == [*OURS, *PEERS]
    assert chosen("arroyo") == [*OURS, next(peer for peer in PEERS if peer.name == "arroyo")]
    assert chosen("none") == list(OURS)


def test_an_unknown_name_ends_with_those_that_there_are() -> None:
    """What is not there is named, and what is."""
    with pytest.raises(SystemExit, match=r"There is no kafkaesque; there are: aiokafka, .*none\."):
        chosen("kafkaesque")


def test_what_cannot_be_installed_is_named_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The others go on."""

    def refuse(*command: str) -> None:
        raise subprocess.CalledProcessError(1, command, stderr="looking\nERROR: no matching distribution\n")

    monkeypatch.setattr(environment, "_run", refuse)

    commands, missing = available([OURS[0], PYTHON_PEERS[0]], tmp_path)

    assert list(commands) == [OURS[0]]
    assert missing == ["aiokafka can't be installed: ERROR: no matching distribution"]
    assert missing[0] in capsys.readouterr().err


def test_an_environment_is_made_once_for_its_requirements(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is made again only when they change."""
    commands: list[tuple[str, ...]] = []
    monkeypatch.setattr(environment, "_run", lambda *command: commands.append(command))
    (tmp_path / PYTHON_PEERS[0].name).mkdir()

    first = command_of(PYTHON_PEERS[0], tmp_path)
    again = command_of(PYTHON_PEERS[0], tmp_path)

    assert first == again
    assert len(commands) == 2
    assert not is_current(tmp_path / PYTHON_PEERS[0].name, REQUIREMENTS / f"{PYTHON_PEERS[1].name}.txt")


def test_a_silent_failure_says_so() -> None:
    """A reason is always given, if only that there was none."""
    assert last_line("\n") == "no reason was given"


def test_a_worker_is_told_its_way_to_run(tmp_path: Path) -> None:
    """Of one framework in two modes, each line runs its own."""
    place = Ground(Settings(group="g", bootstrap="host:1"), "name")
    default = next(peer for peer in PEERS if peer.shares)

    errand = Stage(place, tmp_path).errand(default, "topic", 2, "json", 10)

    assert errand.mode == default.mode
