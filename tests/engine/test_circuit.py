"""A circuit lets all pass, nothing, or a few that try."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.engine.circuit import Circuit, Probe, Verdict

WAIT_S = 30.0
RUN_S = 10.0


def half_open(probes: int = 3, *, wait_s: float | None = WAIT_S) -> Circuit:
    """A circuit that was opened at 0 and whose wait is over."""
    circuit = Circuit(wait_s=wait_s, probes=probes)
    circuit.open(0, "down")
    circuit.look(WAIT_S)
    return circuit


def try_all(circuit: Circuit, *verdicts: Verdict, now_s: float = WAIT_S) -> None:
    """Let one probe after the other, and hear what it says."""
    for verdict in verdicts:
        circuit.end(circuit.let(now_s, RUN_S), verdict, now_s)


def test_a_new_circuit_is_closed() -> None:
    """Nothing is known against anybody; probes are for those that stand still."""
    circuit = Circuit(wait_s=WAIT_S, probes=3)

    assert circuit.is_closed
    assert (circuit.state, circuit.room, circuit.why) == ("closed", 0, "")


def test_an_open_one_lets_nothing_pass_until_its_wait_is_over() -> None:
    """Then, and no sooner, there is room for its probes."""
    circuit = Circuit(wait_s=WAIT_S, probes=3)
    circuit.open(5, "down")
    seen = []
    for now_s in (5, 34.9, 35):
        circuit.look(now_s)
        seen.append((circuit.state, circuit.room))

    assert seen == [("open", 0), ("open", 0), ("half_open", 3)]


def test_one_without_a_wait_stays_open_until_it_is_closed() -> None:
    """Nobody tries by himself where an operator is to decide."""
    circuit = half_open(wait_s=None)
    circuit.look(1e12)
    before = circuit.state
    circuit.close("an operator said so")

    assert before == "open"
    assert (circuit.state, circuit.why) == ("closed", "an operator said so")


@pytest.mark.parametrize(
    ("probes", "verdicts", "state"),
    [
        (1, ["well"], "closed"),
        (1, ["failed"], "open"),
        (2, ["well"], "half_open"),
        (2, ["well", "well"], "closed"),
        (2, ["failed"], "open"),
        (2, ["well", "failed"], "open"),
        (3, ["well", "failed"], "half_open"),
        (3, ["failed", "well", "well"], "closed"),
        (3, ["well", "failed", "failed"], "open"),
        (3, ["failed", "failed"], "open"),
        (3, ["void", "void", "void", "void"], "half_open"),
        (3, ["void", "well", "void", "well"], "closed"),
    ],
)
def test_the_majority_of_the_probes_decides(probes: int, verdicts: list[Verdict], state: str) -> None:
    """It is told as soon as it stands; who has nothing to say is replaced, and one bad record decides nothing."""
    circuit = half_open(probes)
    try_all(circuit, *verdicts)

    assert circuit.state == state


def test_a_failed_trial_waits_again() -> None:
    """The wait after it is the whole one, from its end."""
    circuit = half_open()
    try_all(circuit, "failed", "failed", now_s=40)
    circuit.look(69.9)
    before = circuit.state
    circuit.look(70)

    assert (before, circuit.state, circuit.room) == ("open", "half_open", 3)


def test_no_more_probes_are_under_way_than_there_may_be() -> None:
    """Room is what is left of them, whether they run or have ended."""
    circuit = half_open()
    first, _ = circuit.let(WAIT_S, RUN_S), circuit.let(WAIT_S, RUN_S)
    taken = circuit.room
    circuit.end(first, "well", WAIT_S)

    assert (taken, circuit.room) == (1, 1)


def test_a_probe_that_does_not_end_has_failed() -> None:
    """What is down often just does not answer: the time of a run is the time of a probe."""
    circuit = half_open()
    circuit.let(WAIT_S, RUN_S)
    circuit.let(WAIT_S + 1, RUN_S)
    seen = []
    for now_s in (39, 40, 41):
        circuit.look(now_s)
        seen.append(circuit.state)

    assert seen == ["half_open", "half_open", "open"]


def test_a_probe_of_an_earlier_trial_says_nothing() -> None:
    """What began before the wait tells of the time before it; nor is it counted twice."""
    circuit = half_open()
    stale = circuit.let(WAIT_S, RUN_S)
    try_all(circuit, "failed", "failed")
    circuit.look(2 * WAIT_S)
    for verdict in ("failed", "failed", "well", "well"):
        circuit.end(stale, verdict, 2 * WAIT_S)
    fresh = circuit.let(2 * WAIT_S, RUN_S)
    for _ in range(2):
        circuit.end(fresh, "well", 2 * WAIT_S)

    assert (circuit.state, circuit.room) == ("half_open", 2)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["open", "close", "let", "let", "end", "end", "look"]),
        st.sampled_from(["well", "failed", "void"]),
        st.integers(0, 9),
        st.floats(0, 20),
    ),
    max_size=60,
)


@given(probes=st.integers(1, 5), steps=STEPS)
def test_it_never_lets_more_pass_than_it_may(probes: int, steps: list[tuple[str, Verdict, int, float]]) -> None:
    """Whatever happens in whatever order: room only while half-open, never negative, and bounded by the probes."""
    circuit = Circuit(wait_s=10, probes=probes)
    now_s, let = 0.0, list[Probe]()
    for what, verdict, pick, elapsed_s in steps:
        now_s += elapsed_s
        before = circuit.state
        match what:
            case "open":
                circuit.open(now_s, "down")
            case "close":
                circuit.close("well")
            case "let" if circuit.room:
                let.append(circuit.let(now_s, RUN_S))
            case "end" if let:
                circuit.end(let[pick % len(let)], verdict, now_s)
            case "look":
                circuit.look(now_s)

        assert 0 <= circuit.room <= probes
        assert circuit.room == 0 or circuit.state == "half_open"
        assert not (before == "open" and circuit.state == "closed" and what != "close")
        assert not (before == "closed" and circuit.state != "closed" and what != "open")
