"""A few thousand cases for each reader, always the same ones; and readers that are broken on purpose, which are found.

`make fuzz` tries a million others.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import click
import msgspec
import pytest
from click.testing import CliRunner

from streams.codec import RecordCodec
from streams.config import Settings
from streams.engine.chainstate import ChainState
from streams.engine.snapshot import Snapshot, decode, encode, encode_within
from streams.envelope import Envelope
from streams.errors import ChainError, ConfigError, LedgerError
from streams.kafka.message import Message
from streams.record import Headers
from tests.fuzz.__main__ import TARGETS
from tests.fuzz.__main__ import main as fuzz
from tests.fuzz.commands import CommandTarget
from tests.fuzz.events import EventTarget
from tests.fuzz.headers import HeaderTarget
from tests.fuzz.ledgers import LedgerTarget
from tests.fuzz.search import Target, search
from tests.fuzz.settings import SettingsTarget

SEED = 20_260_101
SHORT = {"headers": 6_000, "ledgers": 6_000, "events": 8_000, "settings": 3_000, "commands": 2_000}
ENOUGH = 6_000
"""Cases within which a broken reader is found."""


@pytest.mark.parametrize("name", TARGETS)
def test_damaged_input_has_its_declared_effect(name: str) -> None:
    """No crash, nothing lost, and what can't be read is refused in the way that is declared."""
    found = search(TARGETS[name][0], SHORT[name], SEED)

    assert found is None, str(found)


class PassesOver(ChainState[Any]):
    """Passes over copies that it can't read, as if nothing stood there."""

    def scan(self, number: int, messages: Iterable[Message]) -> None:
        for one in messages:
            try:
                ChainState.scan(self, number, [one])
            except ChainError:
                continue


class Believes(ChainState[Any]):
    """Takes a copy that somebody put into the dead letters for a fault of the whole chain."""

    def scan(self, number: int, messages: Iterable[Message]) -> None:
        for one in messages:
            before = len(self.index)
            ChainState.scan(self, number, [one])
            if len(self.index) == before:
                raise ChainError(f"{one.topic()}/{one.partition()}/{one.offset()}: nothing was found")


def forgiving(text: str | None) -> Snapshot | None:
    """Take what can't be read for no ledger, quietly."""
    try:
        return decode(text)
    except LedgerError:
        return None


def unchecked(text: str | None) -> Snapshot | None:
    """Read a damaged ledger as one in which one offset more is settled: what a missing checksum lets through."""
    try:
        return decode(text)
    except LedgerError:
        return Snapshot(b"assigned", runs=(1, 1))


def quiet_cut(snapshot: Snapshot, limit: int) -> tuple[str, Snapshot]:
    """Leave out what does not fit, and do not say so."""
    _, kept = encode_within(snapshot, limit)
    whole = msgspec.structs.replace(kept, complete=True)
    return encode(whole), whole


def joined_cut(snapshot: Snapshot, limit: int) -> tuple[str, Snapshot]:
    """Make it fit by settling what is open in between."""
    text, kept = encode_within(snapshot, limit)
    if kept.complete:
        return text, kept
    shorter = msgspec.structs.replace(snapshot, runs=(1, max(1, sum(snapshot.runs) - 1)), complete=False)
    return encode(shorter), shorter


def strict(headers: Headers) -> Envelope:
    """Take it for granted that an id is UTF-8."""
    for name, value in headers:
        if name == "ce_id" and value:
            value.decode()
    return Envelope.from_headers(headers)


def bare(codec: RecordCodec[Any], data: bytes) -> Any:
    """Let the parser's own error out."""
    return data if codec.raw_decode is None else codec.raw_decode(data)


def one_by_one(settings: Settings) -> Settings:
    """Tell the first fault alone."""
    try:
        return settings.checked()
    except ConfigError as error:
        raise ConfigError(error.faults[:1]) from None


def talkative(settings: Settings) -> Settings:
    """Show what was given, password and all."""
    try:
        return settings.checked()
    except ConfigError as error:
        raise ConfigError([*error.faults, f"kafka: {settings.kafka}"]) from None


@click.command(context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
@click.pass_context
def careless(context: click.Context) -> None:
    """Take the last word for a number."""
    int(context.args[-1])


@pytest.mark.parametrize(
    "broken",
    [
        HeaderTarget(PassesOver),
        HeaderTarget(Believes),
        LedgerTarget(forgiving),
        LedgerTarget(unchecked),
        LedgerTarget(encode_within=quiet_cut),
        LedgerTarget(encode_within=joined_cut),
        EventTarget(read_headers=strict),
        EventTarget(decode=bare),
        SettingsTarget(one_by_one),
        SettingsTarget(talkative),
        CommandTarget(careless),
    ],
    ids=lambda target: target.name,
)
def test_a_reader_that_is_broken_on_purpose_is_found(broken: Target) -> None:
    """Each target can fail, and the same case fails again."""
    found = search(broken, ENOUGH, SEED)

    assert found is not None
    again = search(broken, 1, SEED, found.number)
    assert again is not None
    assert str(again) == str(found)
    assert f"--seed {SEED} --case {found.number}" in str(found)


def test_a_case_can_be_run_again_by_its_number() -> None:
    """The command takes the seed and the number that a failure showed."""
    done = CliRunner().invoke(fuzz, ["ledgers", "--seed", "7", "--case", "12"])

    assert done.exit_code == 0
    assert "1 cases of seed 7" in done.output
