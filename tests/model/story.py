"""What happened, in words: a trace is read by people."""

from __future__ import annotations

from collections.abc import Sequence

from streams.engine.backlog import LaneKey
from streams.engine.chain import unpack
from streams.errors import LedgerError
from streams.kafka.commits import Request
from tests.model.owner import Copy, Engine
from tests.model.world import Label


def tell(engine: Engine, label: Label) -> str:  # noqa: PLR0911, PLR0912, C901  # one a kind
    """Give *label* as a sentence."""
    stages = [stage.kind for stage in engine.plan.stages]
    match label:
        case ("ends", number):
            return f"owner {number} reads the ends of the logs"
        case ("begin", number):
            return f"owner {number} takes the partition: ledgers, ends, scan; its first commit is on its way"
        case ("die", number):
            return f"owner {number} dies"
        case ("restart", number):
            return f"owner {number} ends its stay while records run, and its process will take the partition again"
        case ("return", key, record, is_done):
            how = "has done its work" if is_done else "has failed"
            return f"the handler of record {record}, key {_key(key)}, which the former stay started, {how}"
        case ("replay",):
            return "an operator sends the group back to its first record"
        case ("lose", number):
            return f"owner {number} loses the partition and does not know"
        case ("append", number, topic, copy, offset):
            return f"{_sender(number)}'s {_copy(copy)} is appended: {stages[topic]}/{offset}"
        case ("acknowledge", number, topic, offset):
            return f"owner {number} hears that {stages[topic]}/{offset} is there"
        case ("resend", number, topic, copy):
            return f"owner {number} does not know whether its {_copy(copy)} is in {stages[topic]}, and sends it again"
        case ("time", topic):
            return f"time passes: what is in {stages[topic]} is due"
        case ("store", number, request):
            return f"the commit of owner {number} is stored: {_request(request)}"
        case ("forget", topic):
            return f"the broker forgets what was committed for {stages[topic]}"
        case ("step", number, step):
            return f"owner {number} {_step(stages, step)}"
    return repr(label)


def _step(stages: Sequence[str], step: tuple[object, ...]) -> str:  # noqa: PLR0911, C901  # one a kind
    match step:
        case ("read", count):
            return f"reads {count} of the source"
        case ("end_well", bytes() | int() as key):
            return f"ends its record of key {_key(key)} well"
        case ("fail", bytes() | int() as key):
            return f"fails with its record of key {_key(key)}"
        case ("give_up", bytes() | int() as key):
            return f"gives up its record of key {_key(key)}"
        case ("load", int() as number, int() as start, tuple() as part):
            return f"reads {stages[number]}/{start} to {start + len(part) - 1}"
        case ("relieve",):
            return "moves out what has waited long in memory"
        case ("force",):
            return "moves out all that waits in memory"
        case ("go_over", int() as number):
            return f"is to move what is outstanding in {stages[number]}"
        case ("wait",):
            return "goes on with what waited for its time or the lease"
        case ("commit",):
            return "sends a commit"
    return repr(step)


def _sender(number: int) -> str:
    return "nobody" if number < 0 else f"owner {number}"


def _key(key: LaneKey) -> str:
    return key.decode() if isinstance(key, bytes) else str(key)


def _copy(copy: Copy) -> str:
    try:
        header = unpack(list(copy.headers))
    except LedgerError as error:
        return f"copy of which {error}"
    return f"copy of record {header.offset} (hop {header.hop}, from {header.from_topic}/{header.from_offset})"


def _request(request: Request) -> str:
    return ", ".join(f"{entry.partition.topic.rpartition('.')[2]} {entry.offset}" for entry in request)
