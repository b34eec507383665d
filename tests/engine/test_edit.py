"""Dead letters whose payload an operator has mended."""

from __future__ import annotations

from typing import Literal

import msgspec
import pytest

from streams.engine.chain import original, unpack
from streams.engine.command import Asked, Command, Wanted, read_command
from streams.engine.context import Context
from streams.engine.edit import EDITED_HEADER, MOST_VALUE, Edit, Edited, Mending, digest, edits_in, mended
from streams.engine.partition import Move, Run
from streams.engine.policy import DeadLetterPolicy
from streams.engine.redrive import ask, look
from streams.errors import LedgerError
from streams.kafka.message import make_message
from streams.record import Headers, Origin, headers_of
from tests.engine.shelf import Shelf, header, offsets
from tests.engine.stage import AT_DLQ, AT_PARKED, DLQ, ORDERS
from tests.engine.test_redrive import ONCE, POLICIES, bury, fates, meet, morgue, want, wanted

BEFORE, AFTER, LATER = b"{}", b'{"total":7}', b'{"total":8}'


def edit(
    shelf: Shelf, *letter: int, value: bytes = AFTER, was: bytes | None = BEFORE, name: str = "one"
) -> list[Asked]:
    """An operator wants *value* in a letter: origin, redrives, and where it was seen; as it *was* then."""
    mending = Mending(Edit(value, digest(was)), name, "ann", 1_000)
    return ask(shelf.state, "edit", [Wanted(*letter)], mending)


def loaded(shelf: Shelf, number: int = AT_PARKED, start: int = 0) -> Run:
    """The one run that reading a topic of the chain gives."""
    (run,), _ = shelf.load(number, start)
    return run


def done(shelf: Shelf) -> Run:
    """What is wanted is done, up to the run of the one letter that moves."""
    (), (move,) = meet(shelf)
    shelf.take(move)
    return loaded(shelf)


def payload(run: Run) -> bytes | None:
    """What the handler gets."""
    return run[0][0].value()


# -- what runs ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("after_death", POLICIES)
def test_a_letter_that_is_edited_runs_with_its_new_value(after_death: DeadLetterPolicy) -> None:
    """In its place, with its key, as the same record; the handler sees who changed it and what it was."""
    shelf = morgue(after_death)
    asked = edit(shelf, 0, 0, 0)
    (), (move,) = meet(shelf)
    on_its_way = fates(asked)
    shelf.take(move)
    run = loaded(shelf)
    message = run[0][0]
    mark = Context(run[0]).edited

    assert (on_its_way, fates(asked)) == ([None], ["edited"])
    assert (payload(run), message.key(), offsets([run])) == (AFTER, b"a", [[0]])
    assert mark == Edited(id="one", topic="orders", partition=0, offset=0, was=digest(BEFORE), who="ann", time_ms=1_000)
    assert shelf.end(run) == []
    assert (shelf.state.outstanding, shelf.state.outstanding_bytes) == (0, 0)
    assert not shelf.state.chain.parts[AT_DLQ].outstanding


def test_what_nobody_edited_says_so() -> None:
    """A letter that is tried again as it is has no mark."""
    shelf = morgue()
    want(shelf, "retry", (0, 0, 0))

    assert Context(done(shelf)[0]).edited is None


def test_what_has_died_again_has_its_new_value_and_says_that_it_was_edited() -> None:
    """With the attempts of both lives; and what it was edited to can be edited once more."""
    shelf = morgue()
    edit(shelf, 0, 0, 0)
    bury(shelf, done(shelf))
    first = shelf.log.since(shelf.place(AT_DLQ), 1)[0]
    edit(shelf, 0, 1, 1, value=LATER, was=AFTER, name="two")
    (), (move,) = meet(shelf, 1)
    shelf.take(move)
    run = loaded(shelf, start=1)
    letters = shelf.headers(AT_DLQ)

    assert (first.value(), letters[1].redrives, letters[1].attempts) == (AFTER, 1, 2)
    assert payload(run) == LATER
    assert [mark.id for mark in edits_in(headers_of(run[0][0]), ORDERS, 0)] == ["one", "two"]


def test_a_letter_that_relief_moves_on_keeps_its_new_value() -> None:
    """Every further copy is made from the one before it."""
    shelf = morgue()
    edit(shelf, 0, 0, 0)
    bury(shelf, done(shelf))
    shelf.state.chain.parts[AT_DLQ].relief = range(1, 2)
    (), (move,) = meet(shelf, 1)
    shelf.take(move)
    moved = shelf.log.since(shelf.place(AT_DLQ), 2)[0]

    assert moved.value() == AFTER
    assert edits_in(headers_of(moved), ORDERS, 0)


def test_the_oldest_letter_of_a_key_runs_first_edited_or_not() -> None:
    """The younger one is edited, the older one retried: in the order of their key."""
    shelf = morgue("continue", (0, b"a"), (1, b"a"))
    edit(shelf, 1, 0, 1)
    want(shelf, "retry", (0, 0, 0))
    for move in meet(shelf)[1]:
        shelf.take(move)
    run = loaded(shelf)
    ran = [(one[0].offset(), one[0].value()) for one in run]
    for follower in shelf.end(run) or shelf.load(AT_PARKED)[0]:
        ran += [(one[0].offset(), one[0].value()) for one in follower]

    assert ran == [(0, BEFORE), (1, AFTER)]


@pytest.mark.parametrize("after_death", ["hold", "follow"])
def test_what_waits_behind_a_letter_runs_after_it(after_death: DeadLetterPolicy) -> None:
    """A key that it blocks goes on once the edited record is done."""
    shelf = morgue(after_death)
    waiting = shelf.read((1, b"a"))
    edit(shelf, 0, 0, 0)
    run = done(shelf)
    followers = shelf.end(run)

    assert (waiting, payload(run)) == ([], AFTER)
    assert offsets(followers) == [[1]]


# -- what does nothing ----------------------------------------------------------------------------------


def asked_again(shelf: Shelf, name: str = "one") -> list[str | None]:
    """The same edit is heard once more, and looked for to the end."""
    asked = edit(shelf, 0, 0, 0, name=name)
    for move in meet(shelf)[1]:
        shelf.take(move)
    look(shelf.state)
    return fates(asked)


def test_the_same_edit_again_does_nothing() -> None:
    """While it runs, and when it is done."""
    shelf = morgue()
    edit(shelf, 0, 0, 0)
    run = done(shelf)
    while_running = asked_again(shelf)
    shelf.end(run)

    assert (while_running, asked_again(shelf)) == (["gone"], ["gone"])
    assert len(shelf.headers(AT_PARKED)) == 1


@pytest.mark.parametrize("after_death", POLICIES)
def test_an_edit_that_comes_late_means_the_letter_that_there_was(after_death: DeadLetterPolicy) -> None:
    """It has died again meanwhile, tried as it was: that letter is another one, whose value nobody has judged."""
    shelf = morgue(after_death)
    want(shelf, "retry", (0, 0, 0))
    bury(shelf, done(shelf))

    assert asked_again(shelf) == ["gone"]
    assert shelf.log.since(shelf.place(AT_DLQ), 1)[0].value() == BEFORE


@pytest.mark.parametrize("after_death", POLICIES)
def test_of_two_edits_the_first_counts(after_death: DeadLetterPolicy) -> None:
    """Both operators saw the same letter."""
    shelf = morgue(after_death)
    edit(shelf, 0, 0, 0)
    run = done(shelf)
    second = edit(shelf, 0, 0, 0, value=LATER, name="two")
    meet(shelf)
    look(shelf.state)

    assert (payload(run), fates(second)) == (AFTER, ["gone"])


@pytest.mark.parametrize("after_death", POLICIES)
def test_an_edit_of_what_was_forgotten_does_nothing(after_death: DeadLetterPolicy) -> None:
    """There is no such letter any more, for the next owner either."""
    shelf = morgue(after_death)
    want(shelf, "forget", (0, 0, 0))
    meet(shelf)
    here = asked_again(shelf)
    shelf.commit()
    shelf.own(b"second")
    shelf.state.begin_chain()
    asked = edit(shelf, 0, 0, 0)
    wanted(shelf)
    look(shelf.state)

    assert (here, fates(asked)) == (["gone"], ["gone"])
    assert shelf.headers(AT_PARKED) == []


def test_a_letter_that_says_something_else_is_not_edited() -> None:
    """What was seen is replaced, and nothing that was not."""
    shelf = morgue()
    asked = edit(shelf, 0, 0, 0, was=b'{"seen":1}')
    moves = meet(shelf)[1]
    look(shelf.state)

    assert (moves, fates(asked)) == ([], ["gone"])
    assert shelf.state.chain.parts[AT_DLQ].outstanding == 1


def test_without_a_topic_to_run_from_an_edit_is_impossible() -> None:
    """A chain of dead letters alone: nothing is changed."""
    shelf = Shelf((DLQ,), policy=ONCE)
    (run,) = shelf.read((0, b"a"))
    shelf.take(shelf.decide(run))

    assert fates(edit(shelf, 0, 0, 0)) == ["impossible"]


# -- crashes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("after_death", POLICIES)
def test_after_a_crash_before_the_commit_the_edited_copy_counts(after_death: DeadLetterPolicy) -> None:
    """Its owner died once the broker had it: the successor runs the new value once, and the command does nothing."""
    shelf = morgue(after_death)
    shelf.commit()
    edit(shelf, 0, 0, 0)
    (), (move,) = meet(shelf)
    shelf.take(move)
    shelf.own(b"second")
    shelf.state.begin_chain()
    shelf.read((0, b"a"))
    shelf.state.reach(1)
    run = loaded(shelf)

    assert (payload(run), asked_again(shelf)) == (AFTER, ["gone"])
    assert shelf.state.chain.parts[AT_DLQ].outstanding == 0


def test_after_a_crash_before_the_copy_the_command_is_done_by_the_next_owner() -> None:
    """Nothing had moved."""
    shelf = morgue()
    shelf.commit()
    edit(shelf, 0, 0, 0)
    meet(shelf)
    shelf.own(b"second")
    shelf.state.begin_chain()
    shelf.read((0, b"a"))
    shelf.state.reach(1)
    edit(shelf, 0, 0, 0)

    assert payload(done(shelf)) == AFTER


def test_a_copy_that_comes_after_the_next_owner_has_begun_is_dead() -> None:
    """The letter is still there, and the next owner edits it: two copies of one edit, of which one runs."""
    shelf = morgue()
    shelf.commit()
    edit(shelf, 0, 0, 0)
    (), (late,) = meet(shelf)
    shelf.own(b"second")
    shelf.state.begin_chain()
    shelf.commit()
    assert isinstance(late, Move)
    shelf.append(late.number, late.header, b"a", AFTER)
    shelf.read((0, b"a"))
    shelf.state.reach(1)
    edit(shelf, 0, 0, 0)
    run = done(shelf)

    assert offsets([run]) == [[0]]
    assert len(shelf.headers(AT_PARKED)) == 2
    assert shelf.end(run) == []
    assert shelf.load(AT_PARKED) == ([], [])


# -- on the wire ----------------------------------------------------------------------------------------


def command(**changed: object) -> bytes:
    """An edit as it stands in the control topic, with what is *changed*."""
    letters = (Wanted(0, 0, 0),)
    right = Command(
        id="one", verb="edit", topic="orders", topic_id="t", partition=0, letters=letters, edit=Edit(AFTER, "")
    )
    return msgspec.json.encode(msgspec.to_builtins(right) | changed)


def test_a_command_brings_its_value_whatever_that_is() -> None:
    """Bytes that are no text come through the JSON of the control topic."""
    value = bytes(range(256))
    told = read_command(command(edit={"value": msgspec.to_builtins(value), "was": digest(None)}))

    assert told.edit == Edit(value, "")
    assert told.mending is not None
    assert told.mending.fits(make_message("t", 0, 0, value=None))
    assert told.size_bytes == 256


@pytest.mark.parametrize(
    "changed",
    [
        {"edit": None},
        {"verb": "retry"},
        {"verb": "forget"},
        {"letters": [[0, 0, 0], [1, 0, 0]]},
        {"edit": {"value": "not base64", "was": ""}},
        {"edit": {"value": "", "was": "no digest"}},
        {"edit": {"value": msgspec.to_builtins(b"x" * (MOST_VALUE + 1)), "was": ""}},
    ],
)
def test_an_edit_that_can_not_be_meant_is_no_command(changed: dict[str, object]) -> None:
    """It is told as misheard, and nothing is done."""
    with pytest.raises(LedgerError, match="no command"):
        read_command(command(**changed))


def test_a_program_of_before_does_not_take_an_edit_for_a_retry() -> None:
    """It knows two verbs, and no command of another: the letter is not tried as it was."""
    former = msgspec.defstruct("Former", [("verb", Literal["retry", "forget"]), ("letters", tuple[Wanted, ...])])

    assert msgspec.to_builtins(msgspec.json.decode(command(verb="retry"), type=former))["verb"] == "retry"
    with pytest.raises(msgspec.ValidationError, match="edit"):
        msgspec.json.decode(command(), type=former)


@pytest.mark.parametrize(
    "data",
    [
        None,
        b"",
        b"\xff",
        b"[" * 100_000,
        msgspec.json.encode(Edited(id="x", topic="orders", partition=0, offset=7, was="")),
        msgspec.json.encode(Edited(id="x", topic="others", partition=0, offset=0, was="")),
    ],
)
def test_a_mark_of_another_record_means_nothing(data: bytes | None) -> None:
    """As where a handler passed on the headers of a record that was edited, or somebody wrote rubbish."""
    assert edits_in([(EDITED_HEADER, data)], ORDERS, 0) == ()


def test_the_records_own_headers_stay_as_they_were() -> None:
    """Those under our names too; the mark comes behind them."""
    own: Headers = [("tenant", b"7"), ("streams-was-streams", b"not ours")]
    ours = header(0)
    copy = make_message("dlq", 0, 3, key=b"a", value=BEFORE, headers=[*own, ("streams", ours.pack())])
    again = original(mended(copy, Origin("orders", 0, 0, 5), Mending(Edit(AFTER, ""), "one", "ann", 1)), ours)
    headers = headers_of(again)

    assert unpack(copy.headers()) == ours
    assert headers[:2] == [("tenant", b"7"), ("streams", b"not ours")]
    assert [name for name, _ in headers[2:]] == [EDITED_HEADER]
    assert (again.key(), again.value(), again.offset()) == (b"a", AFTER, 0)
