"""One version of a subject: a JSON Schema 2020-12, compiled once, that says what is wrong with a value."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import islice
from typing import Any, TypeAlias

import jsonschema_rs

from streams.codec import dumps, excerpt
from streams.errors import ContractError, UsageError

Document: TypeAlias = dict[str, Any] | bool
"""A JSON Schema as it stands in a file."""

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_SHOWN_FAULTS = 10
_SHOWN_TEXT = 200  # characters of the validator's own words
_DATASCHEMA = re.compile(r"urn:streams:([A-Za-z0-9][A-Za-z0-9._-]*):v([1-9][0-9]*)")


class Schema:
    """One version of a subject.

    Always true: the document is valid JSON Schema 2020-12 and refers to nothing
    outside itself; nothing is ever fetched.  Safe to use from any thread.
    """

    __slots__ = ("_validator", "document", "subject", "version")

    def __init__(self, subject: str, version: int, document: Document) -> None:
        """Compile *document*.

        Raises:
            UsageError: It is no JSON Schema 2020-12; the text names the place.
        """
        self.subject = subject
        self.version = version
        self.document = document
        self._validator = compiled(document)

    @property
    def dataschema(self) -> str:
        """The URI that a record's ``ce_dataschema`` carries."""
        return f"urn:streams:{self.subject}:v{self.version}"

    def is_valid(self, value: Any) -> bool:
        """Say whether *value*, as JSON gives it, is valid."""
        return self._validator.is_valid(value)

    def validate(self, value: Any) -> None:
        """Do nothing if *value* is valid.

        Raises:
            ContractError: With a sentence for each fault, the first ten.
        """
        if not self._validator.is_valid(value):
            raise ContractError(self.subject, self.faults(value))

    def faults(self, value: Any) -> list[str]:
        """Give a sentence for each fault of *value*, its place first, as a JSON pointer."""
        found = [_sentence(error) for error in islice(self._validator.iter_errors(value), _SHOWN_FAULTS + 1)]
        return found if len(found) <= _SHOWN_FAULTS else [*found[:_SHOWN_FAULTS], "and more"]

    def __repr__(self) -> str:
        """Name subject and version."""
        return f"Schema({self.subject!r}, {self.version})"


def named_by(dataschema: str | None) -> tuple[str, int] | None:
    """Give the subject and the version that a ``ce_dataschema`` names; None where it is absent or not ours."""
    match = _DATASCHEMA.fullmatch(dataschema) if dataschema else None
    return (match[1], int(match[2])) if match else None


def compiled(document: Document) -> jsonschema_rs.Validator:
    """Give the validator of *document*.

    Raises:
        UsageError: It is no JSON Schema 2020-12, or refers to something outside itself.
    """
    dialect = document.get("$schema", DIALECT) if isinstance(document, dict) else DIALECT
    if dialect != DIALECT:
        raise UsageError(f"$schema is {dialect!r}, and this program reads {DIALECT!r}: say that, or leave it out")
    try:
        # Masked: the validator's own words would repeat whole values.
        return jsonschema_rs.Draft202012Validator(document, offline=True, validate_formats=True, mask="value")
    except jsonschema_rs.ValidationError as error:
        raise UsageError(f"no JSON Schema 2020-12: {_fault_of_document(error)}") from error
    except ValueError as error:  # nested too deep
        raise UsageError(f"no JSON Schema 2020-12 that can be used: {error}") from error


def _fault_of_document(error: jsonschema_rs.ValidationError) -> str:
    at = f"{pointer(error.instance_path)} is {excerpt(dumps(error.instance))}, " if error.instance_path else ""
    return f"{at}{error.message}"


def _sentence(error: jsonschema_rs.ValidationError) -> str:
    text = error.message if len(error.message) <= _SHOWN_TEXT else error.message[: _SHOWN_TEXT - 1] + "…"
    at = f"{pointer(error.instance_path)}: " if error.instance_path else ""
    got = "" if isinstance(error.instance, dict | list) else f", got {excerpt(dumps(error.instance))}"
    return f"{at}{text}{got}"


def pointer(steps: Sequence[str | int]) -> str:
    """Give the JSON pointer (RFC 6901) of the place that *steps* lead to."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in steps)
