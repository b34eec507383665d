"""A connection for asking about a cluster, and for changing its topics and offsets.

What can be asked stands in the neighbouring files: `topics`, `offsets`,
`groups`.  Here are the two things that all of them need: every call ends
within a time, and every error is one that a person can act on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from contextlib import suppress
from time import monotonic
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from streams.config import Settings
from streams.errors import BrokerError
from streams.kafka import faults
from streams.kafka.clientlog import client_log
from streams.kafka.settings import connection

Key = TypeVar("Key")

START_WITHIN_S: Final = 30.0
"""To ask at a start: after a broker's death the others may be asked in vain for 10 to 20 s."""

_STEP_S: Final = 0.02
_AGAIN_S: Final = 0.1
_REFUSED_S: Final = 2.0
_LOOK_S: Final = 5.0
_NEVER_S: Final = 3600.0
"""The longest time that the client takes for an answer."""

_PASSING: Final = frozenset(
    {
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.NOT_CONTROLLER,
        KafkaError.OFFSET_NOT_AVAILABLE,
    },
)
"""What a broker answers that has just started, or just gave a role away."""


class Admin:
    """A connection to one cluster.

    Owned by one thread.  Opening it connects to nothing; the first call does.

    Always true: a call ends within `timeout_s`, at once when the credentials
    are refused, and after two seconds when no broker could be reached at all.
    """

    def __init__(self, settings: Settings, *, timeout_s: float = 10.0) -> None:
        """Use the addresses and security of *settings*."""
        self.settings = settings
        self.timeout_s = timeout_s
        self._heard: KafkaError | None = None
        self._refusal: KafkaError | None = None
        self._is_down = False
        self._reached = False
        self._client: AdminClient | None = None

    def __enter__(self) -> Self:
        """Give itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connection."""
        self.close()

    @property
    def client(self) -> AdminClient:
        """The client library's own; opened when first asked for."""
        if self._client is None:
            self._client = self._open()
        return self._client

    @property
    def look_s(self) -> float:
        """How long one try of a question may take that can be asked again: a coordinator may die with it."""
        return max(self.timeout_s / 3, min(self.timeout_s, _LOOK_S))

    def close(self) -> None:
        """Let go of the connection; a later call opens it anew."""
        self._client = None

    def ask(self, question: Callable[[], Future[Any]], doing: str, *, topic: str = "") -> Any:
        """Ask the broker, again while it is only not ready yet, and wait for the answer.

        Args:
            question: A call of `client`; made anew for each try.
            doing: What is being done, for the error's text.
            topic: The topic it is about.

        Raises:
            BrokerError: The broker refused, could not be reached, or did not answer in time.
            TopicError: The topic does not exist.
        """
        try:
            return self.answer(question, doing)
        except KafkaException as error:
            raise self.fault(error, doing, topic=topic) from error

    def ask_coordinator(self, question: Callable[[float], Future[Any]], doing: str) -> Any:
        """Ask the coordinator of a group as `ask` does; after `look_s` anew, as it may have died with the question.

        Args:
            question: A call of `client`, given the seconds for its ``request_timeout``: more than anybody waits.  A
                client (2.16) that gives up a coordinator it has not found, and finds it later, ends the whole
                process, so what is given up here is the client with its question.
            doing: What is being done, for the error's text.

        Raises:
            BrokerError: As `ask`.
        """
        end = monotonic() + self.timeout_s
        while True:
            self._client = self._client or self._open()  # a setting that is refused now is refused at each try
            within_s = max(_AGAIN_S, min(self.look_s, end - monotonic()))
            try:
                return self.answer(lambda: question(_NEVER_S), doing, within_s)
            except KafkaException as error:
                if monotonic() > end - _AGAIN_S or not (_is_passing(error) or _is_timeout(error)):
                    raise self.fault(error, doing) from error
            except BrokerError:
                self.close()
                if monotonic() > end - _AGAIN_S or self._is_hopeless:
                    raise

    def answer(self, question: Callable[[], Future[Any]], doing: str, within_s: float | None = None) -> Any:
        """Ask as `ask` does, and leave the broker's refusal as the client's own exception.

        Raises:
            KafkaException: The broker's answer is an error.
            BrokerError: The broker could not be reached or did not answer in time.
        """
        end = monotonic() + (self.timeout_s if within_s is None else within_s)
        while True:
            try:
                answer = self._wait(question(), doing, end)
            except KafkaException as error:
                is_early = monotonic() < end - _AGAIN_S and not self._is_down
                if monotonic() > end or not (_is_passing(error) or (is_early and _is_timeout(error))):
                    raise
                self.client.poll(_AGAIN_S)
            else:
                self._reached = True
                return answer

    def ask_each(
        self, question: Callable[[], Mapping[Key, Future[Any]]], doing: str, *, is_try: bool = False
    ) -> dict[Key, Any]:
        """Ask one question about several things; an answer may be the client's exception.

        Asked anew as a whole while one of them is only not ready yet; where *question* takes `look_s` only, and
        *is_try*, also while the one that was asked does not answer: another broker may.

        Raises:
            BrokerError: The broker could not be reached or did not answer in time.
        """
        end = monotonic() + self.timeout_s
        while True:
            answers = {key: self._settle(future, doing, end, is_try=is_try) for key, future in question().items()}
            if any(map(_is_timeout, answers.values())):
                self._look_around(end)
            elif monotonic() > end or not any(map(_is_passing, answers.values())):
                return answers
            self.client.poll(_AGAIN_S)

    def _look_around(self, end: float) -> None:
        """Have the client learn which brokers there are: it asks one that has died for as long as it knows no other."""
        with suppress(KafkaException):
            self.client.list_topics(timeout=max(_AGAIN_S, min(self.look_s, end - monotonic())))

    def fault(self, error: KafkaException, doing: str, *, topic: str = "") -> BrokerError:
        """Put the client's *error* into words."""
        inner = faults.client_error(error)
        if inner is None:
            return BrokerError(f"{error}, while {doing}, at {self.settings.bootstrap}.")
        if inner.code() in faults.UNREACHABLE:
            return self._silence(doing)
        return faults.fault(inner, doing=doing, settings=self.settings, topic=topic)

    def _settle(self, future: Future[Any], doing: str, end: float, *, is_try: bool) -> Any:
        try:
            answer = self._wait(future, doing, end)
        except KafkaException as error:
            inner = faults.client_error(error)
            is_early = is_try and monotonic() < end - _AGAIN_S and not self._is_down
            if inner is not None and inner.code() in faults.UNREACHABLE and not (is_early and _is_timeout(error)):
                raise self._silence(doing) from error
            return error
        self._reached = True
        return answer

    def _wait(self, future: Future[Any], doing: str, end: float) -> Any:
        hopeless = min(end, monotonic() + _REFUSED_S)
        while not future.done():
            wait([future], timeout=_STEP_S)
            self.client.poll(0)
            if self._refusal is not None:
                raise faults.fault(self._refusal, doing=doing, settings=self.settings)
            if monotonic() > (hopeless if self._is_hopeless else end):
                raise self._silence(doing)
        return future.result()

    @property
    def _is_hopeless(self) -> bool:
        """Nobody was ever reached, or the credentials are no good: it will not get better."""
        return self._refusal is not None or (self._is_down and not self._reached)

    def _silence(self, doing: str) -> BrokerError:
        if self._heard is not None:
            return faults.fault(self._heard, doing=doing, settings=self.settings)
        heard = (
            "it closes the connection: does it want TLS or SASL, see security.protocol?"
            if self._is_down
            else f"no answer within {self.timeout_s:g} s"
        )
        return faults.unreachable(self.settings, doing=doing, heard=heard)

    def _open(self) -> AdminClient:
        try:
            chosen: dict[str, Any] = {**connection(self.settings), "error_cb": self._hear}
            return AdminClient(chosen, logger=client_log)
        except KafkaException as error:
            raise wrong_setting(error) from error

    def _hear(self, error: KafkaError) -> None:
        # Called by the client's thread too; the stores are single and the reader only looks.
        if error.code() in faults.CREDENTIALS:
            self._refusal = error
        elif error.code() == KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001  # the client's own codes begin with an underscore
            self._is_down = True
        else:
            self._heard = error


def _is_passing(answer: object) -> bool:
    inner = faults.client_error(answer) if isinstance(answer, KafkaException) else None
    return inner is not None and inner.code() in _PASSING


def _is_timeout(answer: object) -> bool:
    inner = faults.client_error(answer) if isinstance(answer, KafkaException) else None
    return inner is not None and inner.code() == KafkaError._TIMED_OUT  # noqa: SLF001  # the client's own codes begin with an underscore


def wrong_setting(error: KafkaException) -> BrokerError:
    """Put into words that the client refuses one of its settings."""
    inner = faults.client_error(error)
    reason = str(error) if inner is None else inner.str()
    return BrokerError(
        f"the Kafka client refuses a setting: {reason}. Check the client settings of the app and STREAMS_KAFKA_*."
    )
