"""Every primitive's `batch` rule is the loop over the mapped axis, whichever of its operands have that axis."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from graphc.ir import build
from graphc.ir.dim import symbol
from graphc.ir.graph import Graph
from graphc.ir.interp import evaluate, evaluate_nodes
from graphc.ir.node import Array, Input, Node, Scope
from graphc.ir.types import DType, TensorType, f32, f64
from graphc.ir.verify import verify
from graphc.vectorise import batch
from tests.op_cases import ELEMENTWISE, EVERY, Case, dtypes, inputs, label, type_of

#: Elementwise ops share one rule: a shape each is enough.
CASES = [c for c in EVERY if c.shapes and (c not in ELEMENTWISE or c.shapes[0] == (3, 4))]


def choices(case: Case) -> Iterator[tuple[bool, ...]]:
    """Which operands have the axis: each, all, and all but each."""
    count = len(case.shapes)
    sums = {1, count, count - 1} - {0}
    return (c for c in itertools.product((False, True), repeat=count) if sum(c) in sums)


def mapped_operands(case: Case, mapped: Sequence[bool], size: int, dtype: DType) -> list[Array]:
    """Operands drawn anew for each index where they have the axis."""
    rng = np.random.default_rng(size)
    drawn = [case.operands(rng, dtype) for _ in range(max(size, 1))]
    columns = zip(*drawn, strict=True)
    return [np.stack(column)[:size] if one else column[0] for one, column in zip(mapped, columns, strict=True)]


def over_all(case: Case, mapped: Sequence[bool], operands: Sequence[Array], size: int) -> Array:
    """The op's `batch` rule, interpreted."""
    scope = Scope()
    slices = inputs(scope, [x[0] if one and size else x for one, x in zip(mapped, operands, strict=True)])
    stacks = [scope.typed(Input(f"stack{i}"), type_of(x)) for i, x in enumerate(operands)]
    one = scope.node(case.op, *slices)
    pairs = {s: stack for s, stack, is_mapped in zip(slices, stacks, mapped, strict=True) if is_mapped}
    (result,) = batch([one], pairs, size)
    leaves = [stack if is_mapped else s for s, stack, is_mapped in zip(slices, stacks, mapped, strict=True)]
    verify(Graph("rule", scope, tuple(leaves), (result,)))
    return evaluate_nodes([result], dict(zip(leaves, operands, strict=True)))[0]


@pytest.mark.parametrize("case", CASES, ids=label)
def test_rule_is_the_loop_over_the_axis(case: Case) -> None:
    for dtype, mapped in itertools.product(dtypes(case.op)[:3:2], choices(case)):
        operands = mapped_operands(case, mapped, 3, dtype)
        got = over_all(case, mapped, operands, 3)
        rows = [[x[i] if one else x for one, x in zip(mapped, operands, strict=True)] for i in range(3)]
        with np.errstate(all="ignore"):
            expected = np.stack([case.op.eval(*row) for row in rows])
        assert got.dtype == expected.dtype
        rounding = {f64: 1e-12, f32: 1e-5}.get(dtype, 0)
        np.testing.assert_allclose(got, expected, rtol=rounding, atol=rounding)


def affine(x: Node, w: Node, y: Node) -> Node:
    """A composite of a contraction, a broadcast, a reduction."""
    h = build.tanh(build.dot_general(x, w, (0,), (0,)) + y)
    return h / build.spread(build.sum_(h, (0,)), h, (0,))


def test_a_graph_over_a_symbolic_axis_of_any_size() -> None:
    scope, n = Scope(), symbol("N")
    x, w, y = (scope.typed(Input(name), t) for name, t in (("x", f64[3]), ("w", f64[3, 4]), ("y", f64[4])))
    xs, ys = scope.typed(Input("xs"), f64[n, 3]), scope.typed(Input("ys"), f64[n, 4])
    (over,) = batch([affine(x, w, y)], {x: xs, y: ys}, n)
    assert over.type == f64[n, 4]
    graph = Graph("over", scope, (xs, w, ys), (over,))
    verify(graph)
    rng = np.random.default_rng(0)
    for size in (0, 1, 5):
        a, b, c = rng.normal(size=(size, 3)), rng.normal(size=(3, 4)), rng.normal(size=(size, 4))
        h = np.tanh(a @ b + c)
        np.testing.assert_allclose(evaluate(graph, [a, b, c], {}).outputs[0], h / h.sum(1, keepdims=True), rtol=1e-12)


def test_what_does_not_depend_on_the_axis_is_made_once() -> None:
    scope = Scope()
    x, w = scope.typed(Input("x"), TensorType(f64)), scope.typed(Input("w"), TensorType(f64))
    xs = scope.typed(Input("xs"), f64[5])
    constant, both = build.exp(w), build.exp(w) * x
    repeated, product = batch([constant, both], {x: xs}, 5)
    assert repeated.inputs == (constant,) and constant in product.inputs[0].inputs + product.inputs[1].inputs
