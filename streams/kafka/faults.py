"""What the client's error codes mean to a person, and what they can do about them."""

from __future__ import annotations

import re
from typing import Final

from confluent_kafka import KafkaError, KafkaException

from streams.config import Settings
from streams.errors import BrokerError, RightsError, TopicError

UNREACHABLE: Final = frozenset(
    {
        KafkaError._TRANSPORT,  # noqa: SLF001  # the client's own codes begin with an underscore
        KafkaError._ALL_BROKERS_DOWN,  # noqa: SLF001
        KafkaError._TIMED_OUT,  # noqa: SLF001
        KafkaError._WAIT_COORD,  # noqa: SLF001
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.BROKER_NOT_AVAILABLE,
    },
)
"""Nobody answered, or not in time."""

CREDENTIALS: Final = frozenset(
    {
        KafkaError._AUTHENTICATION,  # noqa: SLF001
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError.UNSUPPORTED_SASL_MECHANISM,
    },
)
"""The broker answered and does not let this user in; waiting does not mend it."""

REFUSED: Final = frozenset(
    {
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.POLICY_VIOLATION,
        KafkaError.INVALID_RECORD,
        KafkaError._PURGE_QUEUE,  # noqa: SLF001
        KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001
        KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001
    },
)
"""After these it is certain that no broker has the record that was sent; after any other it may have it or not."""

_RIGHTS: Final = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "on the topic",
    KafkaError.GROUP_AUTHORIZATION_FAILED: "on the consumer group",
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: "on the cluster",
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: "on the transactional id",
}

_NOT_TO_BE_MADE: Final = frozenset(
    {KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED, KafkaError.POLICY_VIOLATION}
)

_CHECK_CREDENTIALS: Final = (
    "refuses the credentials",
    (
        "Check security.protocol, sasl.mechanism, sasl.username and sasl.password"
        " (in the environment: STREAMS_KAFKA_SASL_USERNAME and so on)."
    ),
)

_ADVICE: Final = {
    **dict.fromkeys(CREDENTIALS, _CHECK_CREDENTIALS),
    KafkaError._RESOLVE: (  # noqa: SLF001
        "is no host that can be found",
        "Check the name given as --bootstrap or STREAMS_BOOTSTRAP.",
    ),
    KafkaError._SSL: (  # noqa: SLF001
        "could not agree on TLS",
        "Check security.protocol and the ssl.* settings.",
    ),
}
"""What happened, and what to do about it."""

_UNKNOWN_TOPIC: Final = frozenset(
    {
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001
        KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001
        KafkaError.TOPIC_EXCEPTION,
    },
)


_SPEAKER: Final = re.compile(r"^\S+/(?:bootstrap|\d+): ")
_AFTER: Final = re.compile(r" \(after \d+ms in state \w+\)")


def client_error(error: BaseException) -> KafkaError | None:
    """Give the client's error inside *error*; None where it holds none."""
    cause = error.args[0] if isinstance(error, KafkaException) and error.args else error
    return cause if isinstance(cause, KafkaError) else None


def is_unknown_topic(error: KafkaError) -> bool:
    """Say whether *error* means that the topic or partition does not exist, or can't exist under that name."""
    return error.code() in _UNKNOWN_TOPIC


def is_refusal_to_make(error: BrokerError) -> bool:
    """Say whether *error* means that the cluster lets this user make no such topic, whatever is tried again."""
    inner = None if error.__cause__ is None else client_error(error.__cause__)
    return inner is not None and inner.code() in _NOT_TO_BE_MADE


def foreign_metadata(group: str) -> BrokerError:
    """Put into words that another program's commits can't be read: the client takes their metadata for text."""
    return BrokerError(
        f"group {group!r} has committed offsets whose metadata is no text: another program wrote them, and the client"
        f" can't read them. Write them anew without it, while the group stands still, then try again:"
        f" kafka-consumer-groups.sh --group {group} --all-topics --reset-offsets --to-current --execute"
    )


def is_silence(error: BrokerError) -> bool:
    """Say whether *error* means that one request got no answer in time, as from a broker that has just died."""
    inner = None if error.__cause__ is None else client_error(error.__cause__)
    return inner is not None and inner.code() in UNREACHABLE


def fault(error: KafkaError, *, doing: str, settings: Settings, topic: str = "") -> BrokerError:
    """Put *error* into words: what happened, where, and what to do next.

    Args:
        error: The client's.
        doing: What was being done, as in "while <doing>".
        settings: Of the connection; only the addresses are shown.
        topic: The topic it is about; "" where it is about none.
    """
    code, where = error.code(), settings.bootstrap
    if code in _UNKNOWN_TOPIC and topic:
        return unknown_topic(topic, settings)
    if code in UNREACHABLE:
        return unreachable(settings, doing=doing, heard=_plain(error))
    if code in _RIGHTS:
        of = f"{_RIGHTS[code]} {topic!r}" if topic else _RIGHTS[code]
        return RightsError(f"{where} denies a right {of}, while {doing}. Ask whoever runs the cluster to grant it.")
    happened, advice = _ADVICE.get(code, (f"answered {error.name()}", ""))
    return BrokerError(f"{where} {happened} ({_plain(error)}), while {doing}. {advice}".rstrip())


def unknown_topic(topic: str, settings: Settings) -> TopicError:
    """Say that *topic* does not exist."""
    return TopicError(
        topic,
        f"topic {topic!r} does not exist at {settings.bootstrap}."
        f" See 'streams topics list', or make it: streams topics create {topic} --partitions 6",
    )


def unreachable(settings: Settings, *, doing: str, heard: str) -> BrokerError:
    """Say that no broker answered."""
    detail = f" ({heard})" if heard else ""
    return BrokerError(
        f"no broker answers at {settings.bootstrap}{detail}, while {doing}."
        " Is it running, and is the address right (--bootstrap, STREAMS_BOOTSTRAP)?"
        " 'streams dev up' starts one on this machine.",
    )


def _plain(error: KafkaError) -> str:
    text = _AFTER.sub("", _SPEAKER.sub("", error.str()))
    return text.removeprefix("Broker: ").removeprefix("Local: ").strip().rstrip(".:")
