"""Settings from an app and from the environment: wrong ones are all told at once, and no secret is told with them."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from streams.config import FIXED_CLIENT_SETTINGS, Settings
from streams.errors import ConfigError
from streams.retry import RetryPolicy
from tests.fuzz.damage import NUMBERS, WORDS, some_bytes, some_text
from tests.fuzz.search import demand

_NAMES: Final = tuple(name for name in Settings.__dataclass_fields__ if name != "kafka")
_GOOD: Final[Mapping[str, Any]] = {"bootstrap": "localhost:9092", "group": "billing"}
_WRONG: Final[Mapping[str, tuple[Any, ...]]] = {
    "bootstrap": ("", " , ", "host", "host:0", "host:70000", "a b:1", 5, None),
    "group": ("", "a b", "x" * 121, "é", 5, None),
    "protocol": ("Classic", "", 5, None),
    "start_at": ("now", None),
    "on_expired": ("", []),
    "on_key_full": ("drop", {}),
    "session_timeout_s": (0, -1, float("nan"), float("inf"), "45", None, True),
    "batch_records": (0, -1, 2**70, 1.5, "1", None, True),
    "ledger_limit": (0, 199, 3_501, "x"),
    "max_deaths": (0, 2, 10**30, None),
    "drain_s": (-0.1, float("nan"), "25s"),
    "chain_retention_s": (1, 599.9, -1, float("nan"), float("-inf"), "0"),
    "metrics_port": (-1, 65_536, "0", 1.0),
    "instance_id": (5, b"x"),
    "metrics_host": (None, 5),
}
"""Values that must be told; what is not listed here may be right or wrong."""
_SECRETS: Final = (
    "sasl.password",
    "ssl.key.password",
    "sasl.oauthbearer.client.secret",
    "ssl.key.pem",
    "sasl.jaas.config",
)
_MARK: Final = "hunter2"


@dataclass(frozen=True)
class Configuration:
    """What an app says, and what stands in the environment."""

    values: Mapping[str, Any]
    environment: Mapping[str, str]
    retry: Mapping[str, Any]
    wrong: frozenset[str]
    """Settings of the app that are certainly wrong."""
    misread: frozenset[str]
    """Variables that are certainly no number."""


class SettingsTarget:
    """Checks settings of which some are wrong."""

    name = "settings"

    def __init__(self, check: Callable[[Settings], Settings] = Settings.checked) -> None:
        """Check with *check*."""
        self._check = check

    def case(self, rng: random.Random) -> Configuration:
        """Make an app's settings, an environment, and a retry policy."""
        wrong = rng.sample(sorted(_WRONG), rng.choice((0, 0, 1, 2, 5)))
        values: dict[str, Any] = {**_GOOD, **{name: rng.choice(_WRONG[name]) for name in wrong}}
        for _ in range(rng.choice((0, 0, 1))):
            values.setdefault(rng.choice(_NAMES), _anything(rng))
        if rng.random() < 0.5:
            values["kafka"] = _client(rng)
        misread = rng.sample(("DRAIN_S", "MAX_DEATHS", "METRICS_PORT", "COMMIT_EVERY_S"), rng.choice((0, 0, 1, 3)))
        environment = {f"STREAMS_{rng.choice(_NAMES).upper()}": rng.choice(WORDS) for _ in range(rng.choice((0, 0, 1)))}
        environment |= {
            f"STREAMS_{name}": rng.choice(("", "x", "1s", "1,5", "--1", "9" * 5_000 + "x")) for name in misread
        }
        environment |= {"STREAMS_KAFKA_SASL_PASSWORD": _MARK} if rng.random() < 0.5 else {}
        return Configuration(values, environment, _policy(rng), frozenset(wrong), frozenset(misread))

    def check(self, case: Configuration) -> None:
        """Check them from the app alone, then with the environment over them."""
        settings = Settings(**case.values)
        self._look(settings, case.wrong)
        try:
            over = settings.from_environment(case.environment)
        except ConfigError as error:
            named = {fault.partition(":")[0] for fault in error.faults}
            demand(named >= {f"STREAMS_{name}" for name in case.misread}, f"only {sorted(named)} were told")
            demand(_MARK not in str(error), "a secret was told")
        else:
            assert not case.misread, f"{sorted(case.misread)} were taken for numbers"
            self._look(over, frozenset())
        try:
            RetryPolicy(**case.retry)
        except ConfigError as error:
            demand(error.faults, "it failed without a word")

    def _look(self, settings: Settings, wrong: frozenset[str]) -> None:
        named = set()
        try:
            assert self._check(settings) is settings
        except ConfigError as error:
            named = {fault.partition(":")[0] for fault in error.faults}
            demand(_MARK not in str(error), "a secret was told")
        assert named >= wrong, f"only {sorted(named)} were told"
        assert _MARK not in repr(settings), "a secret was shown"
        assert _MARK not in str(settings.public()), "a secret was shown"


def _client(rng: random.Random) -> Any:
    if rng.random() < 0.1:
        return rng.choice((None, 5, "sasl.password", [("sasl.password", "x")]))
    names: list[Any] = [*_SECRETS, *sorted(FIXED_CLIENT_SETTINGS), "client.id", "", 5, None, b"sasl.password", ("a",)]
    chosen = rng.sample(names, rng.choice((0, 1, 1, 3)))
    return {name: _MARK if name in _SECRETS else rng.choice(("x", "", 5, None)) for name in chosen}


def _policy(rng: random.Random) -> dict[str, Any]:
    policy: dict[str, Callable[[], Any]] = {
        "delays": lambda: rng.choice((None, "10s", (), [_duration(rng) for _ in range(rng.randint(0, 6))])),
        "max_attempts": lambda: rng.choice((*NUMBERS, None, True, 1.5, "3")),
        "jitter": lambda: rng.choice((0, 0.5, 1, -1, float("nan"), float("inf"), None, "0.1", 2**70)),
        "deadline": lambda: _duration(rng),
        "memory_up_to": lambda: _duration(rng),
        "dead_letter_on": lambda: rng.choice(
            ((), ValueError, (ValueError,), ("x",), (5,), None, BaseException, [KeyError])
        ),
        "overrides": lambda: rng.choice(({}, None, {"x": 1}, {ValueError: RetryPolicy()}, {5: RetryPolicy()}, [1])),
    }
    return {name: policy[name]() for name in rng.sample(sorted(policy), rng.choice((0, 1, 2)))}


def _duration(rng: random.Random) -> Any:
    texts = ("10s", "250ms", " 5m ", "1.5h", "1d", "99999999d", "-1s", "1e3s", "\u0663s", "9" * 400 + "s", "s", "1 0s")
    return rng.choice(
        (rng.choice(texts), some_text(rng), rng.choice(NUMBERS), timedelta(-1), timedelta.max, float("nan"))
    )


def _anything(rng: random.Random) -> Any:
    return rng.choice(
        (rng.choice(NUMBERS), rng.choice(WORDS), some_bytes(rng), None, 1.5, float("nan"), [], {}, 10**30)
    )
