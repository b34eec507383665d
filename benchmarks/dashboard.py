"""What the dashboard takes with many groups: milliseconds a page, and the share of a core at rest.

    python -m benchmarks.dashboard

makes groups with partitions and dead letters on a broker of its own, starts `streams monitor`, and asks for each page
again and again while one page listens; then nobody asks, and the process's CPU seconds are counted, first with nothing
new in the topics, then while records come in, so that no look can take anything for unchanged.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import httpx
from confluent_kafka import Producer

from streams.config import Settings
from streams.dev import DevCluster, this_process
from streams.dev.ports import free_ports
from streams.engine.chain import Attempt, copy_headers, describe_error, dlq_topic, new_header
from streams.engine.snapshot import Snapshot, encode
from streams.kafka.admin import Admin
from streams.kafka.offsets import Committed, commit_for_stopped
from streams.kafka.shape import NewTopic
from streams.kafka.topics import create_topics, find_topics
from streams.record import Origin, Partition

_OWNER: Final = b"measured"
_RECORDS: Final = 20
"""Of each source partition; three quarters of them are done."""
_KINDS: Final = ("TimeoutError: no answer within 5 s", "ValueError: no total", "KeyError: 'currency'")
_ROUNDS: Final = 30
_AWAY_S: Final = 40.0
"""After the last page was asked for, nobody counts as watching any more."""


def main() -> int:
    """Make, measure, print."""
    parser = argparse.ArgumentParser("python -m benchmarks.dashboard", description=__doc__)
    parser.add_argument("--groups", type=int, default=50)
    parser.add_argument("--partitions", type=int, default=2_000, help="of all sources together")
    parser.add_argument("--letters", type=int, default=100_000, help="of all groups together")
    parser.add_argument("--rest", type=float, default=120.0, metavar="SECONDS", help="how long each rest is measured")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="streams-dashboard-") as folder:
        cluster = DevCluster.start(Path(folder) / "kafka", brokers=1, lives_with=this_process())
        try:
            began = time.monotonic()
            names = make(cluster.bootstrap, asked.groups, asked.partitions // asked.groups, asked.letters)
            say(f"made in {time.monotonic() - began:.0f} s")
            print(json.dumps(measure(cluster.bootstrap, names, asked.letters, asked.rest), indent=2))
        finally:
            cluster.down()
    return 0


def make(bootstrap: str, groups: int, partitions: int, letters: int) -> list[str]:
    """Make groups that have stopped, each with a source, its dead letters, and commits that say so."""
    names = [f"group-{number:02}" for number in range(groups)]
    with Admin(Settings(bootstrap=bootstrap), timeout_s=60.0) as admin:
        for name in names:
            create_topics(admin, [NewTopic(topic, partitions) for topic in (source_of(name), dead_of(name))])
        topics = find_topics(admin, [source_of(name) for name in names])
        producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 50})
        for name in names:
            for number in range(partitions):
                for _ in range(_RECORDS):
                    producer.produce(source_of(name), b"{}", b"k", partition=number)
            producer.poll(0)
        for at in range(letters):
            name = names[at % groups]
            bury(producer, name, topics[source_of(name)].topic_id, at // groups % partitions, at)
        producer.flush(120)
        for name in names:
            done = {Partition(source_of(name), number): Committed(_RECORDS * 3 // 4) for number in range(partitions)}
            ledger = Committed(0, encode(Snapshot(_OWNER, scan_end=0)))
            commit_for_stopped(
                admin, name, {**done, **{Partition(dead_of(name), number): ledger for number in range(partitions)}}
            )
    return names


def source_of(name: str) -> str:
    """Name the topic that group *name* reads."""
    return f"orders-{name}"


def dead_of(name: str) -> str:
    """Name its dead letters' topic."""
    return dlq_topic(source_of(name), name)


def bury(producer: Producer, name: str, topic_id: str, partition: int, at: int) -> None:
    """Write one dead letter as a member would."""
    now_ms = int(time.time() * 1000) - at
    header = new_header(
        Origin(source_of(name), partition, at, now_ms),
        topic_id=topic_id,
        group=name,
        assignment_id=_OWNER,
        attempts=3,
        history=(Attempt(now_ms, "ValueError"),),
    )
    kind, _, message = _KINDS[at % len(_KINDS)].partition(": ")
    error = type(kind, (Exception,), {})(f"{message}, order {at % 500}")
    why = describe_error(error, reason="attempt 3 of 3 failed", handler="charge", time_ms=now_ms)
    value = json.dumps({"order_id": f"o-{at}", "card": f"4111{at:012}", "total_cents": at}).encode()
    headers: Any = copy_headers(None, header, why)
    while True:
        with suppress(BufferError):
            producer.produce(dead_of(name), value, f"o-{at % 5_000}", partition=partition, headers=headers)
            break
        producer.poll(0.2)
    producer.poll(0)


def measure(bootstrap: str, names: list[str], letters: int, rest_s: float) -> dict[str, Any]:
    """Start the dashboard, and give what it takes."""
    with dashboard(bootstrap) as (url, pid), httpx.Client(base_url=url, timeout=30) as client:
        began = time.monotonic()
        await_letters(client, letters)
        say(f"all letters are listed {time.monotonic() - began:.1f} s after the start")
        listed_s = time.monotonic() - began
        with watching(url):
            pages = {path: times(client, path) for path in paths(client, names[0])}
        for path, (half, worst) in pages.items():
            say(f"{half:7.1f} ms half of the time, {worst:7.1f} at most  {path}")
        time.sleep(_AWAY_S)
        quiet = share(pid, rest_s)
        with arriving(bootstrap, names):
            time.sleep(_AWAY_S)
            busy = share(pid, rest_s)
        memory_mb = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") // 2**20
    say(f"at rest {quiet:.2f} % of a core, {busy:.2f} % while records come in; {memory_mb} MB")
    return {
        "listed_s": round(listed_s, 1),
        "pages_ms": {path: {"p50": round(half, 1), "max": round(worst, 1)} for path, (half, worst) in pages.items()},
        "rest_percent": round(quiet, 2),
        "rest_percent_while_records_come": round(busy, 2),
        "memory_mb": memory_mb,
    }


def paths(client: httpx.Client, name: str) -> list[str]:
    """Give the pages that are asked for."""
    listed = client.get(f"/groups/{name}/letters").text
    letter = listed.split('data-href="', 1)[1].split('"', 1)[0]
    record = letter.replace("/letters/", "/records/")
    return [
        "/",
        f"/groups/{name}",
        "/letters",
        "/letters?error=currency&page=3",
        f"/groups/{name}/letters",
        f"/groups/{name}/letters?error=order+7",
        letter,
        f"/groups/{name}/letters/act?verb=retry",
        f"/groups/{name}/keys",
        record,
        "/search?q=o-77",
        "/topics",
        "/audit",
        f"/groups/{name}/replay?to=time&value=-1h",
    ]


def times(client: httpx.Client, path: str) -> tuple[float, float]:
    """Ask for a page again and again; give the median and the longest time, in milliseconds."""
    taken = []
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        answer = client.get(path, headers={"Accept": "text/html"})
        taken.append((time.perf_counter() - began) * 1000)
        answer.raise_for_status()
    return statistics.median(taken), max(taken)


def await_letters(client: httpx.Client, letters: int) -> None:
    """Wait until the list holds them all."""
    while True:
        with suppress(httpx.TransportError):
            text = client.get("/letters").text
            if f">{letters:,}</strong>" in text and "being read" not in text:
                return
        time.sleep(0.5)


def share(pid: int, seconds: float) -> float:
    """Give the CPU time that process *pid* takes in *seconds*, in percent of one core."""
    before, began = cpu_s(pid), time.monotonic()
    time.sleep(seconds)
    return 100 * (cpu_s(pid) - before) / (time.monotonic() - began)


def cpu_s(pid: int) -> float:
    """Give the CPU seconds of a process, its threads included."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def dashboard(bootstrap: str) -> Iterator[tuple[str, int]]:
    """Run `streams monitor`."""
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "streams", "monitor", "--port", str(port), "--bootstrap", bootstrap]
    process = subprocess.Popen(command)
    try:
        yield f"http://127.0.0.1:{port}", process.pid
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def watching(url: str) -> Iterator[None]:
    """Listen as an open page does."""
    is_over = threading.Event()

    def listen() -> None:
        with httpx.stream("GET", f"{url}/events", timeout=60) as answer:
            for _ in answer.iter_lines():
                if is_over.is_set():
                    return

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    yield
    is_over.set()
    thread.join(60)


@contextmanager
def arriving(bootstrap: str, names: list[str]) -> Iterator[None]:
    """Write a record into each source every second."""
    is_over = threading.Event()
    producer = Producer({"bootstrap.servers": bootstrap})

    def write() -> None:
        while not is_over.wait(1.0):
            for name in names:
                producer.produce(source_of(name), b"{}", b"k")
            producer.flush(10)

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    yield
    is_over.set()
    thread.join(30)


def say(text: str) -> None:
    """Tell whoever waits."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
