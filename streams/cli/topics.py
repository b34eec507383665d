"""`streams topics`: make, list, describe and check topics, and those of the chain beside them."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar, get_args

import click

from streams.cli.connect import bootstrap_option, json_option, settings_for
from streams.cli.output import Failure, print_json, print_table
from streams.cli.provision import chains, mend, planned, provision
from streams.cli.scope import Scope
from streams.engine.policy import DEFAULT_POLICY, OrderPolicy
from streams.engine.topics import ChainTopic, all_faults, chain_names
from streams.errors import UsageError
from streams.kafka.admin import Admin
from streams.kafka.offsets import Watermarks, watermarks
from streams.kafka.shape import NewTopic, Topic
from streams.kafka.topics import find_topics, list_topics, require_topics
from streams.record import Partition

_SHOWN_SETTINGS: Final = (
    "cleanup.policy",
    "retention.ms",
    "retention.bytes",
    "max.message.bytes",
    "message.timestamp.type",
    "min.insync.replicas",
)


_Command = TypeVar("_Command", bound=Callable[..., Any])


def _chain_options(command: _Command) -> _Command:
    """Add what a chain has, where no app says it."""
    policy = click.option(
        "--policy",
        type=click.Choice(get_args(OrderPolicy)),
        help=f"What the group does with failures; it decides which topics it needs. Default: {DEFAULT_POLICY}.",
    )
    retry = click.option(
        "--retry",
        multiple=True,
        metavar="WAIT|none",
        help="A wait that needs a retry topic, such as 10m; repeatable. Default: those of RetryPolicy().",
    )
    return policy(retry(command))


@click.group()
def topics() -> None:
    """Make, list and check topics."""


@topics.command(epilog="Example:  streams topics create orders --group billing --policy park --retry 1m --retry 10m")
@click.argument("name", required=False)
@click.option("--partitions", type=click.IntRange(1, 100_000), help="Partitions of a topic that does not exist yet.")
@click.option("--group", "groups", multiple=True, help="Make the topics of this group's chain too; repeatable.")
@_chain_options
@click.option("--app", metavar="MODULE:APP", help="Make what this app needs: its sources, and its group's chains.")
@click.option("--replication", type=click.IntRange(1, 100), help="Copies of each record. Default: the cluster's own.")
@click.option("--config", "configs", multiple=True, metavar="KEY=VALUE", help="A setting of the topic; repeatable.")
@click.option(
    "--print", "only_print", is_flag=True, help="Change nothing; print the commands for the cluster's own tools."
)
@bootstrap_option
@json_option
def create(  # noqa: PLR0913  # one parameter an option
    name: str | None,
    *,
    partitions: int | None,
    groups: tuple[str, ...],
    policy: OrderPolicy | None,
    retry: tuple[str, ...],
    app: str | None,
    replication: int | None,
    configs: tuple[str, ...],
    only_print: bool,
    bootstrap: str | None,
    as_json: bool,
) -> None:
    """Make a topic, and the topics that groups keep beside it.

    What exists as wanted is left alone; what exists in another shape is an error.
    """
    scope = Scope.of(name, groups, app, policy, retry)
    shape = None if partitions is None else NewTopic("", partitions, replication or -1, _settings(configs))
    if shape is None and (replication or configs):
        raise UsageError("--replication and --config shape a new topic: give --partitions with them")
    with Admin(settings_for(bootstrap)) as admin:
        if only_print:
            _print_plan(planned(admin, scope, shape), admin.settings.bootstrap, as_json=as_json)
        else:
            _print_made(provision(admin, scope, shape), as_json=as_json)


@topics.command("list", epilog="Example:  streams topics list")
@bootstrap_option
@json_option
def list_(*, bootstrap: str | None, as_json: bool) -> None:
    """List topics; those of a group's chain stand below their source.

    Records are estimated from offsets: compaction and transactions make them too many.
    """
    with Admin(settings_for(bootstrap)) as admin:
        found = find_topics(admin, list_topics(admin))
        records = _records(admin, found.values())
    chain = chain_names(found)
    documents = [_listed(found[name], records[name], chain.get(name)) for name in _in_order(found, chain)]
    if as_json:
        print_json({"topics": documents})
        return
    rows = [
        (("  " if one["source"] else "") + one["name"], one["partitions"], one["replication"], one["records"])
        for one in documents
    ]
    print_table(("topic", "#partitions", "#replicas", "#records"), rows)


@topics.command(epilog="Example:  streams topics describe orders")
@click.argument("name")
@bootstrap_option
@json_option
def describe(name: str, *, bootstrap: str | None, as_json: bool) -> None:
    """Describe one topic: its partitions, offsets and settings."""
    with Admin(settings_for(bootstrap)) as admin:
        topic = require_topics(admin, [name], with_config=True)[name]
        marks = watermarks(admin, [place for place in topic.all_partitions if place.number not in topic.offline])
        chain = sorted(other for other, (source, _) in chain_names(list_topics(admin)).items() if source == name)
    if as_json:
        print_json(_described(topic, marks, chain))
        return
    click.echo(
        f"topic {topic.name}  id {topic.topic_id}  {topic.partitions} partition(s), {topic.replication} replica(s)"
    )
    for setting in _SHOWN_SETTINGS:
        click.echo(f"  {setting} = {topic.config.get(setting, '')}")
    if chain:
        click.echo(f"  chain: {', '.join(chain)}")
    rows = [_partition_row(place, marks.get(place)) for place in topic.all_partitions]
    print_table(("#partition", "#oldest", "#end", "#records", "state"), rows)


@topics.command(epilog="Example:  streams topics check orders --group billing")
@click.argument("name", metavar="TOPIC|MODULE:APP")
@click.option(
    "--group", "groups", multiple=True, help="The group whose chain is checked; repeatable. An app names its own."
)
@_chain_options
@click.option("--fix", is_flag=True, help="Make, widen and set what is wrong, where that is possible.")
@bootstrap_option
@json_option
def check(
    name: str,
    *,
    groups: tuple[str, ...],
    policy: OrderPolicy | None,
    retry: tuple[str, ...],
    fix: bool,
    bootstrap: str | None,
    as_json: bool,
) -> None:
    """Compare the topics of a group's chain with what they have to be.

    Ends with 1 where something is wrong, and names the command that mends it.
    Topics that an earlier policy left are looked at too.
    """
    scope = Scope.named(name, groups, policy, retry)
    if not scope.groups:
        raise UsageError("name the group whose chain is checked with --group, or give module:app")
    with Admin(settings_for(bootstrap)) as admin:
        wanted = chains(admin, scope)
        done = mend(admin, wanted) if fix else []
        faults = all_faults(find_topics(admin, [topic.name for topic in wanted], with_config=True), wanted)
    checked = [*scope.sources, *(topic.name for topic in wanted)]
    if as_json:
        old = [topic.name for topic in wanted if topic.is_old]
        print_json({"checked": checked, "old": old, "done": done, "faults": faults})
    else:
        _print_checked(checked, wanted, done, faults)
    if faults:
        raise Failure("\n".join(faults))


def _print_checked(
    checked: Sequence[str], wanted: Iterable[ChainTopic], done: Iterable[str], faults: Sequence[str]
) -> None:
    for line in done:
        click.echo(line)
    if not faults:
        click.echo(f"{len(checked)} topic(s), as they have to be: {', '.join(checked)}")
    for topic in wanted:
        if topic.is_old:
            click.echo(
                f"{topic.name}: '{topic.options}' does not name it. Left by an earlier policy, it is emptied"
                f" by the group and written no more; keep it while anything waits in it"
            )


def _settings(pairs: Iterable[str]) -> dict[str, str]:
    parsed = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not key or not equals:
            raise UsageError(f"--config {pair!r} is not of the form key=value, such as retention.ms=86400000")
        parsed[key] = value
    return parsed


def _print_made(made: Sequence[tuple[Topic, str]], *, as_json: bool) -> None:
    if as_json:
        print_json({"topics": [_outline(topic) | {"result": what} for topic, what in made]})
        return
    rows = [(topic.name, topic.partitions, topic.replication, what) for topic, what in made]
    print_table(("topic", "#partitions", "#replicas", "result"), rows)


def _print_plan(plan: Sequence[NewTopic], bootstrap: str, *, as_json: bool) -> None:
    if as_json:
        print_json({"topics": [_outline(topic) | {"config": dict(topic.config)} for topic in plan]})
        return
    for topic in plan:
        click.echo(_command(topic, bootstrap))


def _command(topic: NewTopic, bootstrap: str) -> str:
    parts = [
        f"kafka-topics.sh --bootstrap-server {bootstrap} --create --topic {topic.name} --partitions {topic.partitions}",
        *([f"--replication-factor {topic.replication}"] if topic.replication > 0 else []),
        *(f"--config {shlex.quote(f'{name}={value}')}" for name, value in topic.config.items()),
    ]
    return " ".join(parts)


def _outline(topic: Topic | NewTopic) -> dict[str, Any]:
    return {"name": topic.name, "partitions": topic.partitions, "replication": _replicas(topic.replication)}


def _replicas(replication: int) -> int | None:
    return replication if replication > 0 else None


def _in_order(found: Iterable[str], chain: Mapping[str, tuple[str, str]]) -> list[str]:
    """Put each topic of a chain behind its source."""
    return sorted(found, key=lambda name: (chain[name][0], 1, name) if name in chain else (name, 0, name))


def _records(admin: Admin, found: Collection[Topic]) -> dict[str, int | None]:
    """Estimate the records of each topic; None where a partition has no leader."""
    whole = [topic for topic in found if not topic.offline]
    marks = watermarks(admin, [place for topic in whole for place in topic.all_partitions])
    counts: dict[str, int | None] = {topic.name: None for topic in found}
    return counts | {topic.name: sum(marks[place].span for place in topic.all_partitions) for topic in whole}


def _listed(topic: Topic, records: int | None, chain: tuple[str, str] | None) -> dict[str, Any]:
    source, group = chain or (None, None)
    return _outline(topic) | {"records": records, "source": source, "group": group}


def _described(topic: Topic, marks: Mapping[Partition, Watermarks], chain: Sequence[str]) -> dict[str, Any]:
    return _outline(topic) | {
        "id": topic.topic_id,
        "config": dict(sorted(topic.config.items())),
        "chain": list(chain),
        "offsets": [
            {"partition": place.number, "low": mark.low, "high": mark.high, "records": mark.span}
            for place, mark in sorted(marks.items())
        ],
        "offline": list(topic.offline),
    }


def _partition_row(place: Partition, mark: Watermarks | None) -> tuple[object, ...]:
    if mark is None:
        return (place.number, None, None, None, "no leader: can't be read or written now")
    return (place.number, mark.low, mark.high, mark.span, "ok")
