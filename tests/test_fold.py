"""Constant folding: what is computed at compile time, what stays, and that the result is the ops' own meaning."""

from __future__ import annotations

import numpy as np
import pytest

from graphc import ops
from graphc.ir import build
from graphc.ir.dim import symbol
from graphc.ir.graph import Graph
from graphc.ir.interp import evaluate
from graphc.ir.node import Array, Constant, Input, Node, Scope
from graphc.ir.types import f32, f64, i32
from graphc.passes.fold import LARGEST_FOLDED
from graphc.passes.simplify import simplify
from tests.op_cases import Case, dtypes, each_case

N = symbol("N")


def folded(root: Node, *inputs: Node) -> Node:
    return simplify(Graph("g", root.scope, inputs, (root,))).outputs[0]


def value(node: Node) -> Array:
    return evaluate(Graph("g", node.scope, (), (node,)), [], {}).outputs[0]


@each_case
def test_every_op_on_constants_becomes_a_constant(case: Case) -> None:
    """Or a repeated scalar; Iota and a Broadcast of an array are cheaper to compute than to load."""
    for dtype in dtypes(case.op)[:3]:
        operands = case.operands(np.random.default_rng(2), dtype)
        scope = Scope()
        root = scope.node(case.op, *(build.array_constant(scope, x) for x in operands))
        result = folded(root)
        np.testing.assert_array_equal(value(result), value(root))
        leaf = result.inputs[0] if isinstance(result.op, ops.Broadcast) else result
        assert isinstance(leaf.op, (Constant, ops.Iota))


def test_scalar_arithmetic_folds_in_the_node_s_own_dtype() -> None:
    scope = Scope()
    third = build.constant(scope, 1.0, f32) / build.constant(scope, 3.0, f32)
    result = folded(third)
    assert isinstance(result.op, Constant)
    assert value(result) == np.float32(1) / np.float32(3)
    wrapped = build.constant(scope, 2**31 - 1, i32) + 1
    assert value(folded(wrapped)) == -(2**31)


@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_what_numpy_would_warn_of_folds_to_ieee_results(zero: float) -> None:
    scope = Scope()
    quotient = build.constant(scope, 1.0, f64) / build.constant(scope, zero, f64)
    assert value(folded(quotient)) == np.copysign(np.inf, zero)
    logarithm = build.log(build.constant(scope, -1.0, f64))
    assert np.isnan(value(folded(logarithm)))


def test_large_results_stay_computed() -> None:
    scope = Scope()
    for count, folds in ((LARGEST_FOLDED, True), (LARGEST_FOLDED + 1, False)):
        root = build.exp(build.array_constant(scope, np.linspace(0, 1, count)))
        assert isinstance(folded(root).op, Constant) == folds


def test_a_repeated_scalar_is_folded_once_whatever_the_shape() -> None:
    scope = Scope()
    x = scope.typed(Input("x"), f32[N, 1000])
    two = build.constant(scope, 2.0, f32, x.type.shape)
    root = folded(build.exp(two * two) * x, x)
    assert isinstance(root.inputs[0].op, ops.Broadcast)
    assert isinstance(root.inputs[0].inputs[0].op, Constant)
    assert value(root.inputs[0].inputs[0]) == np.exp(np.float32(4))


def test_symbolic_sizes_do_not_fold() -> None:
    scope = Scope()
    x = scope.typed(Input("x"), f32[N])
    repeated = build.broadcast(build.array_constant(scope, np.arange(3, dtype=np.float32)), (N, 3), (1,))
    root = folded(build.sum_(repeated, (0,)), x)
    assert isinstance(root.op, ops.ReduceSum)
