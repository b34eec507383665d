"""`streams dev`: a real Kafka on this machine, for development."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape

from streams.dev import KAFKA_VERSION, DevCluster, default_folder

_data = click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    help="The folder of its records and logs; by default one of your own, below XDG_STATE_HOME.",
)
_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")


@click.group()
def dev() -> None:
    """A real Kafka on this machine: no Docker, no installed Java."""


@dev.command()
@click.option("--brokers", type=click.Choice(["1", "3"]), help="How many; three replicate everything. Default: 1.")
@click.option("--fresh", is_flag=True, help="Throw away the records that the folder holds, first.")
@_data
@_as_json
def up(brokers: str | None, *, fresh: bool, data: Path | None, as_json: bool) -> None:
    """Start it, or find the one that runs."""
    if fresh:
        DevCluster(data).throw_away()
    was_whole = DevCluster(data).is_whole
    with _progress() as say:
        cluster = DevCluster.start(data, brokers=int(brokers) if brokers else None, say=say)
    if as_json:
        click.echo(json.dumps(_described(cluster) | {"started": not was_whole}))
    else:
        click.echo(_welcome(cluster, was_whole=was_whole))


@dev.command()
@_data
@_as_json
def down(data: Path | None, *, as_json: bool) -> None:
    """End it; its records stay for the next `up`."""
    cluster = DevCluster(data)
    ended = cluster.down()
    if as_json:
        click.echo(json.dumps({"data": str(cluster.folder.path), "ended": ended}))
    elif ended:
        click.echo(f"Ended {_count(ended)}. The records stay in {cluster.folder.path}.")
    else:
        click.echo(f"Nothing runs in {cluster.folder.path}.")


@dev.command()
@_data
@_as_json
def status(data: Path | None, *, as_json: bool) -> None:
    """Say whether it runs, and where."""
    cluster = DevCluster(data)
    if as_json:
        click.echo(json.dumps(_described(cluster)))
        return
    if not cluster.is_running:
        click.echo(f"Nothing runs in {cluster.folder.path}. Start it: streams dev up")
        return
    click.echo(f"Apache Kafka {KAFKA_VERSION} at {cluster.bootstrap}, data in {cluster.folder.path}")
    for broker in cluster.brokers:
        state = f"runs, pid {broker.pid}" if broker.is_running else "does not run: `streams dev up` brings it back"
        click.echo(f"  broker {broker.node}  {broker.address}  {state}")


def _described(cluster: DevCluster) -> dict[str, Any]:
    """What machines are told of *cluster*."""
    return {
        "kafka": KAFKA_VERSION,
        "data": str(cluster.folder.path),
        "running": cluster.is_running,
        "bootstrap": cluster.bootstrap or None,
        "brokers": [{"node": one.node, "address": one.address, "pid": one.pid} for one in cluster.brokers],
    }


def _welcome(cluster: DevCluster, *, was_whole: bool) -> str:
    what = "runs already" if was_whole else "is up"
    lines = [
        f"Apache Kafka {KAFKA_VERSION} {what}: {_count(len(cluster.brokers))}, data in {cluster.folder.path}",
        f"  export STREAMS_BOOTSTRAP={cluster.bootstrap}",
    ]
    if cluster.folder.path == default_folder().absolute():
        lines.append("The other `streams` commands find it without that. End it: streams dev down")
    else:
        lines.append(f"End it: streams dev down --data {shlex.quote(str(cluster.folder.path))}")
    return "\n".join(lines)


def _count(brokers: int) -> str:
    return "1 broker" if brokers == 1 else f"{brokers} brokers"


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """Show what takes time on stderr: one line that changes for a person, a line a step for a log."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda step: click.echo(f"{step} ...", err=True)
        return
    with console.status("looking") as line:
        yield lambda step: line.update(escape(step))
