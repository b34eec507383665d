"""An environment of its own for each framework, made on first use from pinned requirements."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Final

from benchmarks.peers.catalog import Peer
from benchmarks.peers.java import java_command
from streams.errors import StreamsError

ROOT: Final = Path(__file__).resolve().parents[2]
_REQUIREMENTS: Final = Path(__file__).parent / "requirements"
_WORKERS: Final = "benchmarks.peers.workers"
_INSTALL_WITHIN_S: Final = 600
_MARK: Final = ".requirements"


class UnavailableError(StreamsError):
    """A framework can't be had here; the text says why."""


def command_of(peer: Peer, folder: Path) -> list[str]:
    """Give the command that starts the worker of *peer*, installed below *folder* if need be.

    Raises:
        UnavailableError: It can't be installed.
    """
    try:
        match peer.kind:
            case "ours":
                return [sys.executable, "-m", f"{_WORKERS}.{peer.program}"]
            case "java":
                return java_command(folder / peer.environment)
            case "python":
                python = _installed(folder / peer.environment, _REQUIREMENTS / f"{peer.environment}.txt")
                return [str(python), "-m", f"{_WORKERS}.{peer.program}"]
    except subprocess.CalledProcessError as failure:
        raise UnavailableError(f"{peer.name} can't be installed: {last_line(failure.stderr)}") from failure
    except (OSError, RuntimeError, ImportError, ValueError, subprocess.TimeoutExpired) as failure:
        raise UnavailableError(f"{peer.name} can't be installed: {last_line(str(failure))}") from failure


def last_line(text: str | None) -> str:
    """Give the last line of *text* that says something."""
    lines = [line.strip() for line in (text or "").splitlines() if line.strip()]
    return lines[-1] if lines else "no reason was given"


def is_current(place: Path, requirements: Path) -> bool:
    """Tell whether *place* was made from *requirements* as they are now, by this Python."""
    mark = place / _MARK
    return mark.exists() and mark.read_text() == _sum(requirements)


def _installed(place: Path, requirements: Path) -> Path:
    python = place / "bin" / "python"
    if not is_current(place, requirements):
        _run(sys.executable, "-m", "venv", "--clear", str(place))
        install = ("install", "--quiet", "--disable-pip-version-check", "--no-deps", "-r", str(requirements))
        _run(str(python), "-m", "pip", *install)
        (place / _MARK).write_text(_sum(requirements))
    return python


def _sum(requirements: Path) -> str:
    return f"{sys.version_info[:2]} {hashlib.sha256(requirements.read_bytes()).hexdigest()}"


def _run(*command: str) -> None:
    subprocess.run(command, capture_output=True, text=True, check=True, timeout=_INSTALL_WITHIN_S)
