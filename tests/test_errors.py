"""The tree of errors: what is drawn is what is there, and what one may catch."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re

import pytest

import streams
from streams import errors
from streams.errors import ConfigError, ContractError, RecordError, StreamsError, TopicError


def drawn() -> dict[str, str]:
    """Each error of the picture with its parent."""
    parents: dict[str, str] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"    ((?:[│ ]   |├── |└── )*)(\w+Error)\b", line)
        if match:
            depth = len(match[1]) // 4
            path[depth:] = [match[2]]
            parents[match[2]] = path[depth - 1] if depth else "Exception"
    return parents


def there() -> dict[str, str]:
    """Each error of the module with its parent."""
    classes = [one for _, one in inspect.getmembers(errors, inspect.isclass) if one.__module__ == errors.__name__]
    return {one.__name__: one.__mro__[1].__name__ for one in classes}


def test_the_tree_is_drawn_as_it_is() -> None:
    """The picture on top of the module shows every error where it stands."""
    assert drawn() == there()
    assert len(drawn()) > 10


def test_every_error_of_the_package_is_one_of_the_tree() -> None:
    """Whoever catches `StreamsError` has caught everything that is raised on purpose."""
    strangers = []
    for room in pkgutil.walk_packages(streams.__path__, "streams."):
        if room.name.endswith("__main__") or ".bench" in room.name:
            continue
        module = importlib.import_module(room.name)
        strangers += [
            f"{room.name}.{name}"
            for name, one in inspect.getmembers(module, inspect.isclass)
            if one.__module__ == room.name and name.endswith("Error") and not issubclass(one, StreamsError)
        ]

    assert strangers == []


def test_every_error_says_what_it_is() -> None:
    """Each class has a sentence of its own."""
    for name in there():
        text = getattr(errors, name).__doc__ or ""
        assert text.strip().endswith((".", ".\n", "`")) or "Attributes:" in text


def test_an_error_with_several_faults_lists_them() -> None:
    """Faults are kept apart for programs and stand one a line for people."""
    error = ConfigError(["a: wrong", "b: wrong too"])

    assert error.faults == ("a: wrong", "b: wrong too")
    assert str(error) == "a: wrong\nb: wrong too"


def test_errors_carry_what_they_are_about() -> None:
    """A topic, or a subject and its faults, can be taken from the error itself."""
    topic = TopicError("orders", "topic orders is missing")
    contract = ContractError("order", ["$.id: missing", "$.n: no number"])

    assert (topic.topic, str(topic)) == ("orders", "topic orders is missing")
    assert (contract.subject, contract.faults) == ("order", ("$.id: missing", "$.n: no number"))
    assert "$.id: missing; $.n: no number" in str(contract)


@pytest.mark.parametrize("name", ["DecodeError", "ContractError", "ResultError"])
def test_what_is_wrong_with_the_record_is_a_record_error(name: str) -> None:
    """These are never retried."""
    assert issubclass(getattr(errors, name), RecordError)
