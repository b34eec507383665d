"""A shadow group processes again what a live one has read, and the live one is not touched by it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from streams.config import Settings
from streams.engine.shadow import shadow_topic
from streams.errors import BrokerError, ConfigError, TopicError, UsageError
from streams.kafka.admin import Admin
from streams.kafka.groups import describe_group
from streams.kafka.offsets import Committed, commit_for_stopped, committed
from streams.kafka.shape import NewTopic
from streams.kafka.topics import create_topics, find_topics, list_topics
from streams.record import Partition
from streams.replay.discard import discard, remains
from streams.replay.outputs import Outputs
from streams.replay.shadow import Definition, Discarded, begin, define, look_up, note
from streams.service import prepare_topics
from streams.wording import time_of
from tests.brokers import Kafka, Topics
from tests.replay.stand import APP, Stand, ended, in_order, name_in, stopped, until
from tests.waiting import eventually

KEYS = ("a", "b", "c")


@pytest.fixture
def stand(admin: Admin, kafka: Kafka, topic: Topics, group: Callable[..., str], tmp_path: Path) -> Iterator[Stand]:
    """Three partitions of orders, and a live group that has read none of them yet."""
    stand = Stand(kafka, admin, topic("orders", partitions=3), topic("invoices", partitions=2), group(), tmp_path)
    yield stand
    stand.end()


def plain(count: int) -> list[tuple[str, dict[str, object]]]:
    """Orders of three keys, with which nothing is wrong."""
    return [(KEYS[number % 3], {}) for number in range(count)]


def topics_of(stand: Stand) -> set[str]:
    """The topics of the stand's group and of what it reads and writes: other tests have theirs on the same broker."""
    own = (stand.group, stand.orders, stand.invoices)
    return {one for one in list_topics(stand.admin) if any(name in one for name in own)}


@pytest.mark.slow
def test_a_shadow_does_it_all_again_in_the_order_of_keys(stand: Stand) -> None:
    """What fails waits in a chain of its own, what is dead gets a letter of its own, the rest of its key in order."""
    orders = plain(30)
    orders[3], orders[7], orders[8] = ("a", {"do": "fail"}), ("b", {"do": "dead"}), ("c", {"do": "fail"})
    stand.write(orders)
    stand.live()
    before, lines = stand.everything(stand.group), len(stand.journal)
    found, told = stand.shadow("--to-beginning")
    name = found["group"]

    assert name_in(told) == name
    assert name.startswith(f"{stand.group}.shadow-")
    assert (found["records"], found["settled"], found["dead_lettered"], found["is_done"]) == (30, 30, 1, True)
    assert sorted(line["n"] for line in stand.replayed(lines)) == [number for number in range(30) if number != 7]
    assert in_order(stand.replayed(lines))
    assert not any(line["replay"] for line in stand.journal[:lines])
    assert [one[2]["n"] for one in stand.values(f"{stand.orders}.{name}.dlq")] == [7]
    assert stand.everything(stand.group) == before


@pytest.mark.slow
def test_a_live_group_goes_on_beside_its_shadow(stand: Stand) -> None:
    """It keeps its member and its place, does what comes meanwhile, once, and is told of no replay."""
    stand.write(plain(12))
    live = stand.start("run", APP)
    eventually(lambda: len(stand.journal) == 12)
    members = [one.member_id for one in describe_group(stand.admin, stand.group).members]
    stand.write([("a", {"do": "wait"})])
    shadow = stand.start(*stand.line("--to-beginning", "--until", "end"))
    until(stand, 12)
    stand.write(plain(6))
    stand.open_gate()
    found, _ = ended(shadow)
    eventually(lambda: len(stand.journal) == 12 + 13 + 1 + 6)
    after = [one.member_id for one in describe_group(stand.admin, stand.group).members]
    report, _ = stopped(live)

    assert (found["records"], found["is_done"]) == (13, True)
    assert after == members
    assert len(stand.replayed()) == 13
    assert len([line for line in stand.journal if not line["replay"]]) == 19
    assert report == ""


@pytest.mark.slow
def test_what_a_shadow_sends_stands_beside_what_the_live_one_sent(stand: Stand) -> None:
    """In a topic with its prefix, shaped like that one, each record in the partition that it had there."""
    stand.write(plain(12))
    stand.live()
    sent = stand.values(stand.invoices)
    found, _ = stand.shadow("--to-beginning", "--prefix", "trial.")
    beside = f"trial.{stand.invoices}"

    assert found["prefix"] == "trial."
    assert sorted(stand.values(beside), key=str) == sorted(sent, key=str)
    assert find_topics(stand.admin, [beside])[beside].partitions == 2
    assert stand.values(stand.invoices) == sent


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (["--key", "a", "--key", "hex:63"], [0, 2, 3, 5, 6, 8]),
        (["--where", "tenant=seven"], [4, 7]),
        (["--where", "tenant=seven", "--key", "a"], []),
        (["--where", "price.cents=5", "--text", "SEVEN"], [7]),
    ],
)
def test_a_shadow_runs_only_what_its_filter_takes(stand: Stand, options: list[str], wanted: list[int]) -> None:
    """What is left out settles unrun, is counted, and nothing waits for it."""
    orders = plain(9)
    orders[4][1].update(tenant="seven")
    orders[7][1].update(tenant="seven", price={"cents": 5})
    stand.write(orders)
    stand.live()
    lines = len(stand.journal)
    found, _ = stand.shadow("--to-beginning", *options)

    assert sorted(line["n"] for line in stand.replayed(lines)) == wanted
    assert (found["settled"], found["is_done"]) == (9, True)
    assert (found["member"]["done"], found["member"]["left_out"]) == (len(wanted), 9 - len(wanted))


@pytest.mark.slow
def test_a_shadow_begins_and_ends_where_it_was_told(stand: Stand) -> None:
    """Records before a time, those from it on, those of one partition."""
    stand.write(plain(9))
    stand.live()
    between = int(time.time() * 1000) + 2
    eventually(lambda: time.time() * 1000 > between + 2)
    stand.write([("a", {}), ("b", {})])
    stand.live()
    moment, lines = time_of(between) or "", len(stand.journal)
    early, _ = stand.shadow("--to-time", "-1h", "--until", moment)
    first = stand.replayed(lines)
    late, _ = stand.shadow("--to-time", moment)
    second = stand.replayed(lines)[9:]
    only, _ = stand.shadow("--to-beginning", "--topic", stand.orders, "--partition", str(second[0]["place"][0]))
    third = stand.replayed(lines)[11:]

    assert (early["records"], sorted(line["n"] for line in first)) == (9, list(range(9)))
    assert (late["records"], sorted(line["n"] for line in second)) == (2, [0, 1])
    assert {line["place"][0] for line in third} == {second[0]["place"][0]}
    assert only["records"] == len(third) < 11


@pytest.mark.slow
def test_a_shadow_goes_on_after_it_was_killed(stand: Stand) -> None:
    """From its commits, in the order of keys, to the ends of when it was defined, with the filter of then."""
    orders = plain(30)
    orders[10] = ("b", {"do": "wait"})
    stand.write(orders)
    commit_for_stopped(stand.admin, stand.group, {Partition(stand.orders, 0): Committed(0)})
    name = f"{stand.group}-again"
    killed = stand.start(*stand.line("--to-beginning", "--as", name, "--key", "b", "--key", "c"))
    until(stand, 13)  # ten of c, and three of b before the one that waits
    place = [Partition(stand.orders, number) for number in range(3)]
    eventually(lambda: sum(one.offset for one in committed(stand.admin, name, place).values()) >= 20)
    killed.kill()
    killed.communicate()
    stand.write(plain(6))
    stand.open_gate()
    found, told = stand.shadow("--as", name)

    assert f"Shadow group {name}" in told
    assert (found["records"], found["is_done"]) == (30, True)
    assert sorted({line["n"] for line in stand.replayed()}) == [number for number in range(30) if number % 3]
    assert in_order(stand.replayed())
    assert len(stand.replayed()) <= 23  # those that had run and were not committed ran twice


@pytest.mark.slow
def test_a_shadow_that_is_stopped_goes_on_and_runs_nothing_twice(stand: Stand) -> None:
    """A stop is in order: what it says goes on with it, and it ends at the same place."""
    stand.write(plain(40))
    stand.live()
    lines = len(stand.journal)
    first = stand.start(*stand.line("--to-beginning", "--rate", "10"))
    until(stand, 5)
    partly, told = stopped(first)
    found, _ = stand.shadow("--as", name_in(told))

    assert 0 < partly["left"] < 40
    assert not partly["is_done"]
    assert found["is_done"]
    assert sorted(line["n"] for line in stand.replayed(lines)) == list(range(40))


@pytest.mark.slow
def test_a_rate_is_kept(stand: Stand) -> None:
    """Forty records at twenty a second take two seconds at least, less what the first one may take at once."""
    stand.write(plain(40))
    stand.live()
    started = stand.start(*stand.line("--to-beginning", "--rate", "20"))
    until(stand, 1)
    at = time.monotonic()
    until(stand, 40)
    took_s = time.monotonic() - at
    ended(started)

    assert took_s > 1.5


@pytest.mark.slow
def test_two_members_of_a_shadow_share_it(stand: Stand) -> None:
    """The same command with its name joins; both end when all of it is settled, and each record ran once."""
    stand.write(plain(120))
    stand.live()
    lines, name = len(stand.journal), f"{stand.group}-pair"
    first = stand.start(*stand.line("--to-beginning", "--as", name, "--rate", "10"))
    eventually(lambda: len(describe_group(stand.admin, name).members) == 1)
    second = stand.start(*stand.line("--as", name, "--rate", "10"))
    found = [ended(one)[0] for one in (first, second)]

    assert [one["is_done"] for one in found] == [True, True]
    assert sorted(line["n"] for line in stand.replayed(lines)) == list(range(120))
    assert in_order(stand.replayed(lines))
    assert sum(one["member"]["done"] for one in found) == 120
    assert all(one["member"]["done"] for one in found)


@pytest.mark.slow
def test_a_shadow_is_removed_with_what_it_made_and_nothing_else(stand: Stand) -> None:
    """Shown first; the live group, and a topic that only bears its prefix, stay as they were."""
    orders = plain(9)
    orders[1], orders[2] = ("b", {"do": "dead"}), ("c", {"do": "fail"})
    stand.write(orders)
    stand.live()
    found, _ = stand.shadow("--to-beginning")
    name, live = found["group"], stand.everything(stand.group)
    create_topics(stand.admin, [NewTopic(f"{name}.somebody-else", 1)])
    shown, _ = stand.run("replay", "discard", name, "--json")
    there = topics_of(stand)
    done, _ = stand.run("replay", "discard", name, "--yes", "--json")
    gone = there - topics_of(stand)

    assert (shown["applied"], done["applied"]) == (False, True)
    assert shown["stay"] == done["stay"] == [f"{name}.somebody-else"]
    assert gone == {*shown["topics"], shadow_topic(name)}
    assert {f"{stand.orders}.{name}.dlq", f"{stand.orders}.{name}.retry.1s", f"{name}.{stand.invoices}"} < gone
    assert describe_group(stand.admin, name).state == "absent"
    assert committed(stand.admin, name) == {}
    assert stand.everything(stand.group) == live


@pytest.mark.slow
def test_a_shadow_with_members_is_not_removed(stand: Stand) -> None:
    """They are named, nothing is changed, and they go on to the end."""
    stand.write([*plain(5), ("a", {"do": "wait"})])
    commit_for_stopped(stand.admin, stand.group, {Partition(stand.orders, 0): Committed(0)})
    running = stand.start(*stand.line("--to-beginning", "--as", f"{stand.group}-busy"))
    until(stand, 5)
    _, told = stand.run("replay", "discard", f"{stand.group}-busy", "--yes", code=1)
    stand.open_gate()
    found, _ = ended(running)

    assert "is running: 1 member(s)" in told
    assert "Stop them first" in told
    assert found["is_done"]


@pytest.mark.slow
def test_a_group_that_is_no_shadow_is_never_removed(stand: Stand) -> None:
    """By no name: the live group, one named like a shadow, one that is not there."""
    stand.write(plain(3))
    stand.live()
    alike = f"{stand.group}.shadow-0001"
    commit_for_stopped(stand.admin, alike, {Partition(stand.orders, 0): Committed(0)})
    before = stand.everything(stand.group)

    for name in (stand.group, alike, f"{stand.group}-absent"):
        _, told = stand.run("replay", "discard", name, "--yes", code=1)
        assert "is no shadow group" in told
    assert stand.everything(stand.group) == before
    assert committed(stand.admin, alike) != {}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "say where a new one begins"),
        (("--to-beginning", "--to-end"), "say where to, once"),
        (("--to-beginning", "--where", "tenant"), "is not of the form FIELD=VALUE"),
        (("--to-beginning", "--where", "a..b=1"), "is not of the form FIELD=VALUE"),
        (("--to-beginning", "--prefix", ""), "would send to the very topics"),
        (("--to-beginning", "--until", "tomorrow"), "is no time"),
        (("--to-beginning", "--until", "1990-01-01"), "there is nothing to process"),
        (("--to-end",), "there is nothing to process"),
        (("--to-beginning", "--key", "hex:zz"), "pairs of hexadecimal digits"),
        (("--to-beginning", "--rate", "0"), "--rate"),
        (("--to-beginning", "--as", "LIVE"), "the name is taken"),
        (("--to-beginning", "--as", "bad name"), "topics are named after it"),
        (("--to-beginning", "--prefix", "a/b"), "topics are named after it"),
    ],
)
def test_what_can_not_be_meant_is_said_and_makes_nothing(stand: Stand, options: list[str], words: str) -> None:
    """It ends with 2, and no topic and no group is there that was not there before."""
    stand.write(plain(3))
    stand.live()
    before = [name for name in list_topics(stand.admin) if stand.group in name]
    _, told = stand.shadow(*(stand.group if one == "LIVE" else one for one in options), code=2)

    assert words in told
    assert [name for name in list_topics(stand.admin) if stand.group in name] == before


@pytest.mark.slow
def test_a_shadow_is_what_it_was_defined_as(stand: Stand) -> None:
    """Another group, filter or prefix under its name is refused; so are members that are not run as a shadow's."""
    stand.write(plain(3))
    stand.live()
    name = f"{stand.group}-fixed"
    stand.shadow("--to-beginning", "--as", name, "--key", "a")

    for options in (["--key", "b"], ["--prefix", "other."], ["--text", "x"]):
        assert "it was defined with" in stand.shadow("--as", name, *options, code=2)[1]
    other = stand.run("replay", "shadow", "another", "--app", APP, "--as", name, code=2)
    assert f"that is a shadow of group '{stand.group}'" in other[1]
    assert "is a shadow group" in stand.run("run", APP, "--group", name, "--until-settled", code=2)[1]
    assert stand.shadow("--as", name, "--key", "a")[0]["is_done"]
    assert len(stand.replayed()) == 1


def definition(stand: Stand, name: str, **chosen: object) -> Definition:
    """A shadow that takes two records of partition 0."""
    known = {"group": name, "of": stand.group, "topics": {stand.orders: ((0, 1, 3),)}, "prefix": f"{name}."}
    return Definition(**(known | chosen))  # type: ignore[arg-type]


def test_the_first_definition_counts(stand: Stand) -> None:
    """Of two commands at the same moment both get the same shadow, which is put to its beginning once."""
    name = f"{stand.group}-first"
    first = define(stand.admin, definition(stand, name))
    note(stand.admin, name, definition(stand, name, prefix="second."))
    again = look_up(stand.admin, name)
    begin(stand.admin, first.definition)
    commit_for_stopped(stand.admin, name, {Partition(stand.orders, 0): Committed(2)})
    begin(stand.admin, first.definition)

    assert again == first
    assert {place: one.offset for place, one in committed(stand.admin, name).items()} == {Partition(stand.orders, 0): 2}


def test_a_name_that_anything_has_is_taken(stand: Stand) -> None:
    """Offsets, a topic of a chain, a topic of a group's own: what has the name later is the shadow's alone."""
    names = [f"{stand.group}-{number}" for number in range(3)]
    commit_for_stopped(stand.admin, names[0], {Partition(stand.orders, 0): Committed(0)})
    create_topics(
        stand.admin, [NewTopic(f"{stand.orders}.{names[1]}.dlq", 1), NewTopic(f"streams.{names[2]}.audit", 1)]
    )

    for name in names:
        with pytest.raises(UsageError, match=r"the name is taken|there is such a group"):
            define(stand.admin, definition(stand, name))
        assert look_up(stand.admin, name) is None


def test_a_shadow_that_is_being_removed_starts_nothing_and_can_be_removed(stand: Stand) -> None:
    """As after a removal that broke off; a topic of its that was made anew by somebody else stays."""
    name = f"{stand.group}-half"
    define(stand.admin, definition(stand, name))
    outputs = Outputs(stand.admin.settings, definition(stand, name))
    assert outputs(stand.invoices) == outputs(stand.invoices) == f"{name}.{stand.invoices}"
    outputs("not-there")
    stand.kafka.admin.delete_topics([f"{name}.not-there"])[f"{name}.not-there"].result(30)
    eventually(lambda: f"{name}.not-there" not in list_topics(stand.admin))
    create_topics(stand.admin, [NewTopic(f"{name}.not-there", 1)])
    note(stand.admin, name, Discarded())
    found = look_up(stand.admin, name)
    discard(stand.admin, remains(stand.admin, name))

    assert found is not None
    assert found.is_discarded
    assert look_up(stand.admin, name) is None
    assert [one for one in list_topics(stand.admin) if name in one] == [f"{name}.not-there"]
    with pytest.raises(BrokerError, match="is no shadow group"):
        remains(stand.admin, name)


def test_a_topic_that_can_not_be_sent_to_is_told_at_the_start(stand: Stand) -> None:
    """All of those that were named and can't be made are told together."""
    name = f"{stand.group}-long"
    outputs = Outputs(stand.admin.settings, definition(stand, name, prefix="p" * 240))
    with pytest.raises(TopicError) as caught:
        outputs.prepare([stand.invoices, stand.orders])

    assert [stand.invoices in str(caught.value), stand.orders in str(caught.value)] == [True, True]


def test_members_of_a_shadow_are_run_as_such(stand: Stand) -> None:
    """The start of any other member of its group is refused: it would send where the live one sends."""
    name = f"{stand.group}-only"
    define(stand.admin, definition(stand, name))
    with pytest.raises(ConfigError, match="is a shadow group"):
        prepare_topics(Settings(bootstrap=stand.kafka.bootstrap, group=name), {})
    assert prepare_topics(Settings(bootstrap=stand.kafka.bootstrap, group=name), {}, is_shadow=True) == {}
