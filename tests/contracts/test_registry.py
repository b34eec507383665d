"""Subjects as folders."""

from __future__ import annotations

import doctest
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import streams.contracts.registry
from streams.codec import dumps
from streams.contracts import Registry
from streams.errors import ConfigError, ContractError, UsageError

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write files of a subject; gives the folder of all subjects."""

    def to(subject: str, **files: Any) -> Path:
        (tmp_path / subject).mkdir(exist_ok=True)
        for name, content in files.items():
            data = content if isinstance(content, bytes) else dumps(content)
            (tmp_path / subject / f"{name}.json").write_bytes(data)
        return tmp_path

    return to


def test_a_subject_has_its_versions_in_order(write: Write) -> None:
    """Versions are numbers: v10 comes after v9."""
    subject = Registry(write("order.placed", v10={}, v2={}, v9={})).subject("order.placed")

    assert [schema.version for schema in subject.schemas] == [2, 9, 10]
    assert subject.newest.version == 10


@pytest.mark.parametrize(
    ("dataschema", "version"),
    [
        (None, 2),
        ("urn:streams:order.placed:v1", 1),
        ("urn:streams:order.placed:v2", 2),
        ("urn:streams:order.placed:v3", 2),
        ("urn:streams:order.lost:v1", 2),
        ("https://example.com/order.json", 2),
    ],
)
def test_a_record_is_held_against_the_version_it_names(write: Write, dataschema: str | None, version: int) -> None:
    """A version that is not known here, newer perhaps, is read as the newest that is."""
    subject = Registry(write("order.placed", v1={}, v2={})).subject("order.placed")

    assert subject.schema_for(dataschema).version == version


def test_a_record_of_an_old_version_is_valid_under_that(write: Write) -> None:
    """Data that stands in the topic since v1 is not refused for what v2 asks."""
    folder = write("order.placed", v1={"type": "object"}, v2={"type": "object", "required": ["id"]})
    subject = Registry(folder).subject("order.placed")

    subject.validate({}, "urn:streams:order.placed:v1")

    with pytest.raises(ContractError, match='"id" is a required property'):
        subject.validate({})


def test_a_subject_is_read_once(write: Write) -> None:
    """Asked again, a registry gives the same subject."""
    registry = Registry(write("order.placed", v1={}))

    assert registry.subject("order.placed") is registry.subject("order.placed")


def test_an_unknown_subject_is_told_with_those_that_are_known(write: Write) -> None:
    """A slip of the pen is seen at the start."""
    write("order.placed", v1={})
    registry = Registry(write("order.paid", v1={}))

    with pytest.raises(UsageError, match=r"has no subject 'order.plcaed'; it has order.paid, order.placed"):
        registry.subject("order.plcaed")


def test_every_broken_version_is_told_at_once(write: Write) -> None:
    """What is wrong with several files is one error."""
    folder = write("order.placed", v1=b"{", v2={"type": "objct"}, v3={})

    with pytest.raises(ConfigError) as caught:
        Registry(folder).subject("order.placed")

    assert [fault.split(": ")[0].rpartition("/")[2] for fault in caught.value.faults] == ["v1.json", "v2.json"]


def test_a_subject_without_a_version_is_told(write: Write) -> None:
    """A folder with an example alone is no subject."""
    with pytest.raises(ConfigError, match="there is no version in it"):
        Registry(write("order.placed", example={})).subject("order.placed")


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    """The error says where schemas are looked for, and in which form."""
    with pytest.raises(UsageError, match=r"schemas are looked for there, as <subject>/v1.json"):
        Registry(tmp_path / "nowhere")


def test_the_examples_in_the_docstrings_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the documentation shows is what happens, in the folder of the project."""
    monkeypatch.chdir(Path(__file__).parents[2])

    assert doctest.testmod(streams.contracts.registry).failed == 0
