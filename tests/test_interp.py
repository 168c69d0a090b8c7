"""The interpreter: binding of symbols, evaluation, and the float64 shadow's bound."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from graphc import ops
from graphc.autodiff import gradients
from graphc.errors import DTypeError, InternalError, ShapeError
from graphc.ir import build
from graphc.ir.binding import bind_symbols
from graphc.ir.dim import maximum, symbol
from graphc.ir.graph import Graph
from graphc.ir.interp import evaluate, evaluate_nodes, shadow
from graphc.ir.node import Array, Input, Node, Read, Scope
from graphc.ir.types import TensorType, f32, f64, i32
from tests.op_cases import CASES, ELEMENTWISE, Case, dtypes, inputs, label

N, T = symbol("N"), symbol("T")


def parameters(*types: TensorType) -> list[Node]:
    """Inputs of some types, in a scope of their own."""
    scope = Scope()
    return [scope.typed(Input(f"x{i}"), t) for i, t in enumerate(types)]


@pytest.mark.parametrize(
    ("types", "shapes", "values"),
    [
        ((f32[N, 4],), ((3, 4),), {"N": 3}),
        ((f32[2 * N + 1], f32[N]), ((7,), (3,)), {"N": 3}),
        ((f32[2 * N + 1],), ((7,),), {"N": 3}),
        ((f32[N * T], f32[T]), ((6,), (2,)), {"N": 3, "T": 2}),
        ((f32[N, T], f32[maximum(N, T)]), ((2, 5), (5,)), {"N": 2, "T": 5}),
        ((f32[()],), ((),), {}),
    ],
)
def test_symbols_are_bound_from_shapes(types: Any, shapes: Any, values: dict[str, int]) -> None:
    assert bind_symbols(parameters(*types), [np.zeros(s, np.float32) for s in shapes]) == values


@pytest.mark.parametrize(
    ("types", "shapes", "message"),
    [
        ((f32[N, 4],), ((3, 5),), r"expected f32\[N,4\], got an array of shape \(3, 5\)"),
        ((f32[N], f32[N]), ((3,), (4,)), "argument x1: dimension N is 4, but N = 3 elsewhere"),
        ((f32[2 * N],), ((5,),), "no value of the dimension"),
        ((f32[symbol("M", min=1)],), ((0,),), "declared at least 1"),
        ((f32[symbol("M", max=8)],), ((9,),), "at most 8"),
        ((f32[symbol("M", multiple_of=4)],), ((6,),), "a multiple of 4"),
        ((f32[N],), (), "1 arguments expected, got 0"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(types: Any, shapes: Any, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        bind_symbols(parameters(*types), [np.zeros(s, np.float32) for s in shapes])


def test_a_wrong_dtype_is_refused() -> None:
    with pytest.raises(DTypeError, match=r"argument x0: expected f32\[3\]"):
        bind_symbols(parameters(f32[3]), [np.zeros(3)])


def test_outputs_and_updates() -> None:
    scope = Scope()
    x, w = scope.typed(Input("x"), f32[N]), scope.typed(Read("w"), TensorType(f32))
    total = build.sum_(x, (0,)) + w
    graph = Graph("step", scope, (x,), (total, x), (("w", total * 2.0), ("fresh", total)))
    result = evaluate(graph, [np.array([1, 2, 3], np.float32)], {"w": np.array(10, np.float32)})
    assert [o.tolist() for o in result.outputs] == [16.0, [1.0, 2.0, 3.0]]
    assert {k: v.tolist() for k, v in result.updates.items()} == {"w": 32.0, "fresh": 16.0}


def test_symbolic_attributes_are_bound() -> None:
    scope = Scope()
    x = scope.typed(Input("x"), f32[N, 2])
    y = build.reshape(x, (2 * N,))
    z = build.slice_(y, (N,), (2 * N,)) + build.cast(build.iota(scope, i32, (N,), 0), f32)
    graph = Graph("f", scope, (x,), (z, build.pad(z, 7.0, (N,), (0,))))
    first, second = evaluate(graph, [np.array([[1, 2], [3, 4], [5, 6]], np.float32)], {}).outputs
    assert first.tolist() == [4.0, 6.0, 8.0]
    assert second.tolist() == [7.0, 7.0, 7.0, 4.0, 6.0, 8.0]


def test_inner_values_can_be_given() -> None:
    scope = Scope()
    x = scope.typed(Input("x"), TensorType(f64))
    h = build.exp(x)
    assert evaluate_nodes([h * 2.0, h], {h: np.asarray(4.0)}) == [8.0, 4.0]


def test_a_wrong_meaning_is_an_internal_error() -> None:
    class Narrow(ops.Exp):
        def eval(self, *operands: Array) -> Array:
            return np.exp(operands[0]).astype(np.float32)

    (x,) = parameters(f64[2])
    with pytest.raises(InternalError, match="evaluates to float32"):
        evaluate_nodes([x.scope.node(Narrow(), x)], {x: np.zeros(2)})


@pytest.mark.parametrize("case", [c for c in (*ELEMENTWISE, *CASES) if f32 in dtypes(c.op)], ids=label)
def test_the_shadow_bounds_float32_evaluation(case: Case) -> None:
    """Each op after a chain that rounds, so that its operands carry bounds: float32 stays within them of float64."""
    rng = np.random.default_rng(11)
    operands = case.operands(rng, f32)
    scope = Scope()
    xs = inputs(scope, operands)
    noisy = [(x * 1.1 / 1.1) + 0.0 if x.type.dtype.is_float else x for x in xs]
    y = scope.node(case.op, *noisy)
    graph = Graph("f", scope, tuple(xs), (y,))
    got = evaluate(graph, operands, {}).outputs[0]
    ((value, bound),) = shadow(graph, operands, {})
    assert value.shape == bound.shape == got.shape
    with np.errstate(all="ignore"):
        within = (np.abs(got.astype(np.float64) - value) <= bound) | (got == value) | (np.isnan(got) & np.isnan(value))
    assert within.all()


def test_the_shadow_is_tight_where_all_is_smooth() -> None:
    scope = Scope()
    x, w = scope.typed(Input("x"), f32[N, 64]), scope.typed(Input("w"), f32[64, 8])
    y = build.tanh(build.dot_general(x, w, (1,), (0,)))
    rng = np.random.default_rng(0)
    operands = [rng.normal(size=s).astype(np.float32) for s in ((5, 64), (64, 8))]
    ((_, bound),) = shadow(Graph("f", scope, (x, w), (y,)), operands, {})
    assert 0 < bound.max() < 1e-3


@pytest.mark.parametrize(
    ("f", "free"),
    [
        (build.floor, True),
        (build.sign, True),
        (lambda x: build.cast(build.gt(x, 1.0), f32), False),  # 0 or 1: wrong by 1 at most
        (lambda x: build.select(build.gt(x, 1.0), x, build.ones_like(x)), False),  # continuous there
    ],
)
def test_the_shadow_lets_go_at_discontinuities(f: Any, free: bool) -> None:
    scope = Scope()
    x = scope.typed(Input("x"), f32[2])
    y = f(x * 10.0 * 0.1 if f is not build.sign else x * 0.1 - x / 10.0)
    ((_, bound),) = shadow(Graph("f", scope, (x,), (y,)), [np.array([1.0, 1.0], np.float32)], {})
    assert np.isinf(bound).all() == free


def test_the_shadow_knows_a_clear_extreme() -> None:
    scope = Scope()
    x = scope.typed(Input("x"), f32[N, 3])
    scaled = x * 1.1
    (gradient,) = gradients(build.sum_(build.reduce_max(scaled, (1,)), (0,)), [x])
    rows = np.array([[1.0, 2.0, 3.0], [3.0, 3.0, 1.0]], np.float32)
    ((value, bound),) = shadow(Graph("f", scope, (x,), (gradient,)), [rows], {})
    np.testing.assert_allclose(value, [[0.0, 0.0, 1.1], [0.55, 0.55, 0.0]], rtol=1e-6)
    assert (bound[0] < 1e-6).all() and (bound[1] > 0.1).any()


def test_a_wrong_result_is_outside_the_shadow() -> None:
    scope = Scope()
    x = scope.typed(Input("x"), f32[4])
    y = build.tanh(x * 3.0)
    operand = np.linspace(-1, 1, 4, dtype=np.float32)
    ((value, bound),) = shadow(Graph("f", scope, (x,), (y,)), [operand], {})
    assert (np.abs(np.tanh(3 * operand) * np.float32(1 + 1e-5) - value) > bound).all()
