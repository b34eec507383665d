"""A user's mistake ends `streams run` with words that say what to do, and with the right exit code."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka.cimpl import NewTopic

from streams.dev.ports import HOST, free_ports
from streams.engine.chain import dlq_topic
from tests.brokers import Topics, require_native, unique
from tests.cli.shell import Shell
from tests.kafka.oddity import OddBroker, odd_broker
from tests.path.members import Bench

HANDLER = """
@app.on({topic!r}{options})
def handle{number}(value: bytes) -> None: ...
"""

Write = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write an app's module into the working directory: `write(*topics, group=..., body=...)` gives ``module:app``."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))

    def module(*topics: str, group: str = "billing", options: str = "", body: str = "") -> str:
        name = unique("module").replace("-", "_")
        handlers = [HANDLER.format(topic=topic, number=n, options=options) for n, topic in enumerate(topics)]
        (tmp_path / f"{name}.py").write_text(
            f"from streams import App\napp = App({group!r})\n{body}\n" + "".join(handlers)
        )
        return f"{name}:app"

    return module


@pytest.fixture
def streams(bench: Bench) -> Shell:
    """The `streams` command, with the broker that all tests share."""
    return Shell(bench.bootstrap)


def test_unknown_topic(streams: Shell, write: Write) -> None:
    """The topic is named, and the command that makes it."""
    missing = unique("nowhere")
    said = streams("run", write(missing), code=1).err

    assert missing in said
    assert f"streams topics create {missing}" in said


def test_no_broker(write: Write) -> None:
    """Who was asked is named."""
    nobody = f"{HOST}:{free_ports(1)[0]}"
    said = Shell(nobody)("run", write("orders"), code=1).err

    assert nobody in said


def test_wrong_partition_count_of_the_dead_letter_topic(
    streams: Shell, write: Write, bench: Bench, topic: Topics, group: Callable[..., str]
) -> None:
    """Both counts are told, and the command that mends it."""
    orders, billing = topic(partitions=3), group()
    dead = dlq_topic(orders, billing)
    bench.kafka.admin.create_topics([NewTopic(dead, 2, 1)])[dead].result(30)
    said = streams("run", write(orders, group=billing), code=1).err

    assert f"{dead} has 2 partition(s), its source {orders} has 3" in said
    assert "streams topics check" in said


def test_two_handlers_of_one_topic(streams: Shell, write: Write) -> None:
    """Both are named."""
    said = streams("run", write("orders", "orders"), code=2).err

    assert "topic 'orders' has two handlers" in said
    assert "handle0 and handle1" in said


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("nowhere:app", "there is no module 'nowhere'"),
        ("nowhere", "not of the form module:app"),
        ("json:app", "has no App named 'app'"),
    ],
)
def test_module_that_is_no_app(path: str, words: str, streams: Shell) -> None:
    """What was looked for, and what is wrong with it."""
    assert words in streams("run", path, code=2).err


def test_module_that_fails_when_it_is_imported(streams: Shell, write: Write) -> None:
    """The error of the module is told."""
    said = streams("run", write("orders", body="raise KeyError('DATABASE_URL')"), code=2).err

    assert "KeyError: 'DATABASE_URL'" in said


def test_app_without_handlers(streams: Shell, write: Write) -> None:
    """How to declare one is told."""
    assert "the app has no handlers" in streams("run", write(), code=2).err


def test_wrong_settings_are_all_listed(streams: Shell, write: Write) -> None:
    """Not only the first one."""
    environment = {"STREAMS_BATCH_RECORDS": "0", "STREAMS_START_AT": "middle", "STREAMS_DRAIN_S": "-1"}
    said = streams("run", write("orders"), code=2, **environment).err

    assert [name in said for name in ("batch_records", "start_at", "drain_s")] == [True] * 3


def test_setting_that_is_no_number(streams: Shell, write: Write) -> None:
    """It is named as it was written."""
    assert "STREAMS_DRAIN_S: 'soon'" in streams("run", write("orders"), code=2, STREAMS_DRAIN_S="soon").err


def test_client_setting_that_the_promise_rests_on(streams: Shell, write: Write, topic: Topics) -> None:
    """Nobody may set it."""
    said = streams("run", write(topic()), code=2, STREAMS_KAFKA_ENABLE_AUTO_COMMIT="true").err

    assert "enable.auto.commit" in said


def test_client_setting_that_there_is_not(streams: Shell, write: Write, topic: Topics) -> None:
    """The client's own word is told."""
    said = streams("run", write(topic()), code=1, STREAMS_KAFKA_NO_SUCH_THING="1").err

    assert "no.such.thing" in said


def test_options_that_contradict_each_other(streams: Shell, write: Write) -> None:
    """Before anything is started."""
    assert "--once" in streams("run", write("orders"), *("--once", "--max-records", "3"), code=2).err


def test_handler_that_contradicts_itself(streams: Shell, write: Write) -> None:
    """All contradictions are listed."""
    said = streams("run", write("orders", options=", run='async', batch=0"), code=2).err

    assert "run='async' needs an async def" in said
    assert "batch=0" in said


def test_lifespan_that_fails(streams: Shell, write: Write, topic: Topics) -> None:
    """Its error is told; nothing is joined."""
    body = "@app.lifespan\nasync def open_all(state):\n    raise ConnectionError('no database at db:5432')\n"
    said = streams("run", write(topic(), body=body), code=1).err

    assert "no database at db:5432" in said
    assert "lifespan" in said


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OddBroker]:
    """A broker that asks who comes."""
    require_native()
    with odd_broker(tmp_path_factory.mktemp("odd")) as broker:
        yield broker


@pytest.mark.chaos  # a broker of its own takes a while
def test_wrong_credentials(odd: OddBroker, write: Write) -> None:
    """The broker's refusal is told, the password is not."""
    environment = {
        "STREAMS_KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        "STREAMS_KAFKA_SASL_MECHANISM": "PLAIN",
        "STREAMS_KAFKA_SASL_USERNAME": "alice",
        "STREAMS_KAFKA_SASL_PASSWORD": "guessed-wrong",
    }
    said = Shell(odd.guarded)("run", write("orders"), code=1, **environment).err

    assert "refuses the credentials" in said
    assert "guessed-wrong" not in said
