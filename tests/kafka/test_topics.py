"""Topics are looked up, made and changed as asked, and what is not there is told."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import ExitStack
from functools import partial
from typing import Any

import pytest
from confluent_kafka.cimpl import NewTopic as ClientTopic

from streams.config import Settings
from streams.dev import DevCluster
from streams.errors import BrokerError, TopicError
from streams.kafka.admin import START_WITHIN_S, Admin
from streams.kafka.shape import NewTopic, Topic
from streams.kafka.topics import (
    add_partitions,
    await_topics,
    create_topics,
    find_topics,
    list_topics,
    news_within_s,
    require_topics,
    set_config,
    topic_configs,
)
from tests.brokers import Topics, unique
from tests.waiting import eventually


def test_what_is_made_is_found(admin: Admin) -> None:
    """A topic is as it was asked for, its own setting and the cluster's defaults included."""
    name = unique("orders")
    create_topics(admin, [NewTopic(name, 3, 1, {"retention.ms": "-1"})])

    found = require_topics(admin, [name], with_config=True)[name]
    assert (found.partitions, found.replication, found.offline) == (3, 1, ())
    assert found.config["retention.ms"] == "-1"
    assert found.config["cleanup.policy"] == "delete"
    assert [place.number for place in found.all_partitions] == [0, 1, 2]
    assert name in list_topics(admin)


def test_what_is_absent_is_left_out(admin: Admin, topic: Topics) -> None:
    """Looking for topics gives those that exist."""
    name = topic()

    assert set(find_topics(admin, [name, unique("absent")])) == {name}
    assert find_topics(admin, []) == {}


def test_a_required_topic_that_is_absent_is_an_error(admin: Admin) -> None:
    """The error names the topic and the command that makes it."""
    name = unique("absent")
    with pytest.raises(TopicError, match=f"streams topics create {name}") as caught:
        require_topics(admin, [name])

    assert caught.value.topic == name


@pytest.mark.parametrize("brokers", [1, 3])
def test_among_several_brokers_a_required_topic_is_looked_for_again(
    brokers: int, admin: Admin, topic: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of several may not have heard of a topic that was made a moment ago; a single one knows all there are."""
    name = topic()
    behind: Iterator[dict[str, Topic]] = iter([{}])

    def look(*asked: Any, **options: Any) -> dict[str, Topic]:
        answer = next(behind, None)
        return find_topics(*asked, **options) if answer is None else answer

    monkeypatch.setattr("streams.kafka.topics.find_topics", look)
    monkeypatch.setattr("streams.kafka.topics.news_within_s", lambda _: 0.0 if brokers == 1 else 30.0)
    if brokers > 1:
        assert set(require_topics(admin, [name])) == {name}
    else:
        with pytest.raises(TopicError, match="does not exist"):
            require_topics(admin, [name])


def test_what_is_made_at_one_broker_is_required_of_another(cluster3: DevCluster) -> None:
    """Whichever broker makes it and whichever is asked, at once; what does not exist is still an error."""
    bootstraps = cluster3.bootstrap.split(",")
    with ExitStack() as stack:
        one, other, *_ = (stack.enter_context(Admin(Settings(bootstrap=bootstrap))) for bootstrap in bootstraps)
        assert news_within_s(other) > 0
        for turn in range(10):
            wanted = ClientTopic(unique("orders"), 3, 3)
            one.answer(partial(_making, one, wanted), "making a topic")
            assert set(require_topics(other, [wanted.topic], with_config=True)) == {wanted.topic}, f"turn {turn}"
        with pytest.raises(TopicError, match="does not exist"):
            require_topics(other, [unique("absent")])


@pytest.mark.chaos
def test_a_partition_whose_only_broker_is_dead_is_offline(cluster3: DevCluster) -> None:
    """The others of its topic are not; once the broker is back none is."""
    name = unique("orders")
    with Admin(Settings(bootstrap=cluster3.bootstrap), timeout_s=START_WITHIN_S) as admin:
        create_topics(admin, [NewTopic(name, 6, 1)])
        cluster3.brokers[0].kill()
        offline = eventually(partial(_offline, admin, name), within_s=150)
        cluster3.heal()
        eventually(lambda: _offline(admin, name) == (), within_s=150)

    assert offline is not None
    assert 0 < len(offline) < 6


def _offline(admin: Admin, name: str) -> tuple[int, ...] | None:
    """The partitions that nobody leads; None as long as a broker is asked that is dead."""
    try:
        return find_topics(admin, [name])[name].offline
    except BrokerError:
        return None


def test_a_single_broker_has_heard_of_all_there_is(admin: Admin) -> None:
    """So that its no is the last word."""
    assert news_within_s(admin) == 0


def test_a_broker_that_has_not_heard_of_a_topic_is_asked_again(
    admin: Admin, topic: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answers come from any broker of the cluster, and one may learn of a topic after another."""
    name = topic()
    behind: Iterator[dict[str, Topic] | TopicError] = iter(
        [{}, TopicError(name, "unknown to the one that was asked for its settings")]
    )

    def look(*asked: Any, **options: Any) -> dict[str, Topic]:
        answer = next(behind, None)
        if isinstance(answer, TopicError):
            raise answer
        return find_topics(*asked, **options) if answer is None else answer

    monkeypatch.setattr("streams.kafka.topics.find_topics", look)
    found = await_topics(admin, [name])

    assert found[name].config["cleanup.policy"] == "delete"
    assert next(behind, None) is None


def test_what_nobody_knows_in_time_is_not_found(admin: Admin, topic: Topics, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asked says what that means."""
    monkeypatch.setattr(admin, "timeout_s", 1.0)
    name = topic()

    assert set(await_topics(admin, [name, unique("absent")])) == {name}


def test_a_topic_made_anew_has_another_id(admin: Admin) -> None:
    """The id tells a topic from its successor of the same name."""
    first, second = unique("orders"), unique("orders")
    create_topics(admin, [NewTopic(first, 1), NewTopic(second, 1)])
    found = find_topics(admin, [first, second])

    assert found[first].topic_id != found[second].topic_id


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (NewTopic("a b", 1), "is invalid"),
        (NewTopic("too-many-copies", 1, 99), "99"),
        (NewTopic("odd-setting", 1, 1, {"no.such.setting": "1"}), r"no\.such\.setting"),
        (NewTopic("odd-value", 1, 1, {"retention.ms": "for ever"}), "for ever"),
    ],
)
def test_what_the_broker_refuses_is_said_in_its_words(admin: Admin, wanted: NewTopic, words: str) -> None:
    """A refusal names the topic and the reason."""
    with pytest.raises(TopicError, match=words) as caught:
        create_topics(admin, [wanted])

    assert caught.value.topic == wanted.name


def test_a_topic_is_made_once(admin: Admin, topic: Topics) -> None:
    """Making what exists fails, unless it may exist."""
    name = topic(partitions=2)
    with pytest.raises(TopicError, match="already exists"):
        create_topics(admin, [NewTopic(name, 2)])

    create_topics(admin, [NewTopic(name, 2)], may_exist=True)


def test_a_topic_is_widened_and_set(admin: Admin, topic: Topics) -> None:
    """Partitions are added, and settings change without touching the others."""
    name = topic(partitions=1, config={"retention.ms": "5000"})
    add_partitions(admin, name, 3)
    set_config(admin, name, {"max.message.bytes": "2000000"})

    assert find_topics(admin, [name])[name].partitions == 3
    config = topic_configs(admin, [name])[name]
    assert (config["max.message.bytes"], config["retention.ms"]) == ("2000000", "5000")


def test_partitions_are_not_taken_away(admin: Admin, topic: Topics) -> None:
    """The broker's refusal to shrink a topic is passed on."""
    with pytest.raises(TopicError, match="refuses"):
        add_partitions(admin, topic(partitions=3), 1)


def _making(admin: Admin, wanted: ClientTopic) -> Future[Any]:
    return admin.client.create_topics([wanted])[wanted.topic]
