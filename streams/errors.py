"""Every exception this package raises on purpose, and nothing else.

    StreamsError
    ├── UsageError            what the user wrote can't be run; nothing was started
    │   ├── ConfigError       one or more settings are wrong; lists them all
    │   └── AppError          the app's handlers or routes contradict each other
    ├── BrokerError           the broker can't be reached, refuses, or lacks something
    │   ├── RightsError       the broker denies this user something
    │   ├── TopicError        a topic is missing or has the wrong shape
    │   ├── ChainError        a topic of the chain holds what this group did not write
    │   └── CommitError       a commit's outcome is not what the ledger needs
    ├── RecordError           one record can't be processed whatever the attempt
    │   ├── DecodeError       its bytes are not what the handler declared
    │   ├── ContractError     it breaks the schema of its subject
    │   ├── ResultError       the handler gave back something that is no outcome
    │   └── ProcessKilledError  each time it ran alone, its process died
    ├── FollowsError          an older record of its key is dead, and the younger ones join it
    ├── KeyFullError          so many records of its key wait that no further one may
    ├── HandlerTimeoutError   a handler ran past its time
    ├── SendError             what a handler sent was not accepted by the broker
    └── LedgerError           commit metadata that this program can't read
        └── NewerLedgerError  it was written by a later version of this program

`RecordError` is what a retry policy never retries.
"""

from __future__ import annotations

from collections.abc import Sequence


class StreamsError(Exception):
    """The root; its text says what happened, where, what was done and what to do next."""


class UsageError(StreamsError):
    """What the user wrote can't be run; nothing was started or changed."""


class ConfigError(UsageError):
    """One or more settings are wrong; all of them are listed at once.

    Attributes:
        faults: One sentence a fault, each naming its setting.
    """

    def __init__(self, faults: Sequence[str]) -> None:
        """List *faults*, one a line."""
        self.faults = tuple(faults)
        super().__init__("\n".join(self.faults))


class AppError(UsageError):
    """The app's handlers or routes contradict each other."""


class BrokerError(StreamsError):
    """The broker can't be reached, refuses, or lacks what is needed."""


class RightsError(BrokerError):
    """The broker denies this user something."""


class TopicError(BrokerError):
    """A topic is missing or has the wrong shape.

    Attributes:
        topic: The topic's name.
    """

    def __init__(self, topic: str, message: str) -> None:
        """Say *message* of *topic*."""
        self.topic = topic
        super().__init__(message)


class ChainError(BrokerError):
    """A topic of the chain holds what this group did not write there, or another topic's copies."""


class CommitError(BrokerError):
    """A commit's outcome is unknown or not what the ledger needs."""


class RecordError(StreamsError):
    """One record can't be processed, whatever the attempt: never retried."""


class DecodeError(RecordError):
    """A record's bytes are not what its handler declared."""


class ContractError(RecordError):
    """A record breaks the schema of its subject.

    Attributes:
        subject: The schema's subject.
        faults: One sentence a fault, with the path inside the value.
    """

    def __init__(self, subject: str, faults: Sequence[str]) -> None:
        """List the *faults* of a value against *subject*."""
        self.subject = subject
        self.faults = tuple(faults)
        super().__init__(f"does not validate against {subject}: " + "; ".join(self.faults))


class ResultError(RecordError):
    """A handler gave back something that is no outcome."""


class ProcessKilledError(RecordError):
    """Each time this record ran alone, its process died."""


class FollowsError(StreamsError):
    """An older record of the same key is dead, and the younger ones join it."""


class KeyFullError(StreamsError):
    """So many records of one key wait in the chain that no further one may."""


class HandlerTimeoutError(StreamsError):
    """A handler ran past its time."""


class SendError(StreamsError):
    """What a handler sent was not accepted by the broker."""


class LedgerError(StreamsError):
    """Commit metadata that this program can't read."""


class NewerLedgerError(LedgerError):
    """Commit metadata that a later version of this program wrote: to write over it would undo what it says."""
