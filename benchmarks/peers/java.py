"""The worker in Java: its jars by the resolver that also brings the broker, compiled by the JDK that is there."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

from streams.dev.java import find_java

_SOURCE: Final = Path(__file__).parent / "workers" / "Runner.java"
_COORDINATES: Final = (
    "io.confluent.parallelconsumer:parallel-consumer-core:0.5.3.3",
    "com.fasterxml.jackson.core:jackson-databind:2.18.2",
)
"""Resolved one by one: several in one call give a mixed set."""


def java_command(place: Path) -> list[str]:
    """Give the command that starts the runner, compiled into *place*.

    Raises:
        RuntimeError: There is no compiler.
        subprocess.CalledProcessError: It does not compile.
    """
    compiler = shutil.which("javac")
    if compiler is None:
        raise RuntimeError("no javac on the path: a JDK, 17 or newer, is needed to compile its runner")
    class_path = os.pathsep.join([str(place), *_jars()])
    place.mkdir(parents=True, exist_ok=True)
    compile_it = [compiler, "-d", str(place), "-cp", class_path, str(_SOURCE)]
    subprocess.run(compile_it, capture_output=True, text=True, check=True)
    return [str(find_java()), "-Xmx1g", "-cp", class_path, "Runner"]


def _jars() -> list[str]:
    from jgo import build  # noqa: PLC0415  # an extra: the other frameworks run without it

    jars = [Path(jar) for coordinate in _COORDINATES for jar in build(coordinate).all_jars]
    return [str(jar) for jar in {jar.name: jar for jar in jars}.values()]
