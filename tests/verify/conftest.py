"""What the runs of `streams verify` tell goes to where all figures of faults go."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.faults.figures import Note, note_document

Told = Callable[[Any], Any]


@pytest.fixture
def told(record_property: Note) -> Told:
    """Note the figures of a document, and give it back."""

    def note(document: Any) -> Any:
        note_document(record_property, document)
        return document

    return note
