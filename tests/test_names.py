"""Properties of every function of `gr`: it means what NumPy's does, differentiates, and takes symbolic sizes."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc as gr
from graphc.frontend.absent import ALTERNATIVES
from graphc.frontend.names import Names
from graphc.frontend.trace import trace_function
from graphc.ir.interp import evaluate
from graphc.ir.types import FROM_NUMPY, f64
from tests.name_cases import Case
from tests.name_cases_array import CASES
from tests.names import OTHERS, PATH, STANDARD, table

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")
BY_NAME = {name: [c for c in CASES if c.name == name] for name in dict.fromkeys(c.name for c in CASES)}
each_name = pytest.mark.parametrize("name", BY_NAME)
#: Relative error of float results against NumPy's.
CLOSE = {"f32": 3e-5, "f64": 1e-12}


def interpreted(case: Case, operands: list[Any]) -> Any:
    """The call on the interpreter."""
    return gr.interpret(case.call)(*operands)


def agree(got: Any, expected: Any, where: object) -> None:
    """Equal shapes, kinds and values; floats closely."""
    got, expected = np.asarray(got), np.asarray(expected)
    assert got.shape == expected.shape, where
    if got.dtype.kind == "f":
        tolerance = CLOSE[FROM_NUMPY[got.dtype].name]
        scale = np.max(np.abs(expected), initial=1.0, where=np.isfinite(expected))
        np.testing.assert_allclose(got, expected, tolerance, tolerance * scale, err_msg=str(where))
    else:
        np.testing.assert_array_equal(got, expected, err_msg=str(where))


def chosen(cases: list[Case], most: int | None) -> list[Case]:
    """All of some cases, or so many of them, evenly."""
    return cases if most is None else cases[:: -(-len(cases) // most) or 1]


def check_values(case: Case) -> None:
    """It means what NumPy's does, on every dtype."""
    for dtype in case.dtypes:
        operands = case.operands(dtype)
        agree(interpreted(case, operands), case.expected(*operands), (case, dtype))


def check_derivatives(case: Case) -> None:
    """The first and second are those of differences."""
    if case.smooth and f64 in case.dtypes and all(math.prod(s) for s in case.shapes):
        for order in (1, 2):
            gr.check_grads(case.call, *case.operands(f64), order=order)


def check_batches(case: Case) -> None:
    """`gr.vmap` is a loop."""
    if case.batches and case.shapes:
        rows = [case.operands(case.dtypes[0], seed) for seed in range(3)]
        got = gr.interpret(gr.vmap(case.call))(*map(np.stack, zip(*rows, strict=True)))
        agree(got, np.stack([interpreted(case, row) for row in rows]), case)


def check_compiled(case: Case) -> None:
    """Machine code gives what the interpreter does."""
    operands = case.operands(case.dtypes[sum(map(len, case.shapes)) % len(case.dtypes)])
    agree(gr.jit(case.call)(*operands), interpreted(case, operands), case)


def check_symbolic(case: Case) -> None:
    """A symbolic first axis changes nothing."""
    if case.symbolic and case.shapes and all(case.shapes):
        operands = case.operands(case.dtypes[0])
        size = case.shapes[0][0]
        types = {f"x{i}": FROM_NUMPY[x.dtype][symbolic(x.shape, size)] for i, x in enumerate(operands)}
        entry = trace_function(by_position(case), types, "f", Names(), None, None)
        agree(evaluate(entry.graph, operands, {}).outputs[0], interpreted(case, operands), case)


def by_position(case: Case) -> Callable[..., Any]:
    """The call, taking its operands by any names."""
    return lambda **operands: case.call(*operands.values())


def symbolic(shape: tuple[int, ...], size: int) -> tuple[int | str, ...]:
    """A shape whose first axis is N, if it has the size that N is."""
    return ("N", *shape[1:]) if shape and shape[0] == size else shape


@each_name
def test_a_name_keeps_its_properties(name: str) -> None:
    cases = BY_NAME[name]
    for check, most in ((check_values, 6), (check_derivatives, 2), (check_batches, 2), (check_symbolic, 2)):
        for case in chosen(cases, most):
            check(case)
    if len(name) % 3 == 0:
        check_compiled(cases[0])


@pytest.mark.slow
@each_name
def test_a_name_keeps_its_properties_in_every_case(name: str) -> None:
    for case in BY_NAME[name]:
        for check in (check_values, check_derivatives, check_batches, check_symbolic, check_compiled):
            check(case)


def test_the_table_of_names_is_current() -> None:
    assert PATH.read_text() == table(), "write it again: python -m tests.names"


def test_the_standards_names_are_there() -> None:
    assert len(set(STANDARD)) >= 130
    for name in STANDARD:
        operator.attrgetter(name)(gr)
    tested = {c.name for c in CASES} | {n for names, _ in OTHERS.values() for n in names.split()}
    errors_ = {n for n in gr.__all__ if issubclass(getattr(gr.errors, n, int), Exception)}
    assert set(gr.__all__) <= tested | errors_, "give it a case, or a group in tests/names.py"


@pytest.mark.parametrize("name", ALTERNATIVES)
def test_what_is_absent_names_its_alternative(name: str) -> None:
    with pytest.raises(gr.MissingNameError, match="help:"):
        getattr(gr, name)
    assert not hasattr(gr, name)
