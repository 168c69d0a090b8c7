"""Properties of every function of `gr`: it means what NumPy's does, differentiates, and takes symbolic sizes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc as gr
from graphc.frontend.names import Names
from graphc.frontend.trace import trace_function
from graphc.ir.interp import evaluate
from graphc.ir.types import FROM_NUMPY, f64
from tests.name_cases import CASES, Case

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


@each_name
def test_it_means_what_numpys_does(name: str) -> None:
    for case in BY_NAME[name]:
        for dtype in case.dtypes:
            operands = case.operands(dtype)
            agree(interpreted(case, operands), case.expected(*operands), (case, dtype))


@each_name
def test_derivatives_are_those_of_differences(name: str) -> None:
    for case in BY_NAME[name]:
        if case.smooth and f64 in case.dtypes and all(np.prod(s) for s in case.shapes):
            for order in (1, 2):
                gr.check_grads(case.call, *case.operands(f64), order=order)


@each_name
def test_compiled_it_is_what_is_interpreted(name: str) -> None:
    for case in BY_NAME[name][:: max(len(BY_NAME[name]) // 3, 1)]:
        operands = case.operands(case.dtypes[len(case.shapes[0]) % len(case.dtypes)])
        agree(gr.jit(case.call)(*operands), interpreted(case, operands), case)


@each_name
def test_a_symbolic_axis_changes_nothing(name: str) -> None:
    for case in [c for c in BY_NAME[name] if c.symbolic and all(c.shapes)][:6]:
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
