"""Subjects as folders: ``<subject>/v1.json``, ``v2.json``, ``example.json``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streams.codec import loads
from streams.contracts.schema import Schema, named_by
from streams.errors import ConfigError, DecodeError, UsageError

_VERSION = re.compile(r"v([1-9][0-9]*)\.json")
_SUBJECT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class Subject:
    """One kind of event and its versions.

    Always true: there is at least one version, and they ascend.
    """

    name: str
    schemas: Sequence[Schema]

    @property
    def newest(self) -> Schema:
        """The version that is written today."""
        return self.schemas[-1]

    def schema_for(self, dataschema: str | None) -> Schema:
        """Give the version that a record names, where it is known here; the newest otherwise.

        A version newer than those known here is read as the newest: that it
        can be is what `Compatibility.FORWARD` holds.
        """
        named = named_by(dataschema)
        for schema in self.schemas:
            if named == (self.name, schema.version):
                return schema
        return self.newest

    def validate(self, value: Any, dataschema: str | None = None) -> None:
        """Do nothing if *value*, as JSON gives it, is valid under the version that *dataschema* names.

        Raises:
            ContractError: It is not; with a sentence for each fault.
        """
        self.schema_for(dataschema).validate(value)


class Registry:
    """The subjects of one folder, each read when it is first asked for.

    >>> Registry("schemas").subject("order.placed").newest.version
    1
    """

    def __init__(self, folder: Path | str) -> None:
        """Look into *folder*.

        Raises:
            UsageError: There is no such folder.
        """
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise UsageError(f"{self.folder} is no folder: schemas are looked for there, as <subject>/v1.json")
        self._subjects: dict[str, Subject] = {}

    def names(self) -> list[str]:
        """Give the subjects' names, sorted."""
        return sorted(entry.name for entry in self.folder.iterdir() if entry.is_dir() and entry.name[0] not in "._")

    def subject(self, name: str) -> Subject:
        """Give the subject *name*.

        Raises:
            UsageError: There is none of this name, or one of its schemas is broken.
        """
        if name not in self._subjects:
            if name not in self.names():
                raise UsageError(f"{self.folder} has no subject {name!r}; it has {', '.join(self.names()) or 'none'}")
            self._subjects[name] = read_subject(self.folder / name)
        return self._subjects[name]


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong in a subject's folder."""

    path: Path
    """The file that should change."""

    text: str
    """What is wrong with it."""

    def __str__(self) -> str:
        """Give place and reason in one line."""
        return f"{self.path}: {self.text}"


def read_subject(folder: Path) -> Subject:
    """Give the subject that *folder* holds.

    Raises:
        ConfigError: A version can't be used, or there is none; every fault is listed.
    """
    schemas, faults = read_versions(folder)
    if faults:
        raise ConfigError([str(fault) for fault in faults])
    return Subject(folder.name, schemas)


def read_versions(folder: Path) -> tuple[list[Schema], list[Fault]]:
    """Give the versions in *folder* that can be used, lowest first, and what is wrong with the others."""
    if not _SUBJECT.fullmatch(folder.name):
        return [], [Fault(folder, "a subject's name is letters, digits, dot, dash and underscore")]
    schemas: list[Schema] = []
    faults: list[Fault] = []
    for version, path in version_files(folder):
        try:
            schemas.append(Schema(folder.name, version, loads(path.read_bytes())))
        except (DecodeError, UsageError) as error:
            faults.append(Fault(path, str(error)))
    if not schemas and not faults:
        faults.append(Fault(folder, "there is no version in it, such as v1.json"))
    return schemas, faults


def version_files(folder: Path) -> list[tuple[int, Path]]:
    """Give the version files of *folder*, lowest number first."""
    found = ((_VERSION.fullmatch(path.name), path) for path in folder.iterdir())
    return sorted((int(match[1]), path) for match, path in found if match)
