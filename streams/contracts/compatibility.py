"""Which versions of a subject must be able to read which, in the words of Confluent's Schema Registry."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum

from streams.contracts.reading import unreadable
from streams.contracts.schema import Schema


class Compatibility(StrEnum):
    """What a new version owes to those before it."""

    FORWARD = "forward"
    """Readers of the version before can read what the new one's producers write; deploy producers first.  Default."""

    FORWARD_TRANSITIVE = "forward_transitive"
    """Readers of every earlier version can."""

    BACKWARD = "backward"
    """Readers of the new version can read what stands in the topic from the version before; deploy consumers first."""

    BACKWARD_TRANSITIVE = "backward_transitive"
    """And what stands there from every earlier version."""

    FULL = "full"
    """Both ways, with the version before."""

    FULL_TRANSITIVE = "full_transitive"
    """Both ways, with every earlier version."""

    NONE = "none"
    """Anything goes."""


def breaks(schemas: Sequence[Schema], compatibility: Compatibility) -> Iterator[tuple[Schema, str]]:
    """Give each sentence about a version that breaks *compatibility*, beside that version.

    *schemas* are the versions of one subject, oldest first.
    """
    for index, newer in enumerate(schemas):
        earlier = schemas[:index] if compatibility.endswith("_transitive") else schemas[max(0, index - 1) : index]
        for older in earlier:
            if compatibility.startswith(("forward", "full")):
                yield from ((newer, text) for text in unreadable(reader=older, writer=newer))
            if compatibility.startswith(("backward", "full")):
                yield from ((newer, text) for text in unreadable(reader=newer, writer=older))
