"""What earlier owners left in the chain: which copies count, which are dead, and whose keys nobody may touch."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.engine import chainstate
from streams.engine.chain import HEADER, Alike, CopyHeader, FirstHeaders, read
from streams.engine.policy import DeadLetterPolicy
from streams.engine.replay import Before, Undone
from streams.engine.snapshot import decode
from streams.errors import ChainError, DecodeError
from streams.kafka.consumer import Stored
from streams.record import Headers
from tests.engine.shelf import Shelf, header, offsets
from tests.engine.stage import AT_DLQ, AT_MINUTE, AT_PARKED, AT_TEN_MINUTES, MINUTE, ORDERS, PARKED


@pytest.fixture
def shelf() -> Shelf:
    """A partition whose first owner has committed once."""
    shelf = Shelf()
    shelf.commit()
    return shelf


def outstanding(shelf: Shelf) -> dict[int, list[int]]:
    """By topic: the offsets that need work."""
    return {
        number: [offset for offset in range(part.end) if part.is_outstanding(offset)]
        for number, part in enumerate(shelf.state.chain.parts)
        if part.outstanding
    }


# -- rule 12: the fence ---------------------------------------------------------------------------------


def test_what_the_committed_owner_sent_counts(shelf: Shelf) -> None:
    """Copies above the end of its scan that carry its assignment id are found by its successor."""
    shelf.append(AT_MINUTE, header(3))
    shelf.append(AT_PARKED, header(4))
    state = shelf.own(b"second")

    assert outstanding(shelf) == {AT_MINUTE: [0], AT_PARKED: [0]}
    assert [origin for origin, _ in state.chain.index[b"a"].entries()] == [3, 4]
    assert state.chain.fenced == 0


def test_what_came_after_the_successors_scan_is_dead(shelf: Shelf) -> None:
    """A request of a former owner that arrives late is dead to the successor's successor."""
    shelf.own(b"second")
    shelf.commit()
    shelf.append(AT_PARKED, header(4, by=b"first"))
    shelf.append(AT_PARKED, header(5, by=b"second"))
    state = shelf.own(b"third")

    assert outstanding(shelf) == {AT_PARKED: [1]}
    assert list(dict(state.chain.index[b"a"].entries())) == [5]
    assert state.chain.fenced == 1


def test_what_an_owner_sent_that_never_committed_is_dead(shelf: Shelf) -> None:
    """Until its first commit nothing says that it was the owner."""
    shelf.own(b"second")
    shelf.append(AT_PARKED, header(5, by=b"second"))
    shelf.own(b"third")

    assert outstanding(shelf) == {}


def test_what_the_scan_found_counts_whoever_sent_it(shelf: Shelf) -> None:
    """Below the committed end of the scan the index decided, and the ledger says what of it is left."""
    shelf.append(AT_PARKED, header(4, by=b"first"))
    shelf.own(b"second")
    shelf.commit()
    shelf.own(b"third")

    assert outstanding(shelf) == {AT_PARKED: [0]}


def test_what_is_settled_stays_settled(shelf: Shelf) -> None:
    """Copies that the committed ledger has settled are not found again."""
    for origin in (3, 4, 5):
        shelf.append(AT_PARKED, header(origin))
    state = shelf.own(b"second")
    state.chain.parts[AT_PARKED].settle(1)
    shelf.commit()
    shelf.own(b"third")

    assert outstanding(shelf) == {AT_PARKED: [0, 2]}


def scanned(shelf: Shelf, *, all_in_full: bool) -> tuple[object, ...]:
    """What a new owner finds; *all_in_full*: with every header read as if it were the only one."""
    with pytest.MonkeyPatch.context() as patch:
        if all_in_full:
            patch.setattr(Alike, "see", lambda *_: None)
        chain = shelf.own(b"third").chain
    index = {key: list(backlog.entries()) for key, backlog in chain.index.items()}
    return index, outstanding(shelf), chain.fenced, chain.seen_until


COPIES = st.lists(
    st.tuples(
        st.sampled_from([AT_MINUTE, AT_PARKED, AT_DLQ]),
        st.integers(0, 30),
        st.integers(1, 12),
        st.sampled_from([b"first", b"second"]),
        st.sampled_from([b"a", b"b", None]),
        st.booleans(),
    ),
    max_size=6,
)


@given(rows=COPIES, settled=st.lists(st.integers(0, 12)), after_death=st.sampled_from(["continue", "hold"]))
def test_copies_that_are_alike_are_found_as_any_others(
    rows: list[tuple[int, int, int, bytes, bytes | None, bool]], settled: list[int], after_death: DeadLetterPolicy
) -> None:
    """A scan reads rows of copies by what they have in common: what it finds is what it finds one by one."""
    shelf = Shelf(after_death=after_death)
    shelf.commit()
    for number, origin, count, by, key, moves in rows:
        for one in range(origin, origin + count):
            made = header(one, by=by, hop=2 if moves and one == origin else 1)
            packed = FirstHeaders(made).pack(made.offset, made.timestamp_ms) if made.hop == 1 else made.pack()
            shelf.log.append(shelf.place(number), key, b"", [(HEADER, packed)])
    state = shelf.own(b"second")
    for offset in settled:
        state.chain.parts[AT_MINUTE].settle(offset)
    shelf.commit()
    for number, origin, count, by, key, _ in rows[:2]:
        headers = FirstHeaders(header(0, by=by))
        for one in range(origin, origin + count):
            shelf.log.append(shelf.place(number), key, b"", [(HEADER, headers.pack(one, 0))])

    assert scanned(shelf, all_in_full=False) == scanned(shelf, all_in_full=True)


def test_copies_in_a_row_are_read_by_what_they_have_in_common(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a thousand that failed alike, a few are read in full."""
    headers = FirstHeaders(header(0))
    for origin in range(1_000):
        shelf.log.append(shelf.place(AT_MINUTE), b"%d" % origin, b"", [(HEADER, headers.pack(origin, 0))])
    read_in_full: list[bytes] = []

    def read_header(data: bytes) -> CopyHeader:
        read_in_full.append(data)
        return read(data)

    monkeypatch.setattr(chainstate, "read_header", read_header)
    state = shelf.own(b"second")

    assert len(state.chain.index) == 1_000
    assert len(read_in_full) < 100


def test_two_kinds_of_failures_that_take_turns_are_not_expected_for_long(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What never comes to anything is tried a few times in a batch."""
    kinds = [FirstHeaders(header(0, error=error)) for error in ("TimeoutError", "ConnectError")]
    for origin in range(1_000):
        packed = kinds[origin % 2].pack(origin, 0)
        shelf.log.append(shelf.place(AT_MINUTE), b"%d" % origin, b"", [(HEADER, packed)])
    tries: list[bytes] = []
    like = FirstHeaders.like

    def counted(header: CopyHeader, packed: bytes) -> FirstHeaders | None:
        tries.append(packed)
        return like(header, packed)

    monkeypatch.setattr(FirstHeaders, "like", counted)
    state = shelf.own(b"second")

    assert len(state.chain.index) == 1_000
    assert len(tries) < 10


# -- rule 4: one live copy -------------------------------------------------------------------------------


def test_the_highest_hop_is_the_live_copy(shelf: Shelf) -> None:
    """Of several copies of a record one counts, and the others are settled in the same snapshot."""
    shelf.append(AT_MINUTE, header(3, hop=1))
    shelf.append(AT_PARKED, header(3, hop=3))
    shelf.append(AT_TEN_MINUTES, header(3, hop=2))
    shelf.own(b"second")

    assert outstanding(shelf) == {AT_PARKED: [0]}


def test_two_copies_of_one_hop_have_one_winner(shelf: Shelf) -> None:
    """Ties are decided by a fixed order, so that every owner decides alike."""
    shelf.append(AT_PARKED, header(3))
    shelf.append(AT_PARKED, header(3))
    shelf.append(AT_MINUTE, header(3))
    shelf.own(b"second")
    first = outstanding(shelf)
    shelf.own(b"third")

    assert first == {AT_PARKED: [1]}
    assert outstanding(shelf) == first


def test_a_copy_settles_the_one_it_was_made_from(shelf: Shelf) -> None:
    """Where the copy before stood, nothing is left to do, in whatever order the topics are scanned."""
    shelf.append(AT_PARKED, header(3))
    shelf.append(AT_MINUTE, header(3, hop=2, left=(PARKED.topic, 0)))
    shelf.append(AT_MINUTE, header(4))
    shelf.append(AT_PARKED, header(4, hop=2, left=(MINUTE.topic, 1)))
    shelf.own(b"second")

    assert outstanding(shelf) == {AT_MINUTE: [0], AT_PARKED: [1]}


def test_a_copy_may_name_one_that_its_log_has_lost(shelf: Shelf) -> None:
    """The topic that it left was cut or made anew: there is nothing to settle, and the copy counts."""
    shelf.append(AT_MINUTE, header(3, hop=2, left=(PARKED.topic, 500)))
    shelf.own(b"second")

    assert outstanding(shelf) == {AT_MINUTE: [0]}


# -- rule 5: the source comes again -----------------------------------------------------------------------


def test_a_source_record_whose_copy_is_there_does_not_run(shelf: Shelf) -> None:
    """It is settled, and its copy runs in its stead."""
    shelf.append(AT_PARKED, header(1))
    state = shelf.own(b"second")
    runs = shelf.read((0, b"a"), (1, b"a"), (2, b"b"))

    assert offsets(runs) == [[2], [0]]
    assert state.ledger.committable == 0
    shelf.end(*runs)
    assert state.ledger.committable == 3
    assert offsets(shelf.load(AT_PARKED)[0]) == [[1]]


# -- rule 16: dead letters end records ---------------------------------------------------------------------


def test_a_dead_letter_ends_its_record(shelf: Shelf) -> None:
    """The source has it open and the letter is there: it does not run again, and the key goes on."""
    shelf.append(AT_DLQ, header(1))
    state = shelf.own(b"second")
    runs = shelf.read((0, b"a"), (1, b"a"), (2, b"a"))

    assert offsets(runs) == [[0, 2]]
    assert state.chain.index == {}


def test_a_dead_letter_ends_its_record_for_every_owner(shelf: Shelf) -> None:
    """An owner that dies before it reads the record leaves behind that it has ended."""
    shelf.append(AT_DLQ, header(1))
    shelf.own(b"second")
    shelf.commit()
    shelf.own(b"third")

    assert offsets(shelf.read((0, b"a"), (1, b"a"), (2, b"a"))) == [[0, 2]]


def test_a_dead_letter_settles_the_copy_it_was_made_from(shelf: Shelf) -> None:
    """A record that died out of a tier is not found there again."""
    shelf.append(AT_TEN_MINUTES, header(1))
    shelf.append(AT_DLQ, header(1, hop=2, left=(PARKED.topic, 7)))
    shelf.own(b"second")

    assert outstanding(shelf) == {AT_DLQ: [0]}


def test_a_late_dead_letter_ends_nothing(shelf: Shelf) -> None:
    """One that a former owner's request brought after its successor's scan is dead itself."""
    shelf.own(b"second")
    shelf.commit()
    shelf.append(AT_DLQ, header(1, by=b"first"))
    shelf.own(b"third")

    assert offsets(shelf.read((0, b"a"), (1, b"a"))) == [[0, 1]]


@pytest.mark.parametrize("after_death", ["hold", "follow"])
def test_a_dead_letter_blocks_its_key(after_death: str) -> None:
    """Under the other policies nothing younger of the key runs, and what is older does."""
    shelf = Shelf(after_death=after_death)  # type: ignore[arg-type]  # one of the words
    shelf.commit()
    shelf.append(AT_DLQ, header(1))
    state = shelf.own(b"second")
    runs = shelf.read((0, b"a"), (1, b"a"), (2, b"a"), (3, b"b"))

    assert offsets(runs) == [[3], [0]]
    assert shelf.end(*runs) == []
    assert state.chain.blocked == 1


def test_a_person_may_put_records_among_the_dead_letters(shelf: Shelf) -> None:
    """What is no copy of ours there ends nothing and stops nobody."""
    shelf.log.append(shelf.place(AT_DLQ), b"a", b"{}")
    shelf.append(AT_DLQ, header(1, topic_id="an-earlier-topic"))
    shelf.append(AT_DLQ, header(1, group="shipping"))
    state = shelf.own(b"second")

    assert offsets(shelf.read((0, b"a"), (1, b"a"))) == [[0, 1]]
    assert state.chain.index == {}


# -- rule 17: what can't be known ----------------------------------------------------------------------------


def forget(shelf: Shelf, number: int, metadata: str = "") -> None:
    """The metadata of a topic's commit is gone."""
    place = shelf.place(number)
    shelf.stored[place] = Stored(shelf.stored[place].offset, metadata)


def suspected(shelf: Shelf) -> list[object]:
    """Keys that nobody may touch."""
    return [key for key, backlog in shelf.state.chain.index.items() if backlog.is_suspect]


def test_without_metadata_what_the_source_has_settled_is_suspect(shelf: Shelf) -> None:
    """Nobody knows whether those copies were finished: their keys wait, and the others go on."""
    shelf.end(*shelf.read((0, b"a"), (1, b"c"), (2, b"c")))
    shelf.commit()
    shelf.append(AT_PARKED, header(1))
    shelf.append(AT_PARKED, header(5), b"b")
    forget(shelf, AT_PARKED)
    shelf.own(b"second")
    runs = shelf.read((3, b"a"), (4, b"c"), (5, b"b"), (6, b"b"))

    assert suspected(shelf) == [b"a"]
    assert offsets(runs) == [[4]]
    assert offsets(shelf.load(AT_PARKED)[0]) == [[5]]


def test_what_is_suspect_stays_so_for_the_next_owner(shelf: Shelf) -> None:
    """Only an operator lets it run: that another member owns it now tells nobody what became of it."""
    shelf.end(*shelf.read((0, b"a"), (1, b"a"), (2, b"a")))
    shelf.commit()
    shelf.append(AT_PARKED, header(1))
    forget(shelf, AT_PARKED)
    shelf.own(b"second")
    before = suspected(shelf)
    shelf.commit()
    shelf.own(b"third")

    assert before == [b"a"]
    assert suspected(shelf) == [b"a"]


def test_a_topic_without_a_commit_is_scanned_from_its_start(shelf: Shelf) -> None:
    """And never from its end: what stands there may be somebody's only copy."""
    shelf.append(AT_PARKED, header(1))
    del shelf.stored[shelf.place(AT_PARKED)]
    shelf.own(b"second")

    assert outstanding(shelf) == {AT_PARKED: [0]}
    assert suspected(shelf) == []


def test_dead_letters_make_no_key_suspect() -> None:
    """That the source has settled their records is what they are."""
    shelf = Shelf(after_death="hold")
    shelf.end(*shelf.read((0, b"a"), (1, b"a")))
    shelf.commit()
    shelf.append(AT_DLQ, header(0))
    forget(shelf, AT_DLQ)
    shelf.own(b"second")

    assert suspected(shelf) == []


@pytest.mark.parametrize(
    ("strange", "why"),
    [
        (header(1, group="shipping"), "group 'shipping'"),
        (header(1, topic_id="an-earlier-topic"), "an earlier topic of the same name"),
    ],
    ids=["group", "topic"],
)
def test_copies_of_others_stop_the_chain(strange: object, why: str, shelf: Shelf) -> None:
    """Names of chain topics can collide: nothing is run, settled or moved, and the place is told."""
    shelf.append(AT_PARKED, strange)  # type: ignore[arg-type]  # a header

    with pytest.raises(ChainError, match=rf"orders\.billing\.parked/0/0: a copy that belongs to {why}"):
        shelf.own(b"second")


def test_a_record_that_is_no_copy_stops_the_chain(shelf: Shelf) -> None:
    """Somebody writes into a topic that is ours alone."""
    shelf.log.append(shelf.place(AT_MINUTE), b"a", b"{}")

    with pytest.raises(ChainError, match="no copy that streams wrote"):
        shelf.own(b"second")


def test_a_record_whose_headers_the_client_can_not_read_is_no_copy(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Among the dead letters it stops nobody; in a topic that is ours alone it does, in words."""

    def unreadable(_message: object) -> Headers:
        raise DecodeError("the name of one of its headers is not UTF-8")

    monkeypatch.setattr("streams.engine.chainstate.headers_of", unreadable)
    shelf.log.append(shelf.place(AT_DLQ), b"a", b"{}")
    shelf.own(b"second")
    shelf.log.append(shelf.place(AT_PARKED), b"a", b"{}")

    with pytest.raises(ChainError, match="not UTF-8"):
        shelf.own(b"third")


# -- what is committed -----------------------------------------------------------------------------------


def test_one_request_holds_the_source_and_its_whole_chain(shelf: Shelf) -> None:
    """Rule 13: every ledger of a partition, the source's first, and each with the fence of this owner."""
    shelf.append(AT_PARKED, header(1))
    state = shelf.own(b"second")
    request, is_complete = state.snapshots()
    ends = {}
    for entry in request[1:]:
        snapshot = decode(entry.metadata)
        assert snapshot is not None
        assert snapshot.assignment_id == b"second"
        ends[entry.partition.topic] = snapshot.scan_end

    assert is_complete
    assert [entry.partition for entry in request] == [ORDERS, *map(shelf.place, range(4))]
    assert [ends[shelf.stages[number].topic] for number in range(4)] == [0, 0, 1, 0]


def test_a_topic_that_was_cut_is_read_from_its_start(shelf: Shelf) -> None:
    """Where the log ends before what is committed, the commit is of another log."""
    for origin in range(5):
        shelf.append(AT_PARKED, header(origin))
    shelf.own(b"second")
    shelf.commit()
    shelf.stored[shelf.place(AT_PARKED)] = Stored(4, shelf.stored[shelf.place(AT_PARKED)].metadata)
    shelf.log.records[shelf.place(AT_PARKED)] = []
    shelf.append(AT_PARKED, header(9))
    state = shelf.own(b"third")

    assert outstanding(shelf) == {AT_PARKED: [0]}
    assert state.chain.expired[AT_PARKED] == 3


# -- replays (22) -------------------------------------------------------------------------------------------------


def test_a_dead_letter_ends_its_record_within_its_own_replay_only(shelf: Shelf) -> None:
    """One from before the replay, of which nobody knows how far it was scanned, has ended what came before it."""
    shelf.append(AT_DLQ, header(3))
    shelf.append(AT_DLQ, header(4, replay_id="r1"))
    shelf.append(AT_DLQ, header(5, replay_id="r0"), b"b")
    state = shelf.own(b"second", "r1")

    assert {origin for origin in range(9) if state.ledger.was_settled(origin)} == {4}
    assert state.chain.index == {}
    assert state.chain.parts[AT_DLQ].outstanding == 3


@pytest.mark.parametrize("number", [AT_MINUTE, AT_PARKED, AT_DLQ])
def test_what_is_undone_takes_its_copies_of_what_had_settled_along(shelf: Shelf, number: int) -> None:
    """Those of the replay, of records that had; not those from before it, of another one, or that had not settled."""
    for origin, replay_id in ((1, "r1"), (2, ""), (3, "r0"), (8, "r1"), (6, "r1")):
        shelf.append(number, header(origin, replay_id=replay_id), b"k%d" % origin)
    state = shelf.own(b"second", undone=Undone("r1", Before(5, (range(6, 7),))))
    shelf.commit()
    later = shelf.own(b"third")

    assert state.chain.parts[number].outstanding == later.chain.parts[number].outstanding == 3


def test_dead_letters_are_undone_wherever_they_were_scanned(shelf: Shelf) -> None:
    """How far they were scanned is committed, and says nothing of whether they are undone."""
    shelf.append(AT_DLQ, header(1, replay_id="r1"))
    shelf.append(AT_DLQ, header(2))
    shelf.own(b"first", "r1")
    shelf.commit()
    state = shelf.own(b"second", undone=Undone("r1", Before(9)))

    assert state.chain.parts[AT_DLQ].outstanding == 1


def test_what_fails_in_a_replay_says_so_wherever_it_goes(shelf: Shelf) -> None:
    """In its first copy and in those made from it; what stood there before the replay says nothing of it."""
    shelf.append(AT_MINUTE, header(7))
    shelf.own(b"first", "r1")
    (run,) = shelf.read((0, b"b"))
    shelf.take(shelf.fail(shelf.retry(run)))
    shelf.clock.advance(60)
    runs, _ = shelf.load(AT_MINUTE)
    shelf.take(shelf.fail(runs[0]))

    assert [(one.offset, one.hop, one.replay_id) for one in shelf.headers(AT_MINUTE)] == [(7, 1, ""), (0, 1, "r1")]
    assert [(one.offset, one.hop, one.replay_id) for one in shelf.headers(AT_TEN_MINUTES)] == [(0, 2, "r1")]


def test_without_their_replay_undone_copies_would_run_again(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: nobody can tell them from what waits."""
    monkeypatch.setattr(Undone, "has", lambda *_: False)
    shelf.append(AT_MINUTE, header(1, replay_id="r1"))
    state = shelf.own(b"second", undone=Undone("r1", Before(5)))

    assert state.chain.parts[AT_MINUTE].outstanding == 1
