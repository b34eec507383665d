"""`streams dlq edit`: mend the payload of one dead letter, and have it tried again."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import click

from streams.cli.connect import settings_for
from streams.cli.contract import Contract, contract_of
from streams.cli.editor import Desk, Text, difference
from streams.cli.lines import STDIN
from streams.cli.naming import origin_of
from streams.cli.output import Failure, plain, print_json, say
from streams.cli.redrive import acting, who_of
from streams.deadletter.act import Outcome, act
from streams.deadletter.edit import Amendment, keep, require_room
from streams.deadletter.letter import Letter
from streams.deadletter.read import find
from streams.engine.desk import prepare
from streams.engine.edit import MOST_VALUE, digest
from streams.errors import DecodeError, UsageError
from streams.kafka.admin import Admin
from streams.kafka.groups import describe_group

_ENDS: Final = {
    "gone": (
        "nothing was done now: it was handled, retried, edited or forgotten by then. If a member died over this very"
        " edit, it is done: see"
    ),
    "impossible": (
        "the chain of this group has neither a parked nor a retry topic, from which alone a letter runs again. Give its"
        " route a wait that needs a retry topic, or the policy park. See"
    ),
}
"""Why an edit was not carried out."""


@click.command(epilog="Example:  streams dlq edit billing orders/3/1042 --why 'the total was a text'")
@click.argument("group")
@click.argument("origin", metavar="TOPIC/PARTITION/OFFSET")
@click.option("--value-file", metavar="FILE|-", help="The new value, byte for byte, instead of an editor's text.")
@click.option("--app", metavar="MODULE:APP", help="What its handler of the topic can't read is refused.")
@click.option("--schema", "subject", metavar="SUBJECT", help="What does not meet this contract is refused.")
@click.option(
    "--schemas",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("schemas"),
    show_default=True,
    help="The folder of the contracts; one that the record names itself (ce_dataschema) is taken from there.",
)
@click.option("--yes", is_flag=True, help="Do it, and don't ask. Without it, and nobody to ask, nothing changes.")
@click.option("--dry-run", is_flag=True, help="Show and check the change, and do nothing.")
@acting
def edit(group: str, origin: str, **options: Any) -> None:
    """Change the payload of one dead letter of GROUP, and have it tried again, in its place in the order of its key.

    $VISUAL or $EDITOR opens on its value, JSON laid out for reading. What changes is shown, and checked against the
    contract that --app, --schema or the record itself names. Key and headers stay: the key decides the order. The
    record in the source topic stays too; the value before the edit is kept in the group's audit, and 'dlq show' and
    'why --record' tell of it. The handler finds a header streams-edited. Where anything goes wrong, the text is kept
    in a file that is named.
    """
    if options["yes"] and options["dry_run"]:
        raise UsageError("--yes and --dry-run: choose one")
    if options["app"] and options["subject"]:
        raise UsageError("--app brings its own contract; drop --schema, or the app")
    place, offset = origin_of(origin)
    with Admin(settings_for(options["bootstrap"])) as admin:
        letter = find(admin, group, place, offset)
        contract = contract_of(letter, options["app"], options["subject"], options["folder"])
        if options["value_file"]:
            _change(admin, _Change(letter, _read(options["value_file"]), contract), options)
            return
        text = Text.of(letter.value)
        desk = Desk(f"{place}/{offset}", text)
        with _keeping(desk):
            change = _Change(letter, _typed(desk, text), contract, desk)
            _change(admin, change, options)


class _Change(NamedTuple):
    """What is to become of a letter."""

    letter: Letter
    value: bytes
    contract: Contract | None
    desk: Desk | None = None
    """Where the new value was typed; None: it came from a file."""

    @property
    def told(self) -> str:
        """What changes, for people; nothing where nothing does."""
        return "" if self.value == self.letter.value else difference(self.letter.value, self.value)

    def require_met(self) -> None:
        """See that it meets the contract, where there is one."""
        faults = [] if self.contract is None else self.contract.faults(self.value)
        if self.contract is not None and faults:
            listed = "\n".join(plain(fault) for fault in faults)
            raise Failure(f"the new value does not meet {self.contract.name}:\n{listed}")

    def document(self, *, done: Outcome | None = None, command_id: str | None = None) -> dict[str, Any]:
        """Give all of it as one document, with what was *done*."""
        header = self.letter.header
        return {
            "group": header.group,
            "verb": "edit",
            "record": {"topic": header.topic, "partition": header.partition, "offset": header.offset},
            "changed": self.value != self.letter.value,
            "applied": done is not None,
            "id": command_id,
            "was_sha256": digest(self.letter.value) or None,
            "is_sha256": digest(self.value),
            "difference": self.told or None,
            "contract": None if self.contract is None else self.contract.name,
            "text_file": None if self.desk is None else str(self.desk.path),
            "asked": 0 if done is None else done.asked,
            "fates": {} if done is None else dict(done.fates),
            "unanswered": 0 if done is None else done.missing,
        }


@contextmanager
def _keeping(desk: Desk) -> Iterator[None]:
    """Say where the text is, whatever ends the command before its time."""
    try:
        yield
    except BaseException:
        say(f"The text is kept in {desk.path}. Mend it there, and give it with --value-file {desk.path}")
        raise


def _read(path: str) -> bytes:
    """Give what is to be the value, as it stands in a file; one byte more than may be is enough."""
    try:
        if path == STDIN:
            return sys.stdin.buffer.read(MOST_VALUE + 1)
        with Path(path).open("rb") as file:
            return file.read(MOST_VALUE + 1)
    except (OSError, ValueError) as error:
        raise UsageError(f"--value-file {path}: {error}") from error


def _typed(desk: Desk, text: Text) -> bytes:
    try:
        return text.bytes_of(desk.edit())
    except DecodeError as error:
        raise Failure(f"it was JSON, and is none any more: {plain(str(error))}") from error


def _change(admin: Admin, change: _Change, options: dict[str, Any]) -> None:
    """Check the new value, show what changes, and have it done where that is meant."""
    letter, desk, as_json = change.letter, change.desk, options["as_json"]
    if change.value == letter.value:
        if desk is not None:
            desk.clear()
        _end(change, "Nothing was changed: the value is as it was.", as_json=as_json)
        return
    amendment = Amendment.of(letter, change.value, who_of(options))
    change.require_met()
    require_room(admin, amendment)
    if desk is not None:
        desk.write(change.value)
    if not as_json:
        click.echo(plain(change.told))
        contract = change.contract
        say("No contract was found to check it against (--app, --schema)." if contract is None else _met(contract))
    if not _is_meant(options):
        file = "" if desk is None else f"--value-file {desk.path} "
        _end(change, f"Nothing was changed. Do it with {file}--yes.", as_json=as_json)
        return
    outcome, waits = _do(admin, amendment, options)
    if as_json:
        print_json(change.document(done=outcome, command_id=amendment.id))
    _conclude(letter, outcome, options, waits=waits)
    if desk is not None and outcome.fates["edited"]:
        desk.clear()
    elif desk is not None:
        say(f"The text is kept in {desk.path}")


def _met(contract: Contract) -> str:
    return f"It meets {contract.name}."


def _is_meant(options: dict[str, Any]) -> bool:
    """Say whether it is to be done; a person who can be asked is."""
    if options["yes"] or options["dry_run"] or options["as_json"]:
        return bool(options["yes"])
    return sys.stdin.isatty() and sys.stdout.isatty() and click.confirm("Have it tried again with this value?")


def _do(admin: Admin, amendment: Amendment, options: dict[str, Any]) -> tuple[Outcome, bool]:
    """Keep what it was, and put the edit to the group; give what came of it, and whether that was waited for."""
    group = amendment.letter.header.group
    if not (members := describe_group(admin, group).members):
        say(f"No member of group {group} runs: it is done as soon as one does.")
    waits = bool(members) and not options["no_wait"]
    prepare(admin, group)
    keep(admin, amendment.kept)
    return act(admin, group, [amendment.command], wait_s=options["wait_s"] if waits else 0.0), waits


def _conclude(letter: Letter, outcome: Outcome, options: dict[str, Any], *, waits: bool) -> None:
    """Say what became of it.

    Raises:
        Failure: Nothing did, though it was waited for.
    """
    group, name = letter.header.group, f"{letter.source}/{letter.header.offset}"
    see = f"streams why {group} --record {name}"
    for fate, why in _ENDS.items():
        if outcome.fates[fate]:
            raise Failure(f"'{fate}': {why}: {see}")
    if outcome.missing and waits:
        raise Failure(
            f"nothing was heard of it for {options['wait_s']:g} s. What was asked for stays so, and is done once the"
            f" owner of the partition can. A member of a version that knows no edits passes it over, and logs that:"
            f" then ask again once all members are of this one. See: {see}, streams audit {group}"
        )
    if not options["as_json"]:
        done = "is tried again with its new value" if outcome.fates["edited"] else "was asked for, and not answered yet"
        click.echo(f"{name} {done}. See: {see}")


def _end(change: _Change, sentence: str, *, as_json: bool) -> None:
    """Say that nothing was changed."""
    if as_json:
        print_json(change.document())
    else:
        click.echo(sentence)
