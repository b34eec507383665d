"""The group protocol is found out from the broker, and from who is in the group already."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

import pytest
from confluent_kafka import Consumer

from streams.config import Settings
from streams.errors import BrokerError
from streams.kafka.admin import Admin
from streams.kafka.groups import list_groups
from streams.kafka.protocol import resolve_protocol, supports_consumer_protocol
from tests.brokers import Kafka, Topics
from tests.kafka.mock_cluster import cluster_before_kip_848
from tests.kafka.oddity import OddBroker
from tests.waiting import eventually

ODD = pytest.mark.xdist_group("odd_broker")


def test_a_broker_with_kip_848_gets_the_new_protocol(kafka: Kafka, group: Callable[..., str]) -> None:
    """A group without members speaks KIP-848 where the broker has it."""
    protocol, why = resolve_protocol(Settings(bootstrap=kafka.bootstrap, group=group()))

    assert protocol == "consumer"
    assert "KIP-848" in why


@ODD
def test_a_broker_without_kip_848_gets_the_classic_protocol(odd: OddBroker) -> None:
    """A broker whose feature is switched off is told apart."""
    protocol, why = resolve_protocol(odd.settings("billing"))

    assert protocol == "classic"
    assert "no KIP-848" in why


def test_a_broker_from_before_kip_848_is_told_at_once() -> None:
    """A broker that does not know the request says so by its versions."""
    with cluster_before_kip_848() as bootstrap:
        assert supports_consumer_protocol(Settings(bootstrap=bootstrap, group="billing")) is False


def test_silence_is_no_answer(nobody: Settings) -> None:
    """Where nobody answers, it is not known."""
    assert supports_consumer_protocol(nobody) is None


def test_asking_leaves_nothing_behind(kafka: Kafka, group: Callable[..., str]) -> None:
    """The question makes no group."""
    name = group()
    resolve_protocol(Settings(bootstrap=kafka.bootstrap, group=name))

    with Admin(Settings(bootstrap=kafka.bootstrap)) as admin:
        assert name not in list_groups(admin)


@pytest.mark.parametrize(
    ("spoken", "settings"),
    [
        ("classic", {"partition_assignment_strategy": "cooperative-sticky"}),
        ("classic-range", {}),
        ("consumer", {"group_protocol": "consumer"}),
    ],
)
def test_a_running_group_keeps_its_protocol(
    kafka: Kafka, topic: Topics, group: Callable[..., str], spoken: str, settings: dict[str, str]
) -> None:
    """A new member speaks what the members speak; what clients speak of themselves is classic with `range`."""
    name = group()
    with closing(Consumer(kafka.client(group_id=name, **settings))) as member:
        member.subscribe([topic()])
        eventually(lambda: member.poll(0.1) or member.assignment())
        protocol, why = resolve_protocol(Settings(bootstrap=kafka.bootstrap, group=name))

    assert protocol == spoken
    assert "member" in why


@pytest.mark.parametrize("chosen", ["classic", "classic-range", "consumer"])
def test_a_chosen_protocol_is_not_asked_for(nobody: Settings, chosen: str) -> None:
    """Where the settings say it, no broker is needed."""
    assert resolve_protocol(nobody.over(protocol=chosen))[0] == chosen


@ODD
def test_refused_credentials_end_the_question(odd: OddBroker) -> None:
    """Who is not let in hears so."""
    with pytest.raises(BrokerError, match="refuses the credentials"):
        resolve_protocol(odd.settings_of_alice("wrong", "billing"))


@ODD
def test_a_missing_right_to_the_group_ends_the_question(odd: OddBroker) -> None:
    """Who may not use the group hears so, and which."""
    with pytest.raises(BrokerError, match=r"denies a right on the consumer group.*'billing'"):
        resolve_protocol(odd.settings_of_alice(group="billing"))
