"""What operators tell a group, and what it answers: the topics, and what stands in them.

A command goes into the group's control topic and names dead letters, or a
replay; every member reads it, and the owner of the partition carries it out.  What became of
it goes into the audit topic.  Both are JSON, so that any tool can read them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Final, Literal, TypeAlias, TypeVar

import msgspec
from msgspec import Meta

from streams.engine.edit import Edit, Mending
from streams.engine.replay import Rewind, Rewound
from streams.errors import LedgerError

Verb: TypeAlias = Literal["retry", "edit", "forget", "replay", "cancel", "undo"]
"""Of dead letters: ``retry``: the record runs again, in its place in the order of its key.  ``edit``: so it does, with
another value.  ``forget``: it needs no more work.

Of a partition: ``replay``: it goes on from another offset.  ``cancel``: what is left of that does not run again.
``undo``: neither does what has failed of it and waits.
"""
_OF_LETTERS: Final = frozenset({"retry", "edit", "forget"})

Fate: TypeAlias = Literal["retried", "edited", "forgotten", "gone", "impossible"]
"""What became of one letter.

``gone``: there is no such dead letter (any more): the same command came
before, another one did, or it was retried meanwhile.  ``impossible``: the
group's chain has no topic from which it could run again.
"""

VERSION: Final = 1
MOST_LETTERS: Final = 500
"""Letters that one command names: all of them are answered at once."""
MOST_NAME: Final = 200
MOST_REASON: Final = 2_000
"""Characters of who wants it, and why."""


def control_topic(group: str) -> str:
    """Name the topic in which *group* is told what to do."""
    return f"streams.{group}.control"


def audit_topic(group: str) -> str:
    """Name the topic in which *group* tells what was done."""
    return f"streams.{group}.audit"


def status_topic(group: str) -> str:
    """Name the topic in which the members of *group* tell how they stand."""
    return f"streams.{group}.status"


class Wanted(msgspec.Struct, array_like=True, frozen=True):
    """One dead letter, named by what it is and not by where it stands."""

    origin: Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
    """Offset of its record in the source."""
    redrives: Annotated[int, Meta(ge=0)]
    """How often an operator had it tried again by then: with another number it is not the letter that was meant."""
    at: Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
    """Where it stood in the dead-letter topic when it was looked up: it is looked for from there on."""


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """What one record of the control topic says."""

    version: int = VERSION
    id: Annotated[str, Meta(min_length=1, max_length=MOST_NAME)]
    """Random; names the command in the audit."""
    verb: Verb
    topic: str
    """The source."""
    topic_id: str
    """Of the source: a topic made anew is another one."""
    partition: Annotated[int, Meta(ge=0)]
    letters: Annotated[tuple[Wanted, ...], Meta(max_length=MOST_LETTERS)] = ()
    """Of the verbs of dead letters: which."""
    who: Annotated[str, Meta(max_length=MOST_NAME)] = ""
    why: Annotated[str, Meta(max_length=MOST_REASON)] = ""
    time_ms: int = 0
    """When it was given, ms since 1970-01-01 UTC."""
    edit: Edit | None = None
    """Of the verb ``edit``, which names one letter: what it is to say."""
    rewind: Rewind | None = None
    """Of the verbs of a partition: which replay."""

    def __post_init__(self) -> None:
        """See that the command has what its verb needs, and nothing else.

        Raises:
            ValueError: That is not so.
        """
        is_of_letters = self.verb in _OF_LETTERS
        if bool(self.letters) != is_of_letters or (self.rewind is None) != is_of_letters:
            raise ValueError("a verb of dead letters names some, and any other one a replay")
        if (self.edit is not None) != (self.verb == "edit") or (self.edit is not None and len(self.letters) != 1):
            raise ValueError("an edit names one letter and its value, and no other verb has one")

    def pack(self) -> bytes:
        """Give the record's value."""
        return msgspec.json.encode(self)

    @property
    def key(self) -> bytes:
        """The record's key: what is said of one partition stays in its order."""
        return f"{self.topic}/{self.partition}".encode()

    @property
    def mending(self) -> Mending | None:
        """What its letter is to say, and who wants it; None where it changes none."""
        return None if self.edit is None else Mending(self.edit, self.id, self.who, self.time_ms)

    @property
    def size_bytes(self) -> int:
        """Bytes of payload that it holds in memory."""
        return 0 if self.edit is None else len(self.edit.value)


class Asked(msgspec.Struct, eq=False):
    """One dead letter of which something is wanted, until that is answered."""

    verb: Verb
    wanted: Wanted
    fate: Fate | None = None
    """What became of it; of one that is tried again, as soon as the broker has its copy."""
    is_moving: bool = False
    """That copy is on its way."""
    mending: Mending | None = None
    """What it is to say from then on; None: what it says."""

    @property
    def moved(self) -> Fate:
        """What has become of it once the broker has that copy."""
        return "retried" if self.mending is None else "edited"


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What one record of the audit topic says: what became of a command."""

    version: int = VERSION
    id: str
    """The command's."""
    verb: Verb
    group: str
    topic: str
    partition: int
    fates: tuple[tuple[int, Fate], ...]
    """The origin of each letter, and what became of it."""
    rewound: Rewound | None = None
    """What became of a command that is about a replay."""
    who: str = ""
    why: str = ""
    asked_ms: int = 0
    time_ms: int = 0
    """When it was done."""

    def pack(self) -> bytes:
        """Give the record's value."""
        return msgspec.json.encode(self)


_Said = TypeVar("_Said", Command, Answer)

_decode_command = msgspec.json.Decoder(Command).decode
_decode_answer = msgspec.json.Decoder(Answer).decode


def read_command(value: bytes | None) -> Command:
    """Read what stands in a control topic.

    Raises:
        LedgerError: It is no command that this program knows.
    """
    return _known(_decode_command, value, "command")


def read_answer(value: bytes | None) -> Answer:
    """Read what stands in an audit topic.

    Raises:
        LedgerError: It is no answer that this program knows.
    """
    return _known(_decode_answer, value, "answer")


def _known(decode: Callable[[bytes], _Said], value: bytes | None, what: str) -> _Said:
    try:
        said = decode(value or b"")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise LedgerError(f"no {what}: {error}") from error
    if said.version != VERSION:
        raise LedgerError(f"the {what} is of version {said.version}; this program reads {VERSION}")
    return said
