"""What the topics of a chain have to be, and what is told of those that are not."""

from __future__ import annotations

import pytest

from streams.engine.policy import OrderPolicy
from streams.engine.topics import (
    Chain,
    ChainTopic,
    all_faults,
    chain_names,
    chain_of,
    chain_topics,
    config_differences,
    dlq_names,
    faults,
    missing,
    old_tiers,
)
from streams.kafka.shape import Topic

OPTIONS = "orders --group billing --policy park --retry 1m --retry 10m"
FIX = f"streams topics check {OPTIONS} --fix"
SOURCE = Topic("orders", "id", 6, 3, {"max.message.bytes": "1000", "min.insync.replicas": "2"})
TIERS = (60.0, 600.0)


def tier(partitions: int = 6, **config: str) -> Topic:
    """Give an existing tier, as wanted but for what is said."""
    wanted = chain_topics(SOURCE, "billing", "park", TIERS)[0]
    given = {name.replace("_", "."): value for name, value in config.items()}
    return Topic(wanted.name, "id", partitions, 3, {**wanted.config, **given})


@pytest.fixture
def wanted() -> ChainTopic:
    """The first tier of billing on orders."""
    return chain_topics(SOURCE, "billing", "park", TIERS)[0]


@pytest.mark.parametrize(
    ("policy", "ends"),
    [
        ("block", ["dlq"]),
        ("unordered", ["retry.1m", "retry.10m", "dlq"]),
        ("park", ["retry.1m", "retry.10m", "parked", "dlq"]),
    ],
)
def test_a_policy_has_the_topics_that_it_needs(policy: OrderPolicy, ends: list[str]) -> None:
    """Tiers where records wait for their time, a parked topic where others wait behind them, and dead letters."""
    topics = chain_topics(SOURCE, "billing", policy, TIERS)

    assert [topic.name for topic in topics] == [f"orders.billing.{end}" for end in ends]
    assert not any(topic.is_old for topic in topics)


def test_chain_topics_follow_their_source() -> None:
    """Partitions and copies as the source; kept for ever; as safe; room for what a copy carries beside its record."""
    one, _, parked, dead = chain_topics(SOURCE, "billing", "park", TIERS)
    kept = {
        "cleanup.policy": "delete",
        "retention.ms": "-1",
        "retention.bytes": "-1",
        "max.message.bytes": "66536",
        "min.insync.replicas": "2",
    }

    assert {(topic.partitions, topic.replication) for topic in (one, parked, dead)} == {(6, 3)}
    assert one.config == {**kept, "message.timestamp.type": "LogAppendTime"}
    assert parked.config == dead.config == kept


@pytest.mark.parametrize(
    ("policy", "old", "has_parked"),
    [("park", (5.0, 3_600.0), True), ("unordered", (5.0, 3_600.0), True), ("block", (5.0, 60.0, 3_600.0), True)],
)
def test_what_an_earlier_policy_left_belongs_to_the_chain(
    policy: OrderPolicy, old: tuple[float, ...], *, has_parked: bool
) -> None:
    """Tiers and a parked topic that the policy does not name are emptied and not written."""
    ends = ("retry.1h", "retry.5s", "retry.1m", "parked", "dlq")
    existing = {"orders", "orders.other.retry.2h", *(f"orders.billing.{end}" for end in ends)}
    topics = chain_topics(SOURCE, "billing", policy, TIERS, existing=existing)
    written = () if policy == "block" else TIERS
    parked = next(topic for topic in topics if topic.name.endswith(".parked"))

    assert chain_of(SOURCE, "billing", topics) == Chain("id", written, old, has_parked)
    assert parked.is_old == (policy != "park")
    assert {topic.name for topic in topics if topic.is_old} <= existing
    assert {topic.options for topic in topics} == {
        f"orders --group billing --policy {policy}" + ("" if policy == "block" else " --retry 1m --retry 10m")
    }


def test_a_chain_may_have_no_parked_topic() -> None:
    """Where the policy parks nothing and nothing was ever parked."""
    topics = chain_topics(SOURCE, "billing", "unordered", ())

    assert chain_of(SOURCE, "billing", topics) == Chain("id", (), (), has_parked=False)
    assert topics[0].options.endswith("--policy unordered --retry none")


def test_a_declared_retention_is_that_of_every_topic() -> None:
    """A tier keeps what is in it for four of its delays at least; all go by when the broker took a record."""
    topics = chain_topics(SOURCE, "billing", "park", (60.0, 3_600.0), retention_s=7_200)

    assert [topic.config["retention.ms"] for topic in topics] == ["7200000", "14400000", "7200000", "7200000"]
    assert {topic.config["message.timestamp.type"] for topic in topics} == {"LogAppendTime"}


@pytest.mark.parametrize(("has", "count"), [("7200000", 0), ("7200001", 0), ("-1", 0), ("7199999", 1), ("0", 1)])
def test_a_longer_retention_than_declared_is_no_fault(has: str, count: int) -> None:
    """One that is for ever is the longest."""
    (wanted, *_) = chain_topics(SOURCE, "billing", "park", (60.0,), retention_s=7_200)
    found = faults(tier(retention_ms=has), wanted)

    assert len(found) == count
    assert all("it must be at least 7200000" in fault for fault in found)


def test_what_is_as_wanted_has_no_fault(wanted: ChainTopic) -> None:
    """More room or more safety than needed is no fault."""
    assert faults(tier(), wanted) == []
    assert faults(tier(max_message_bytes="9999999", min_insync_replicas="3"), wanted) == []


@pytest.mark.parametrize(
    ("existing", "text"),
    [
        (None, f"is missing. Make it: streams topics create {OPTIONS}"),
        (tier(4), f"has 4 partition(s), its source orders has 6. Widen it: {FIX}"),
        (tier(8), "A topic can't lose partitions"),
        (tier(retention_ms="5"), f"retention.ms is 5, it must be -1. Set it: {FIX}"),
        (tier(max_message_bytes="7"), "max.message.bytes is 7, it must be at least 66536."),
        (tier(min_insync_replicas="1"), "min.insync.replicas is 1, it must be at least 2."),
        (tier(cleanup_policy="compact"), "cleanup.policy is compact, it must be delete."),
        (
            tier(message_timestamp_type="CreateTime"),
            "message.timestamp.type is CreateTime, it must be LogAppendTime.",
        ),
    ],
)
def test_each_difference_names_its_remedy(wanted: ChainTopic, existing: Topic | None, text: str) -> None:
    """One sentence a difference: what is, what has to be, and the command."""
    (fault,) = faults(existing, wanted)

    assert fault.startswith("topic orders.billing.retry.1m")
    assert text in fault


def test_all_differences_are_told_at_once(wanted: ChainTopic) -> None:
    """Not one after the other."""
    existing = tier(4, retention_ms="5", cleanup_policy="compact")

    assert len(all_faults({wanted.name: existing}, [wanted])) == 3
    assert config_differences(existing, wanted) == {"retention.ms": "-1", "cleanup.policy": "delete"}
    assert missing({}, [wanted]) == [wanted]
    assert missing({wanted.name: existing}, [wanted]) == []


def test_a_name_that_kafka_does_not_take_is_told() -> None:
    """Too long a name is found before the broker is asked."""
    wanted = chain_topics(Topic("o" * 200, "id", 1, 1), "g" * 60, "block")[0]
    (fault,) = faults(None, wanted)

    assert "16 characters too long" in fault


# -- found by name --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["dlq", "parked", "retry.1m", "retry.500ms"])
@pytest.mark.parametrize(
    ("names", "pair"),
    [
        ({"orders"}, ("orders", "billing")),
        ({"a", "a.b"}, ("a.b", "c")),
        ({"a"}, ("a", "team.app")),
        ({"a.b.dlq", "a.b.retry.1m"}, ("a.b.dlq", "c")),
        ({"a.b.retry.1m"}, ("a.b.retry.1m", "c")),
    ],
)
def test_topics_of_a_chain_are_told_by_name(names: set[str], pair: tuple[str, str], end: str) -> None:
    """The group stands between an existing source and the end."""
    name = ".".join((*pair, end))

    assert chain_names(names | {name})[name] == pair
    assert chain_names(names | {name}, pair[1])[name] == pair
    assert dlq_names(names | {name}) == ({name: pair} if end == "dlq" else {})


@pytest.mark.parametrize(
    "name", ["orphan.billing.dlq", ".dlq", ".parked", "a..dlq", "a", "a.billing.retry.60s", "a.billing.retry.soon"]
)
def test_what_only_looks_alike_is_no_chain(name: str) -> None:
    """Without an existing source, or with a delay that nothing is named by, a topic is one of its own."""
    assert chain_names({"a", name}) == {}


def test_a_group_makes_sure_whose_topic_it_is() -> None:
    """Where two sources fit, the longer one counts; for a group that is known there is no doubt."""
    names = {"orders", "orders.eu", "orders.eu.billing.parked"}

    assert chain_names(names) == {"orders.eu.billing.parked": ("orders.eu", "billing")}
    assert chain_names(names, "eu.billing") == {"orders.eu.billing.parked": ("orders", "eu.billing")}
    assert chain_names(names, "billing") == {"orders.eu.billing.parked": ("orders.eu", "billing")}
    assert chain_names(names, "others") == {}


def test_old_tiers_are_those_that_the_policy_does_not_name() -> None:
    """Of this group on this source, in the form that tiers are named in."""
    ours = [f"orders.billing.retry.{end}" for end in ("2h", "1m", "30s", "60s", "soon")]
    names = [*ours, "orders.other.retry.5m", "orders.billing.retry.5m.dlq", "other.billing.retry.5m"]

    assert old_tiers(names, "orders", "billing", [60.0]) == (30.0, 7_200.0)
    assert old_tiers(names, "orders", "billing", []) == (30.0, 60.0, 7_200.0)
