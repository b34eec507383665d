"""Settings: every fault at once, the environment's names, and secrets that never show."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.config import FIXED_CLIENT_SETTINGS, OnExpired, OnKeyFull, Protocol, Settings, StartAt
from streams.errors import ConfigError

SOUND: dict[str, Any] = {"bootstrap": "localhost:9092", "group": "billing"}


def faults(**values: Any) -> tuple[str, ...]:
    """What is wrong with *values*, beside a sound rest."""
    try:
        Settings(**{**SOUND, **values}).checked()
    except ConfigError as error:
        return error.faults
    return ()


def test_the_defaults_are_sound() -> None:
    """With an address and a group nothing else has to be said."""
    settings = Settings(**SOUND)

    assert settings.checked() is settings


@pytest.mark.parametrize(("seconds", "count"), [(0, 0), (599, 1), (600, 0), (-1, 1)])
def test_a_retention_leaves_time_to_move_what_waits(seconds: float, count: int) -> None:
    """None, or ten minutes at least."""
    assert len(faults(chain_retention_s=seconds)) == count


def test_all_faults_are_listed_at_once() -> None:
    """Whoever corrects settings sees every fault in one go, each with its setting's name."""
    found = faults(
        bootstrap="",
        group="bad group",
        protocol="quick",
        start_at="yesterday",
        batch_records=0,
        session_timeout_s=-1,
        metrics_port=70_000,
        kafka={"enable.auto.commit": "true", "acks": "0"},
    )

    assert [fault.partition(":")[0] for fault in found] == [
        "bootstrap",
        "group",
        "protocol",
        "start_at",
        "session_timeout_s",
        "batch_records",
        "metrics_port",
        "kafka",
        "kafka",
    ]


@pytest.mark.parametrize(
    "address", ["localhost:9092", "10.0.0.1:1", "[::1]:9092", "a:1,b:2", "a:1, b:2", "host-1.x.y:65535"]
)
def test_addresses_that_are_taken(address: str) -> None:
    """A host and a port, several with commas; IPv6 in brackets."""
    assert faults(bootstrap=address) == ()


@pytest.mark.parametrize(
    "address", ["localhost", "a:", ":9092", "a:b", "http://a:1", "a:1;b:2", "a:0", "a:65536", ",", " "]
)
def test_addresses_that_are_not(address: str) -> None:
    """What is no host and port is named as it was written."""
    found = faults(bootstrap=address)

    assert found
    assert all(fault.startswith("bootstrap: ") for fault in found)


@pytest.mark.parametrize("group", ["", "a b", "a/b", "ü", "a" * 121, "a\n"])
def test_groups_that_topics_can_not_be_named_after(group: str) -> None:
    """A group's name becomes part of topic names."""
    assert [fault.partition(":")[0] for fault in faults(group=group)] == ["group"]


NUMBERS = {
    spec.name: str(spec.type)
    for spec in fields(Settings)
    if str(spec.type) in ("int", "float") or spec.name == "metrics_port"
}


@pytest.mark.parametrize("name", sorted(NUMBERS))
@pytest.mark.parametrize("value", [-1, 10**12, float("nan"), float("inf"), "many", None, True, [1]], ids=str)
def test_numbers_out_of_range_are_faults(name: str, value: object) -> None:
    """Each number has a range, and what is no number is told so; nothing of it is a traceback."""
    found = faults(**{name: value})

    if name == "metrics_port" and value is None:
        assert found == ()
    else:
        assert any(fault.startswith(f"{name}: ") for fault in found)


@pytest.mark.parametrize("name", sorted(name for name, kind in NUMBERS.items() if kind == "int"))
def test_counts_are_whole(name: str) -> None:
    """Half a record is no bound."""
    assert any(fault.startswith(f"{name}: ") for fault in faults(**{name: 1500.5}))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("bootstrap", None),
        ("bootstrap", ["a:1"]),
        ("group", None),
        ("group", b"billing"),
        ("kafka", None),
        ("kafka", "x"),
        ("kafka", {1: "x"}),
        ("instance_id", 7),
        ("metrics_host", None),
        ("protocol", None),
        ("start_at", True),
    ],
    ids=str,
)
def test_values_of_the_wrong_kind_are_faults(name: str, value: object) -> None:
    """A value of the wrong kind is told in words too."""
    assert [fault.partition(":")[0] for fault in faults(**{name: value})] == [name]


def test_a_batch_fits_what_may_be_in_flight() -> None:
    """A bound below one batch could never be met."""
    (fault,) = faults(batch_records=500, max_in_flight=100)

    assert "batch_records" in fault
    assert "max_in_flight" in fault


def test_a_key_is_given_up_before_its_partition_is_full() -> None:
    """A bound that is never reached could not have its effect."""
    bounds = {"key_records": 200, "chain_records": 100}
    (fault,) = faults(**bounds, on_key_full="dead_letter")

    assert fault.startswith("key_records: ")
    assert faults(**bounds) == ()


@pytest.mark.parametrize("name", sorted(FIXED_CLIENT_SETTINGS))
def test_what_the_promise_rests_on_can_not_be_set(name: str) -> None:
    """Client settings that would break order or delivery are refused by name."""
    (fault,) = faults(kafka={name: "x"})

    assert name in fault


@pytest.mark.parametrize(
    ("name", "choices"),
    [("protocol", Protocol), ("start_at", StartAt), ("on_expired", OnExpired), ("on_key_full", OnKeyFull)],
)
def test_choices_are_listed(name: str, choices: Any) -> None:
    """A wrong word is answered with the right ones, and each of those is taken."""
    (fault,) = faults(**{name: "other"})

    assert all(choice in fault for choice in get_args(choices))
    assert all(faults(**{name: choice}) == () for choice in get_args(choices))


# -- the environment ----------------------------------------------------------------------------------


def test_each_setting_has_its_name_in_the_environment() -> None:
    """``STREAMS_<NAME>`` sets a field, in the field's own kind."""
    settings = Settings().from_environment(
        {
            "STREAMS_BOOTSTRAP": "kafka:9092",
            "STREAMS_GROUP": "billing",
            "STREAMS_BATCH_RECORDS": "100",
            "STREAMS_COMMIT_EVERY_S": "2.5",
            "STREAMS_METRICS_PORT": "0",
            "STREAMS_START_AT": "latest",
            "STREAMS_INSTANCE_ID": "billing-0",
            "PATH": "/bin",
        }
    )

    assert (settings.bootstrap, settings.group, settings.start_at) == ("kafka:9092", "billing", "latest")
    assert (settings.batch_records, settings.commit_every_s, settings.metrics_port) == (100, 2.5, 0)
    assert settings.instance_id == "billing-0"


def test_client_settings_come_from_the_environment_too() -> None:
    """``STREAMS_KAFKA_SASL_PASSWORD`` is the client's ``sasl.password``, and counts before the app's own."""
    settings = Settings(kafka={"sasl.username": "app", "client.rack": "a"}).from_environment(
        {"STREAMS_KAFKA_SASL_PASSWORD": "s3cret", "STREAMS_KAFKA_SASL_USERNAME": "env", "STREAMS_KAFKA": "x"}
    )

    assert settings.kafka == {"sasl.username": "env", "sasl.password": "s3cret", "client.rack": "a"}


def test_what_the_environment_does_not_say_stays() -> None:
    """An empty environment changes nothing."""
    settings = Settings(batch_records=7, kafka={"a": "b"})

    assert settings.from_environment({}) == settings


def test_all_bad_numbers_of_the_environment_are_listed() -> None:
    """Each names its variable and what stood there."""
    with pytest.raises(ConfigError) as caught:
        Settings().from_environment(
            {
                "STREAMS_BATCH_RECORDS": "many",
                "STREAMS_DRAIN_S": "",
                "STREAMS_MAX_IN_FLIGHT": "1.5",
                "STREAMS_METRICS_PORT": "x",
            }
        )

    assert sorted(fault.partition(":")[0] for fault in caught.value.faults) == [
        "STREAMS_BATCH_RECORDS",
        "STREAMS_DRAIN_S",
        "STREAMS_MAX_IN_FLIGHT",
        "STREAMS_METRICS_PORT",
    ]
    assert "'many'" in str(caught.value)


def test_given_values_replace_others() -> None:
    """What the command line gives counts; what it leaves out does not."""
    settings = Settings(group="app", batch_records=7).over(group="cli", batch_records=None)

    assert (settings.group, settings.batch_records) == ("cli", 7)


# -- secrets ------------------------------------------------------------------------------------------

SECRETS = [
    "sasl.password",
    "ssl.key.password",
    "ssl.keystore.password",
    "ssl.key.pem",
    "sasl.oauthbearer.client.secret",
    "sasl.oauthbearer.config",
    "sasl.oauthbearer.assertion.private.key.pem",
    "sasl.oauthbearer.assertion.private.key.passphrase",
    "sasl.jaas.config",
    "Sasl.Password",
]


@pytest.mark.parametrize("name", SECRETS)
def test_secrets_are_masked_wherever_settings_show(name: str) -> None:
    """No way of showing settings gives a secret away; their names stay."""
    settings = Settings(**SOUND, kafka={name: "s3cret", "client.rack": "a"})

    assert settings.public()["kafka"] == {name: "***", "client.rack": "a"}
    for shown in (repr(settings), str(settings), f"{settings}", str(settings.public()), repr([settings])):
        assert "s3cret" not in shown
        assert name in shown


@pytest.mark.parametrize(
    "name", ["sasl.username", "ssl.ca.location", "ssl.key.location", "client.id", "security.protocol"]
)
def test_what_is_no_secret_is_shown(name: str) -> None:
    """Settings that one needs to see are seen."""
    assert Settings(kafka={name: "shown"}).public()["kafka"] == {name: "shown"}


def test_every_setting_is_shown() -> None:
    """People and machines see all fields."""
    assert set(Settings().public()) == {spec.name for spec in fields(Settings)}


@given(values=st.dictionaries(st.sampled_from(sorted(NUMBERS)), st.integers() | st.floats() | st.text() | st.none()))
def test_checking_never_raises_anything_else(values: dict[str, Any]) -> None:
    """Whatever stands in settings, the answer is the settings or a list of faults."""
    assert all(":" in fault for fault in faults(**values))


@pytest.mark.parametrize("given", [None, 5, "sasl.password=hunter2", [("sasl.password", "hunter2")]])
def test_client_settings_that_are_no_mapping_are_a_fault_like_any_other(given: Any) -> None:
    """They are told with the rest, after the environment was read too, and what they hold is never shown."""
    settings = Settings(bootstrap="nowhere", group="billing", kafka=given)
    over = settings.from_environment({"STREAMS_KAFKA_SASL_PASSWORD": "hunter2"})
    with pytest.raises(ConfigError) as caught:
        over.checked()

    assert [fault.partition(":")[0] for fault in caught.value.faults] == ["kafka", "bootstrap"]
    assert "hunter2" not in str(caught.value) + repr(settings) + repr(over)


def test_a_name_of_a_client_setting_that_is_no_text_is_shown() -> None:
    """Whoever looks at settings before they are checked sees them."""
    assert "5: 'x'" in repr(Settings(**SOUND, kafka={5: "x"}))  # type: ignore[dict-item]  # the user's mistake


@pytest.mark.parametrize(
    ("interval", "drain_s", "count"),
    [
        ("30000", 25.0, 0),
        ("29999", 25.0, 1),
        ("7000", 25.0, 1),
        ("7000", 2.0, 0),
        (None, 295.0, 0),
        (None, 295.5, 1),
        ("400000", 300.0, 0),
        ("soon", 25.0, 1),
    ],
)
def test_a_revoke_fits_between_two_polls(interval: str | None, drain_s: float, count: int) -> None:
    """It drains and commits inside one: past the interval the group expels the member in the middle of it."""
    found = faults(drain_s=drain_s, kafka={} if interval is None else {"max.poll.interval.ms": interval})

    assert len(found) == count
    assert all(fault.startswith("kafka: 'max.poll.interval.ms'") for fault in found)


def test_a_poll_interval_is_told_what_it_should_be() -> None:
    """The fault names what is needed, and both settings that could give way."""
    (fault,) = faults(drain_s=25, kafka={"max.poll.interval.ms": "7000"})

    assert "Set it to 30000 or more, or a shorter drain_s" in fault
