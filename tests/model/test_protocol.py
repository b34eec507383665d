"""The page on the protocol names what is there, and nothing else."""

from __future__ import annotations

import ast
import importlib
import re
from functools import reduce
from pathlib import Path

import pytest

from tests.model.broken import Patch
from tests.model.test_model import CONTROLS, Control

TESTS = Path(__file__).parent.parent
PAGE = (TESTS.parent / "docs" / "PROTOCOL.md").read_text()
ROWS = {row.split("|")[1].strip(): row for row in PAGE.splitlines() if re.match(r"\| \d+ \|", row)}
_FUNCTION = re.compile(r"`(streams[\w.]+)(?::([\w.]+))?`")
_TEST = re.compile(r"`([\w/]+\.py)::(\w+)`")


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_every_function_on_the_page_exists(row: str) -> None:
    """Each rule is kept somewhere, and by what the page says."""
    named = _FUNCTION.findall(row)

    assert named
    for room, name in named:
        reduce(getattr, name.split(".") if name else [], importlib.import_module(room))


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_every_test_on_the_page_exists(row: str) -> None:
    """Each rule has a test or a control, by the name that the page gives."""
    tests = _TEST.findall(row)
    controls = re.findall(r"\[([^]]+)\]", row)

    assert tests or controls
    assert [name for file, name in tests if f"def {name}(" not in (TESTS / file).read_text()] == []
    assert set(controls) <= {control.rule for control in CONTROLS}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_every_rule_is_switched_off_somewhere(row: str) -> None:
    """The last column has a control of the model, or a test named for what it leaves out, which does leave it out."""
    cell = row.split("|")[5]
    controls, tests = re.findall(r"\[([^]]+)\]", cell), _TEST.findall(cell)

    assert controls or tests
    assert [name for _, name in tests if not name.startswith("test_without_")] == []
    assert [name for file, name in tests if "monkeypatch" not in _parameters(file, name)] == []


def test_no_rule_is_missing() -> None:
    """All of them are on the page."""
    assert [number for number in range(1, 23) if str(number) not in ROWS] == []


@pytest.mark.parametrize("control", CONTROLS, ids=lambda control: control.rule)
def test_every_control_leaves_out_what_the_page_names(control: Control) -> None:
    """A control stands beside its rule, and what it takes out is what the page says keeps that rule."""
    row = ROWS[control.rule.split()[0]]

    assert f"[{control.rule}]" in row
    assert [patch for patch in control.patches if f"`{_full_name(patch)}`" not in row] == []


def _parameters(file: str, name: str) -> list[str]:
    """Give the parameters of the test *name*."""
    tree = ast.parse((TESTS / file).read_text())
    return [
        parameter.arg
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.name == name
        for parameter in node.args.args
    ]


def _full_name(patch: Patch) -> str:
    if isinstance(patch.room, type):
        return f"{patch.room.__module__}:{patch.room.__name__}.{patch.name}"
    return f"{patch.room.__name__}:{patch.name}"
