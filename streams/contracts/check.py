"""Everything that can be wrong with a folder of schemas, found before anything runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from streams.codec import dumps, loads
from streams.contracts.compatibility import Compatibility, breaks
from streams.contracts.registry import Fault, Registry, read_versions, version_files
from streams.contracts.schema import Schema
from streams.errors import DecodeError, UsageError

EXAMPLE = "example.json"


@dataclass(frozen=True, slots=True)
class CheckedSubject:
    """What was found in one subject's folder."""

    name: str
    versions: tuple[int, ...]
    faults: tuple[Fault, ...]


def check(folder: Path | str, compatibility: Compatibility = Compatibility.FORWARD) -> list[CheckedSubject]:
    """Check every subject of *folder*: its schemas, its example, and each version against those before it.

    Raises:
        UsageError: There is no such folder, or no subject in it.
    """
    registry = Registry(folder)
    names = registry.names()
    if not names:
        raise UsageError(f"{registry.folder} holds no subject: a subject is a folder with v1.json and {EXAMPLE}")
    return [_checked(registry.folder / name, compatibility) for name in names]


def _checked(folder: Path, compatibility: Compatibility) -> CheckedSubject:
    return CheckedSubject(
        name=folder.name,
        versions=tuple(version for version, _ in version_files(folder)),
        faults=(*_stray_files(folder), *_faults(folder, compatibility)),
    )


def _faults(folder: Path, compatibility: Compatibility) -> list[Fault]:
    schemas, faults = read_versions(folder)
    if faults:
        return faults
    broken = [Fault(folder / f"v{schema.version}.json", text) for schema, text in breaks(schemas, compatibility)]
    return broken + [Fault(folder / EXAMPLE, text) for text in _example_faults(folder / EXAMPLE, schemas[-1])]


def _stray_files(folder: Path) -> Iterator[Fault]:
    """Find what looks like a version and would be passed over: ``V2.json``, ``v02.json``."""
    known = {EXAMPLE, *(path.name for _, path in version_files(folder))}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() == ".json" and path.name not in known:
            yield Fault(path, f"is neither a version (v1.json, v2.json) nor {EXAMPLE}, and would be passed over")


def _example_faults(path: Path, newest: Schema) -> list[str]:
    """Hold the example against the newest version, and its bytes against what becomes of them on the way."""
    if not path.exists():
        return ["is missing: one value, valid under the newest version, that readers and tests can use"]
    data = path.read_bytes()
    try:
        value = loads(data)
    except DecodeError as error:
        return [str(error)]
    if loads(dumps(value)) != json.loads(data):
        return ["is not the same after it was written and read again"]
    return [f"not valid under v{newest.version}: {fault}" for fault in newest.faults(value)]
