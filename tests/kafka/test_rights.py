"""Who may look and may not make topics hears what is missing, and how others can make it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # its types do not mark them as public
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from streams import App
from streams.errors import TopicError
from streams.kafka.admin import Admin
from streams.kafka.shape import NewTopic
from streams.kafka.topics import create_topics
from streams.service import prepare_topics
from tests.brokers import unique
from tests.cli.shell import Shell
from tests.kafka.oddity import OddBroker

pytestmark = pytest.mark.xdist_group("odd_broker")


@pytest.fixture
def orders(odd: OddBroker) -> Iterator[str]:
    """A topic of three partitions which alice may look at, as at everything that is named after it."""
    name = unique("orders")
    with Admin(odd.settings()) as admin:
        create_topics(admin, [NewTopic(name, 3)])
        _allow(admin.client, name, AclOperation.DESCRIBE, AclOperation.DESCRIBE_CONFIGS)
        yield name


def _allow(client: AdminClient, prefix: str, *operations: AclOperation) -> None:
    rights = [
        AclBinding(
            ResourceType.TOPIC,
            prefix,
            ResourcePatternType.PREFIXED,
            "User:alice",
            "*",
            operation,
            AclPermissionType.ALLOW,
        )
        for operation in operations
    ]
    for done in client.create_acls(rights).values():
        done.result(30)


def parking(orders: str) -> App:
    """Declare an app that parks records of *orders*."""
    app = App("billing")

    @app.on(orders, policy="park")
    def take(_order: bytes) -> None: ...

    return app


def test_a_member_that_may_not_make_topics_says_who_could(odd: OddBroker, orders: str) -> None:
    """The right that is missing, every topic that is, and a command that prints how to make them."""
    app = parking(orders)

    with pytest.raises(TopicError) as caught:
        prepare_topics(odd.settings_of_alice(group="billing"), app.routes)
    for part in (
        "denies a right",
        *(f"{orders}.billing.{end}" for end in ("retry.1m", "retry.10m", "parked", "dlq")),
        f"streams topics create {orders} --group billing --policy park --retry 1m --retry 10m --print",
    ):
        assert part in str(caught.value)


def test_what_is_printed_can_be_made_by_somebody_else(odd: OddBroker, orders: str) -> None:
    """The command that is named needs no further right; once others made the topics, the member finds them sound."""
    app = parking(orders)
    line = f"topics create {orders} --group billing --policy park"
    printed = Shell(odd.guarded)(
        f"{line} --print",
        STREAMS_KAFKA_SECURITY_PROTOCOL="SASL_PLAINTEXT",
        STREAMS_KAFKA_SASL_MECHANISM="PLAIN",
        STREAMS_KAFKA_SASL_USERNAME="alice",
        STREAMS_KAFKA_SASL_PASSWORD="open-sesame",  # noqa: S106  # a test's
    )
    assert len(printed.out.splitlines()) == 4

    Shell(odd.bootstrap)(line)
    chain = prepare_topics(odd.settings_of_alice(group="billing"), app.routes)[orders]

    assert (chain.tiers, chain.old_tiers, chain.has_parked) == ((60.0, 600.0), (), True)
