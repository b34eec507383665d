"""What a run does to its process, and what it finds or makes at its start."""

from __future__ import annotations

import gc
from collections.abc import Callable

import pytest

from streams import App, RetryPolicy
from streams.config import Settings
from streams.engine.ending import Until
from streams.engine.policy import OrderPolicy
from streams.engine.topics import Chain
from streams.errors import TopicError
from streams.kafka.admin import Admin
from streams.kafka.offsets import Committed
from streams.kafka.shape import NewTopic
from streams.kafka.topics import create_topics, find_topics, list_topics
from streams.record import Partition
from streams.service import prepare_topics, run
from tests.brokers import Kafka, Topics


def test_a_run_has_fewer_collections_and_leaves_the_collector_as_it_was(
    kafka: Kafka, topic: Topics, group: Callable[..., str]
) -> None:
    """While a member works the collector looks less often; afterwards its thresholds are those from before."""
    name, app = topic(), App(group())
    kafka.write(name)
    seen: list[tuple[int, int, int]] = []

    @app.on(name, run="inline")
    def look(_value: bytes) -> None:
        seen.append(gc.get_threshold())

    at_first = gc.get_threshold()
    gc.set_threshold(700, 10, 10)
    try:
        run(app, Settings(bootstrap=kafka.bootstrap, group=app.group), Until(empty=True))
        after = gc.get_threshold()
    finally:
        gc.set_threshold(*at_first)

    assert seen[0][0] > 700
    assert after == (700, 10, 10)
    assert gc.get_freeze_count() == 0


def prepare(kafka: Kafka, group: str, topic: str, policy: OrderPolicy, *waits: str) -> Chain:
    """What a member of *group* finds at its start."""
    app = App(group)

    @app.on(topic, policy=policy, retry=RetryPolicy(waits))
    def take(_order: bytes) -> None: ...

    return prepare_topics(Settings(bootstrap=kafka.bootstrap, group=group), app.routes)[topic]


def test_a_start_makes_what_the_policy_needs(kafka: Kafka, topic: Topics, group: Callable[..., str]) -> None:
    """And leaves it alone at the next start; a tier that the policy dropped is found by its name."""
    name, team = topic(partitions=3), group()
    with Admin(Settings(bootstrap=kafka.bootstrap)) as admin:
        topic_id = find_topics(admin, [name])[name].topic_id
        first = prepare(kafka, team, name, "park", "1s", "1m", "1h")
        again = prepare(kafka, team, name, "park", "1s", "1m", "1h")
        changed = prepare(kafka, team, name, "park", "5m", "1h")
        stopped = prepare(kafka, team, name, "block", "5m")
        made = sorted(one.removeprefix(f"{name}.{team}.") for one in list_topics(admin) if one.startswith(f"{name}."))

    assert first == again == Chain(topic_id, (60.0, 3_600.0), (), has_parked=True)
    assert changed == Chain(topic_id, (300.0, 3_600.0), (60.0,), has_parked=True)
    assert stopped == Chain(topic_id, (), (60.0, 300.0, 3_600.0), has_parked=True)
    assert made == ["dlq", "parked", "retry.1h", "retry.1m", "retry.5m"]


def test_a_start_refuses_a_chain_that_differs(kafka: Kafka, topic: Topics, group: Callable[..., str]) -> None:
    """Every difference of every topic is told, with the command that mends it."""
    name, team = topic(partitions=2), group()
    with Admin(Settings(bootstrap=kafka.bootstrap)) as admin:
        create_topics(admin, [NewTopic(f"{name}.{team}.{end}", 1) for end in ("retry.1m", "parked")])

    with pytest.raises(TopicError) as caught:
        prepare(kafka, team, name, "park", "1m")
    told = str(caught.value).splitlines()
    assert len(told) == 7
    assert all(f"streams topics check {name} --group {team} --policy park --retry 1m --fix" in line for line in told)


def test_a_start_refuses_a_name_that_is_too_long(kafka: Kafka, topic: Topics, group: Callable[..., str]) -> None:
    """Before anything is made."""
    name, team = topic(), group() + "g" * 230
    with pytest.raises(TopicError, match="too long for Kafka"):
        prepare(kafka, team, name, "park", "1m")

    with Admin(Settings(bootstrap=kafka.bootstrap)) as admin:
        assert [one for one in list_topics(admin) if one.startswith(f"{name}.")] == []


@pytest.mark.parametrize("found", [("1m", (60.0,)), ("5m", ())])
def test_a_tier_that_the_list_lacks_is_known_by_what_the_group_committed(
    found: tuple[str, tuple[float, ...]],
    kafka: Kafka,
    topic: Topics,
    group: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The broker that lists may not have heard of it; one that is gone is none, and is not made anew."""
    name, team, (made, old_tiers) = topic(), group(), found
    tier = f"{name}.{team}.retry.1m"
    prepare(kafka, team, name, "park", made)
    at = {Partition(tier, 0): Committed(3), Partition("another.topic", 0): Committed(5)}
    monkeypatch.setattr("streams.service.committed", lambda _admin, asked: at if asked == team else {})
    monkeypatch.setattr("streams.service.list_topics", lambda _: [name])
    chain = prepare(kafka, team, name, "park", "5m")

    assert chain.old_tiers == old_tiers


def test_what_a_group_has_committed_names_its_whole_chain(
    kafka: Kafka, topic: Topics, group: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tiers of a former policy are found by it alone, the parked topic too."""
    name, app = topic(), App(group())

    @app.on(name, run="inline", retry=RetryPolicy(("1m",)))
    def take(_order: bytes) -> None: ...

    kafka.write(name)
    run(app, Settings(bootstrap=kafka.bootstrap, group=app.group), Until(empty=True))
    monkeypatch.setattr("streams.service.list_topics", lambda _: [name])
    chain = prepare(kafka, app.group, name, "block")

    assert (chain.tiers, chain.old_tiers, chain.has_parked) == ((), (60.0,), True)
