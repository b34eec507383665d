"""One run from its beginning to its report: a place, topics, members, faults in the seed's order, and the judgement."""

from __future__ import annotations

import json
import random
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from streams.app import App
from streams.config import Settings
from streams.dev import DevCluster, this_process
from streams.errors import UsageError
from streams.kafka.admin import START_WITHIN_S, Admin
from streams.kafka.settings import connection
from streams.kafka.shape import NewTopic
from streams.kafka.topics import create_topics, delete_topics, list_topics
from streams.verify.chain import Chain
from streams.verify.crew import Crew, VerifyError
from streams.verify.faults import FAULTS, OF_A_NETWORK, OF_THE_CLUSTER, OF_THREE_BROKERS
from streams.verify.injected import Injected
from streams.verify.keeping import write_history
from streams.verify.load import Load
from streams.verify.member import VARIABLE
from streams.verify.payload import Payload, payload_of
from streams.verify.plan import BREAKS, MemberPlan
from streams.verify.proxy import Proxy
from streams.verify.report import ORDER_CHECKS, Report, effects_of, figures_of, resources_row, rows_of
from streams.verify.resources import Usage, usage_of
from streams.verify.standstill import Watch
from streams.verify.track import Track
from streams.verify.trial import Trial
from streams.verify.verdict import Verdict, judge

_SESSION_S: Final = 6
_BROKERS: Final = 3
_PAUSE_S: Final = (5.0, 15.0)
"""Between two faults of a long run."""
_SOAK_TRICKLE: Final = 20
"""Records of each topic in a tenth of a second there: the checker keeps all of them in memory."""


@dataclass(frozen=True)
class Wish:
    """What the user asked for."""

    path: str
    """The app, as module:app."""
    faults: Sequence[str]
    records: int = 20_000
    members: int = 3
    seed: int = 0
    times: int = 1
    """How often each fault is injected."""
    minutes: float = 0.0
    """Go on injecting them for so long, one now and then; 0: each so often, one after the other."""
    partitions: int = 6
    keys: int = 400
    failing: float = 0.05
    """Share of the records whose first runs fail, or all of them."""
    broken: str | None = None
    """An engine that is broken on purpose."""
    protocol: str | None = None
    static: bool = False
    """Members have names that outlast them: whoever takes the place of one finds its partitions."""
    own_delays: bool = False
    keeps: bool = False
    """Keep the history of a run in which nothing is wrong, too."""
    payloads: Mapping[str, Path] = field(default_factory=dict)
    sends: Sequence[str] = ()
    """Topics that the app writes to."""


@dataclass(frozen=True)
class Place:
    """Where a run takes place."""

    settings: Settings
    folder: Path
    prefix: str = ""
    """Before the names of the app's topics; "" on a cluster of the run's own."""
    cluster: DevCluster | None = None
    network: Proxy | None = None
    """Before the brokers of that cluster, where faults ask for it."""

    @property
    def members_bootstrap(self) -> str:
        """The addresses that members are given; who judges goes straight to the brokers."""
        return self.network.bootstrap if self.network else self.settings.bootstrap


def verify(app: App, settings: Settings, wish: Wish, say: Callable[[str], None]) -> Report:
    """Run *app* under faults and judge what became of its records.

    Args:
        app: The user's.
        settings: Its settings; without an address of a cluster the run has one of its own.
        wish: What to do.
        say: Is told each step.

    Raises:
        UsageError: It can't be run like that; nothing was started.
        StreamsError: It did not come to an end that can be judged.
    """
    began = time.monotonic()
    if (faults := OF_THE_CLUSTER & set(wish.faults)) and settings.bootstrap:
        raise UsageError(
            "brokers and the network before them are broken only where they are the run's own:"
            f" drop --bootstrap, or {', '.join(sorted(faults))} of --faults"
        )
    module = wish.path.partition(":")[0]
    payloads = {topic: payload_of(app, topic, wish.payloads, module) for topic in app.routes}
    folder = Path(tempfile.mkdtemp(prefix="streams-verify-"))
    is_kept = False
    try:
        with _place(settings, wish, folder, say) as place, closing(_Stage(app, place, wish, payloads)) as stage:
            injected = stage.play(say)
            verdicts = stage.judged(say)
            exit_codes = stage.trial.exit_codes
            usage = usage_of(worker.meter for worker in stage.trial.crew.workers)
        report = Report(
            app=wish.path,
            seed=wish.seed,
            broken=wish.broken,
            rows=[*rows_of(verdicts, exit_codes), *([resources_row(usage)] if wish.minutes and usage.count else [])],
            effects=effects_of(injected, wish.faults, verdicts.values()),
            figures=figures_of(verdicts),
            usage=usage,
            seconds=time.monotonic() - began,
            history=str(folder),
            notes=[*_notes(app, usage), *_standstills(stage.trial.crew.watch)],
        )
        write_history(folder, verdicts, usage, report.document())
        is_kept = wish.keeps or not report.is_kept
        return report if is_kept else _without_history(report)
    except VerifyError as error:
        is_kept = True
        raise VerifyError(f"{error}\nThe logs of all members are in {folder}; the seed was {wish.seed}.") from error
    finally:
        if not is_kept:
            shutil.rmtree(folder, ignore_errors=True)


class _Stage:
    """Members and load on one place; they end with it."""

    def __init__(self, app: App, place: Place, wish: Wish, payloads: Mapping[str, Payload]) -> None:
        self._wish = wish
        group = app.group if place.cluster else f"{place.prefix}group"
        names = {topic: place.prefix + topic for topic in app.routes}
        with Admin(place.settings, timeout_s=START_WITHIN_S) as admin:
            create_topics(admin, [NewTopic(name, wish.partitions) for name in names.values()])
            sends = [NewTopic(name, wish.partitions) for name in wish.sends if name not in names]
            create_topics(admin, sends if place.cluster else [], may_exist=True)
        self._plan = MemberPlan(str(place.folder), place.prefix, wish.own_delays, wish.broken or "")
        crew = Crew(
            place.folder, list(names.values()), wish.path, self._environment(place, group), is_static=wish.static
        )
        client = connection(place.settings)
        tracks = {
            name: Track(
                topic=name,
                load=Load(place.settings, name, payloads[topic], seed=wish.seed, keys=wish.keys, failing=wish.failing),
                chain=Chain(client, name, group),
                max_attempts=max(one.attempts for one in (route.retry, *route.retry.overrides.values())),
                is_ordered=route.policy != "unordered",
            )
            for topic, name in names.items()
            for route in (app.routes[topic],)
        }
        is_inline = all(route.run == "inline" for route in app.routes.values())
        self.trial = Trial(
            crew,
            tracks,
            random.Random(wish.seed),
            wish.partitions,
            place.settings.over(group=group, protocol=wish.protocol, session_timeout_s=float(_SESSION_S)).checked(),
            wanted_in_flight=1 if is_inline else 5,
            cluster=place.cluster,
            network=place.network,
            session_s=_SESSION_S,
        )

    def _environment(self, place: Place, group: str) -> dict[str, str]:
        wish = self._wish
        chosen = {
            VARIABLE: json.dumps(self._plan.as_dict()),
            "STREAMS_BOOTSTRAP": place.members_bootstrap,
            "STREAMS_GROUP": group,
            "STREAMS_SESSION_TIMEOUT_S": str(_SESSION_S),
            "STREAMS_MAX_DEATHS": "1000",  # it is no record that kills processes here
            "STREAMS_BREAK": "" if wish.broken in BREAKS else wish.broken or "",
        }
        return chosen | ({"STREAMS_PROTOCOL": wish.protocol} if wish.protocol else {})

    def play(self, say: Callable[[str], None]) -> list[Injected]:
        """Have members work, and inject the faults between shares of the load."""
        wish, trial = self._wish, self.trial
        if wish.minutes:
            return self._soak(say)
        schedule = [fault for fault in wish.faults for _ in range(wish.times)]
        trial.rng.shuffle(schedule)
        say(f"seed {wish.seed}: {wish.members} members start, then {', '.join(schedule) or 'no fault'}")
        trial.start(wish.members)
        injected = []
        for number, fault in enumerate(schedule, 1):
            trial.advance(wish.records * number // (len(schedule) + 1))
            injected.append(self._inject(fault, say))
        trial.advance(wish.records)
        return injected

    def _soak(self, say: Callable[[str], None]) -> list[Injected]:
        """Have members work at an even pace, and inject a fault now and then, until the time is over."""
        wish, trial = self._wish, self.trial
        say(
            f"seed {wish.seed}: {wish.members} members start, then {wish.minutes:g} minutes of {', '.join(wish.faults)}"
        )
        trial.start(wish.members)
        trial.trickle, trial.spared = _SOAK_TRICKLE, trial.crew.workers[0]
        until = time.monotonic() + wish.minutes * 60
        injected: list[Injected] = []
        for fault in _in_laps(wish.faults, trial.rng):
            trial.keep_on(min(trial.rng.uniform(*_PAUSE_S), max(0.0, until - time.monotonic())))
            if time.monotonic() >= until:
                break
            injected.append(self._inject(fault, say))
        trial.keep_on(max(0.0, until - time.monotonic()))
        return injected

    def _inject(self, fault: str, say: Callable[[str], None]) -> Injected:
        trial = self.trial
        trial.read()
        say(f"{trial.sent:,} records sent, {trial.ended:,} runs ended: {fault}")
        injected = FAULTS[fault](trial)
        trial.read()
        return injected

    def judged(self, say: Callable[[str], None]) -> dict[str, Verdict]:
        """Wait until everything is worked off, end the members, read everything back, and judge."""
        trial = self.trial
        acknowledged = {name: track.load.finish() for name, track in trial.tracks.items()}
        say(f"{trial.sent:,} records sent; waiting until nothing is left to do")
        if not trial.heal():
            say("something is left to do, and nothing changes any more")
        trial.exit_codes += trial.crew.stop()
        say("reading everything back")
        return {
            name: judge(track.history(trial.crew, acknowledged[name]), but=() if track.is_ordered else ORDER_CHECKS)
            for name, track in trial.tracks.items()
        }

    def close(self) -> None:
        """End what runs."""
        self.trial.crew.end()


def _in_laps(faults: Sequence[str], rng: random.Random) -> Iterator[str]:
    """Give *faults* for ever, all of them before one comes again."""
    while faults:
        lap = list(faults)
        rng.shuffle(lap)
        yield from lap


@contextmanager
def _place(settings: Settings, wish: Wish, folder: Path, say: Callable[[str], None]) -> Iterator[Place]:
    """Give the cluster that *settings* name, and a prefix for topics there; else one that ends with the run."""
    if settings.bootstrap:
        prefix = f"streams-verify-{uuid.uuid4().hex[:6]}."
        try:
            yield Place(settings, folder, prefix)
        finally:
            with Admin(settings) as admin:
                delete_topics(admin, [topic for topic in list_topics(admin) if topic.startswith(prefix)])
        return
    with ExitStack() as ending:
        data = folder / "kafka"
        ending.callback(shutil.rmtree, data, ignore_errors=True)
        count = _BROKERS if OF_THREE_BROKERS & set(wish.faults) else 1
        network = ending.enter_context(closing(Proxy(count))) if OF_A_NETWORK & set(wish.faults) else None
        proxies = network.ports if network else ()
        cluster = DevCluster.start(data, brokers=count, lives_with=this_process(), proxies=proxies, say=say)
        ending.callback(cluster.down)
        if network:
            network.lead_to([broker.proxied_port for broker in cluster.brokers])
        yield Place(settings.over(bootstrap=cluster.bootstrap), folder, cluster=cluster, network=network)


def _notes(app: App, usage: Usage) -> list[str]:
    notes = [] if usage.count else ["this system has no /proc: what members take of memory and the like is not known"]
    for topic, route in app.routes.items():
        if route.policy == "unordered":
            notes.append(f"{topic}: policy unordered promises no order, so none was looked for")
        if route.dead_letters == "hold":
            notes.append(f"{topic}: dead letters hold their key until an operator decides; here later records ran")
        if not route.wants_context:
            notes.append(f"{topic}: the handler takes no context, so attempts were judged by its dead letters alone")
    return notes


def _standstills(watch: Watch) -> list[str]:
    return [
        f"the whole machine stood still for {pause.seconds:.1f} s: what that had run again counts as explained"
        for pause in watch.standstills
    ]


def _without_history(report: Report) -> Report:
    return Report(**{**vars(report), "history": None})
