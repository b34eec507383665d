"""Which group protocol a member is to speak: KIP-848 (``consumer``) or ``classic``.

`Settings.protocol` may say it.  Where it says ``auto``, a group that has
members keeps the protocol they speak; else KIP-848 is chosen where the broker
has it.  No API tells whether it has.  So a throwaway consumer asks to join
with an assignor that no broker knows: a broker with KIP-848 refuses the
assignor before it looks at the group, one without it refuses the request.
Either way nothing of it stays behind.
"""

from __future__ import annotations

import logging
from time import monotonic
from typing import Final, Literal, TypeAlias

from confluent_kafka import Consumer, KafkaError, KafkaException

from streams.config import Settings
from streams.kafka import faults
from streams.kafka.admin import START_WITHIN_S, Admin, wrong_setting
from streams.kafka.groups import describe_group
from streams.kafka.settings import connection

_PROBE: Final = "streams-probe"
_PROBE_S: Final = 5.0
_RANGE: Final = "range"
_UNKNOWN_REQUEST: Final = "ConsumerGroupHeartbeatRequest not supported by broker"


MemberProtocol: TypeAlias = Literal["classic", "classic-range", "consumer"]


def resolve_protocol(settings: Settings) -> tuple[MemberProtocol, str]:
    """Give the protocol for a member of ``settings.group``, and one clause that says why.

    Asks the broker once, in about a tenth of a second.

    Raises:
        BrokerError: No broker answers, or it refuses the credentials or the right to the group.
    """
    if settings.protocol != "auto":
        return settings.protocol, "set by protocol"
    with Admin(settings, timeout_s=START_WITHIN_S) as admin:
        group = describe_group(admin, settings.group)
    if group.is_running:
        why = f"the group's {len(group.members)} running member(s) speak it"
        return "classic-range" if group.assignor == _RANGE else group.protocol, why
    match supports_consumer_protocol(settings):
        case True:
            return "consumer", "the broker has KIP-848"
        case False:
            return "classic", "the broker has no KIP-848"
        case None:
            return (
                "classic",
                f"the broker did not say within {_PROBE_S:g} s whether it has KIP-848, and classic works everywhere",
            )


def supports_consumer_protocol(settings: Settings) -> bool | None:
    """Say whether the broker has KIP-848; None where it did not tell in time.

    Raises:
        BrokerError: It refuses the credentials or the right to the group.
    """
    probe = _Probe(settings)
    try:
        return probe.ask()
    finally:
        probe.close()


class _Probe(logging.Handler):
    """A consumer that can't join, made to hear why not.

    It listens to the client's log as well: that a broker does not know the
    request at all (before 3.7) the client tells nowhere else.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self._settings = settings
        self._verdict: bool | None = None
        self._refusal: KafkaError | None = None
        self._consumer = self._open()

    def ask(self) -> bool | None:
        """Try to join, and wait for the broker's word."""
        self._consumer.subscribe([_PROBE])
        end = monotonic() + _PROBE_S
        while self._verdict is None and monotonic() < end:
            message = self._consumer.poll(0.02)
            if message is not None and (error := message.error()) is not None:
                self._hear(error)
            if self._refusal is not None:
                raise faults.fault(
                    self._refusal,
                    doing=f"asking for the protocol of group {self._settings.group!r}",
                    settings=self._settings,
                )
        return self._verdict

    def close(self) -> None:
        """Let go of the connection."""
        self._consumer.close()
        super().close()

    def emit(self, record: logging.LogRecord) -> None:
        """Look through one line of the client's log."""
        if _UNKNOWN_REQUEST in record.getMessage():
            self._verdict = False

    def _open(self) -> Consumer:
        logger = logging.Logger(_PROBE)  # noqa: LOG001  # of this probe alone: two at a time must not hear each other
        logger.addHandler(self)
        chosen = {
            **connection(self._settings),
            "group.id": self._settings.group,
            "group.protocol": "consumer",
            "group.remote.assignor": _PROBE,
            "debug": "cgrp",
            "error_cb": self._hear,
        }
        try:
            return Consumer(chosen, logger=logger)
        except KafkaException as error:
            raise wrong_setting(error) from error

    def _hear(self, error: KafkaError) -> None:
        code = error.code()
        if code in faults.CREDENTIALS or code == KafkaError.GROUP_AUTHORIZATION_FAILED:
            self._refusal = error
        elif code == KafkaError.TOPIC_AUTHORIZATION_FAILED:
            self._verdict = True  # rights are looked at after the protocol
        elif code == KafkaError._FATAL:  # noqa: SLF001  # the client's own codes begin with an underscore
            self._verdict = _verdict(error.str())


def _verdict(text: str) -> bool | None:
    """Read the broker's word out of a fatal error: the client gives its code only as text."""
    if _text(KafkaError.UNSUPPORTED_ASSIGNOR) in text:
        return True
    if _text(KafkaError.UNSUPPORTED_VERSION) in text:
        return False
    return None


def _text(code: int) -> str:
    return KafkaError(code).str()
