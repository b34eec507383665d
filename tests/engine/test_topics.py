"""What the topics of a chain have to be, and what is told of those that are not."""

from __future__ import annotations

import pytest

from streams.engine.topics import ChainTopic, all_faults, chain_names, chain_topics, config_differences, faults, missing
from streams.kafka.shape import Topic

FIX = "streams topics check orders --group billing --fix"
SOURCE = Topic("orders", "id", 6, 3, {"max.message.bytes": "1000"})


def dead(partitions: int = 6, **config: str) -> Topic:
    """Give an existing dead-letter topic, as wanted but for what is said."""
    (wanted,) = chain_topics(SOURCE, "billing")
    given = {name.replace("_", "."): value for name, value in config.items()}
    return Topic(wanted.name, "id", partitions, 3, {**wanted.config, **given})


@pytest.fixture
def wanted() -> ChainTopic:
    """The dead-letter topic of billing on orders."""
    return chain_topics(SOURCE, "billing")[0]


def test_a_chain_topic_follows_its_source(wanted: ChainTopic) -> None:
    """Partitions and copies as the source; kept for ever; room for what a copy carries beside its record."""
    assert (wanted.name, wanted.partitions, wanted.replication) == ("orders.billing.dlq", 6, 3)
    assert wanted.config == {
        "cleanup.policy": "delete",
        "retention.ms": "-1",
        "retention.bytes": "-1",
        "max.message.bytes": "66536",
    }


def test_what_is_as_wanted_has_no_fault(wanted: ChainTopic) -> None:
    """More room than needed is no fault."""
    assert faults(dead(), wanted) == []
    assert faults(dead(max_message_bytes="9999999"), wanted) == []


@pytest.mark.parametrize(
    ("existing", "text"),
    [
        (None, "is missing. Make it: streams topics create orders --group billing"),
        (
            dead(4),
            "has 4 partition(s), its source orders has 6. Widen it: streams topics check orders --group billing --fix",
        ),
        (dead(8), "A topic can't lose partitions"),
        (
            dead(retention_ms="5"),
            "retention.ms is 5, it must be -1. Set it: streams topics check orders --group billing --fix",
        ),
        (dead(max_message_bytes="7"), "max.message.bytes is 7, it must be at least 66536."),
        (dead(cleanup_policy="compact"), "cleanup.policy is compact, it must be delete."),
    ],
)
def test_each_difference_names_its_remedy(wanted: ChainTopic, existing: Topic | None, text: str) -> None:
    """One sentence a difference: what is, what has to be, and the command."""
    (fault,) = faults(existing, wanted)

    assert fault.startswith("topic orders.billing.dlq")
    assert text in fault


def test_all_differences_are_told_at_once(wanted: ChainTopic) -> None:
    """Not one after the other."""
    existing = dead(4, retention_ms="5", cleanup_policy="compact")

    assert len(all_faults({wanted.name: existing}, [wanted])) == 3
    assert config_differences(existing, wanted) == {"retention.ms": "-1", "cleanup.policy": "delete"}
    assert missing({}, [wanted]) == [wanted]
    assert missing({wanted.name: existing}, [wanted]) == []


def test_a_name_that_kafka_does_not_take_is_told() -> None:
    """Too long a name is found before the broker is asked."""
    (wanted,) = chain_topics(Topic("o" * 200, "id", 1, 1), "g" * 60)
    (fault,) = faults(None, wanted)

    assert "16 characters too long" in fault


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ({"orders", "orders.billing.dlq"}, {"orders.billing.dlq": ("orders", "billing")}),
        ({"a", "a.b", "a.b.c.dlq"}, {"a.b.c.dlq": ("a.b", "c")}),
        ({"a", "a.team.app.dlq"}, {"a.team.app.dlq": ("a", "team.app")}),
        ({"orphan.billing.dlq", ".dlq", "a..dlq", "a"}, {}),
        ({"a.b.dlq", "a.b.dlq.c.dlq"}, {"a.b.dlq.c.dlq": ("a.b.dlq", "c")}),
    ],
)
def test_dead_letter_topics_are_told_by_name(names: set[str], found: dict[str, tuple[str, str]]) -> None:
    """The group stands between an existing source and the end."""
    assert chain_names(names) == found
