"""Every call to the cluster ends in time, and every failure says what to do."""

from __future__ import annotations

import re
import time
from concurrent.futures import Future

import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from streams.config import Settings
from streams.errors import BrokerError
from streams.kafka.admin import Admin
from streams.kafka.groups import describe_group
from streams.kafka.shape import NewTopic
from streams.kafka.topics import create_topics, find_topics, list_topics
from tests.brokers import Kafka
from tests.kafka.oddity import OddBroker

ODD = pytest.mark.xdist_group("odd_broker")


def failure(settings: Settings, timeout_s: float = 10.0) -> str:
    """Ask for the topics, and give the words in which that fails."""
    with Admin(settings, timeout_s=timeout_s) as admin, pytest.raises(BrokerError) as caught:
        list_topics(admin)
    return str(caught.value)


def test_no_broker_is_said_with_the_remedy(nobody: Settings) -> None:
    """Where nothing listens, the words name the place and the way out."""
    text = failure(nobody)

    assert text.startswith(f"no broker answers at {nobody.bootstrap} (")
    assert "Connection refused" in text
    assert "streams dev up" in text


def test_an_unknown_host_is_said() -> None:
    """A name that stands for no host is told apart from a silent one."""
    assert "is no host that can be found" in failure(Settings(bootstrap="no-such-host.invalid:9092"))


@ODD
def test_wrong_credentials_are_said_without_the_secret(odd: OddBroker) -> None:
    """Refused credentials are told apart from silence, and never shown."""
    text = failure(odd.settings_of_alice("not-the-password"))

    assert "refuses the credentials" in text
    assert "STREAMS_KAFKA_SASL_USERNAME" in text
    assert "not-the-password" not in text


@ODD
def test_a_listener_that_wants_sasl_is_guessed(odd: OddBroker) -> None:
    """Who comes without credentials hears that they may be wanted."""
    assert "security.protocol" in failure(Settings(bootstrap=odd.guarded))


@ODD
def test_a_missing_right_is_said(odd: OddBroker) -> None:
    """A denied right names the thing it is about."""
    with Admin(odd.settings_of_alice()) as admin:
        with pytest.raises(BrokerError, match="denies a right on the consumer group"):
            describe_group(admin, "billing")
        with pytest.raises(BrokerError, match="denies a right on the topic 'orders'"):
            create_topics(admin, [NewTopic("orders", 1)])


@ODD
def test_a_broker_that_stands_still_ends_the_call(odd: OddBroker) -> None:
    """Silence ends a call when its time is over."""
    with Admin(odd.settings(), timeout_s=1.0) as admin:
        list_topics(admin)
        with odd.suspended(), pytest.raises(BrokerError, match="no broker answers"):
            find_topics(admin, ["orders"])


def test_a_wrong_client_setting_is_named(kafka: Kafka) -> None:
    """A setting that the client does not know is named."""
    text = failure(Settings(bootstrap=kafka.bootstrap, kafka={"no.such.setting": "1"}))

    assert re.search(r"refuses a setting.*no\.such\.setting", text)


def test_a_closed_connection_opens_anew(admin: Admin) -> None:
    """Closing is not the end."""
    list_topics(admin)
    admin.close()

    assert isinstance(list_topics(admin), list)


def test_a_question_that_ran_into_its_own_time_is_asked_again(admin: Admin) -> None:
    """The broker that was asked may have died: another one may know by now, and there is time."""
    tries: list[Future[str]] = []

    def question() -> Future[str]:
        tries.append(Future())
        if len(tries) == 1:
            tries[0].set_exception(KafkaException(KafkaError(KafkaError._TIMED_OUT)))  # noqa: SLF001  # the client's own codes begin with an underscore
        else:
            tries[-1].set_result("known")
        return tries[-1]

    assert admin.answer(question, "asking") == "known"
    assert len(tries) == 2
    assert admin.look_s < admin.timeout_s


def test_a_coordinator_that_is_loading_is_waited_for(admin: Admin, monkeypatch: pytest.MonkeyPatch) -> None:
    """For as long as the call may take, not for one try of it."""
    monkeypatch.setattr("streams.kafka.admin._LOOK_S", 0.2)
    list_topics(admin)
    admin.timeout_s = 3.0
    ready_at = time.monotonic() + 1.5 * admin.look_s

    def question(_within_s: float) -> Future[str]:
        answer: Future[str] = Future()
        if time.monotonic() < ready_at:
            answer.set_exception(KafkaException(KafkaError(KafkaError.COORDINATOR_LOAD_IN_PROGRESS)))
        else:
            answer.set_result("loaded")
        return answer

    assert admin.ask_coordinator(question, "asking") == "loaded"


def test_a_coordinator_that_says_nothing_is_asked_over_a_connection_of_its_own(
    admin: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one before is given up with its question; and when time is over, that is said."""
    monkeypatch.setattr("streams.kafka.admin._LOOK_S", 0.2)
    list_topics(admin)
    admin.timeout_s = 1.5
    asked: list[AdminClient] = []

    def silence(_within_s: float) -> Future[str]:
        asked.append(admin.client)
        return Future()

    with pytest.raises(BrokerError, match=r"no answer within 1\.5 s"):
        admin.ask_coordinator(silence, "asking")
    assert len(asked) == len({id(client) for client in asked}) > 1
