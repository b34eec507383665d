"""What a command about topics is about: which sources, which groups, and which topics their chains have."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from streams.cli.connect import is_app, load_app
from streams.engine.policy import DEFAULT_POLICY, OrderPolicy
from streams.engine.topics import ChainTopic, chain_topics
from streams.errors import UsageError
from streams.kafka.shape import Topic
from streams.retry import MOST_TIERS, RetryPolicy, seconds

_TOPIC_NAME = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,249}")
_GROUP_NAME = re.compile(r"[A-Za-z0-9._-]{1,120}")
_NONE = "none"


@dataclass(frozen=True)
class ChainKind:
    """Which topics a chain has: as a route, or the command line, says."""

    policy: OrderPolicy
    tiers: tuple[float, ...]
    retention_s: float = 0.0
    """How long its topics keep what is in them, where an app says so; 0: for ever."""

    @classmethod
    def of(cls, policy: OrderPolicy | None, retry: Sequence[str]) -> ChainKind:
        """Read ``--policy`` and ``--retry``; what is not said is as in an app that does not say it.

        Raises:
            UsageError: They contradict each other, or a wait is none.
        """
        chosen = policy or DEFAULT_POLICY
        if chosen == "block":
            if retry:
                raise UsageError("--retry names retry topics, and policy block has none: it waits in memory")
            return cls(chosen, ())
        return cls(chosen, _tiers(retry) if retry else RetryPolicy().tiers)


@dataclass(frozen=True)
class Scope:
    """Which source topics a command is about, which groups read them, and what their chains have."""

    sources: Sequence[str]
    groups: Sequence[str]
    kind: ChainKind
    """Of every chain that no app tells about."""
    told: Mapping[tuple[str, str], ChainKind] = field(default_factory=dict)
    """Source and group to what an app says of it."""

    @classmethod
    def of(
        cls,
        name: str | None,
        groups: Sequence[str],
        app: str | None,
        policy: OrderPolicy | None = None,
        retry: Sequence[str] = (),
    ) -> Scope:
        """Read the command line: a topic, its groups, and what their chains have; or an app that says all of it.

        Raises:
            UsageError: A name can't be one, nothing is named, or options contradict each other.
        """
        sources, named, told = [] if name is None else [name], list(groups), {}
        if app is not None:
            loaded = load_app(app)
            sources += [topic for topic in loaded.routes if topic not in sources]
            named += [loaded.group] if loaded.group not in named else []
            kept_s = loaded.settings.chain_retention_s
            told = {
                (topic, loaded.group): ChainKind(one.policy, one.tiers, kept_s) for topic, one in loaded.routes.items()
            }
        if not sources:
            raise UsageError("name a topic, or an app with --app module:app")
        if policy or retry:
            _check_shaped(named, app)
        _check_names("topic", sources, _TOPIC_NAME)
        _check_names("group", named, _GROUP_NAME)
        return cls(sources, named, ChainKind.of(policy, retry), told)

    @classmethod
    def named(cls, name: str, groups: Sequence[str], policy: OrderPolicy | None, retry: Sequence[str]) -> Scope:
        """Read one argument that is either ``module:app`` or a topic."""
        return cls.of(None, groups, name, policy, retry) if is_app(name) else cls.of(name, groups, None, policy, retry)

    def chain(
        self, sources: Mapping[str, Topic], existing: Collection[str], retention_s: float = 0.0
    ) -> list[ChainTopic]:
        """Give every topic of the chains of the groups beside *sources*.

        Args:
            sources: By name.
            existing: Names of what the cluster has.
            retention_s: What the environment declares; it outranks what an app says.
        """
        return [
            topic
            for name in self.sources
            for group in self.groups
            for kind in [self.told.get((name, group), self.kind)]
            for topic in chain_topics(
                sources[name],
                group,
                kind.policy,
                kind.tiers,
                existing=existing,
                retention_s=retention_s or kind.retention_s,
            )
        ]


def _tiers(retry: Sequence[str]) -> tuple[float, ...]:
    if _NONE in retry:
        if len(retry) > 1:
            raise UsageError("--retry none means that there is no retry topic; drop it, or the others")
        return ()
    tiers = tuple(sorted({round(seconds(one), 3) for one in retry}))
    if not tiers[0]:
        raise UsageError("--retry 0s is no wait that needs a topic")
    if len(tiers) > MOST_TIERS:
        raise UsageError(f"--retry: {len(tiers)} retry topics are more than the {MOST_TIERS} that there may be")
    return tiers


def _check_shaped(groups: Sequence[str], app: str | None) -> None:
    if app is not None:
        raise UsageError("the app says its policy and its waits itself; drop --policy and --retry")
    if not groups:
        raise UsageError("--policy and --retry say what a group's chain has: name the group with --group")


def _check_names(kind: str, names: Iterable[str], pattern: re.Pattern[str]) -> None:
    for name in names:
        if not pattern.fullmatch(name):
            raise UsageError(f"{kind} {name!r}: a name has letters, digits, dots, dashes and underscores, nothing else")
