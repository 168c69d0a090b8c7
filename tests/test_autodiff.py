"""Every derivative rule against centred differences in float64, its linearity, and the reverse sweep."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from graphc import ops
from graphc.autodiff import backward, gradients
from graphc.errors import GradientError, Site
from graphc.ir import build
from graphc.ir.dim import symbol
from graphc.ir.graph import Graph
from graphc.ir.interp import evaluate, evaluate_nodes
from graphc.ir.node import Array, Input, Node, Scope
from graphc.ir.types import TensorType, f32, f64, i32
from graphc.ir.verify import verify
from graphc.ops.base import numbers
from tests.op_cases import ELEMENTWISE, EVERY, Case, inputs, label, type_of

DIFFERENTIABLE = [c for c in EVERY if c.op.differentiable and not (isinstance(c.op, ops.Cast) and c.op.dtype != f64)]
H = 1e-6

each_rule = pytest.mark.parametrize("case", DIFFERENTIABLE, ids=label)


def run(nodes: Sequence[Node], leaves: Sequence[Node], values: Sequence[Array]) -> list[Array]:
    """The values of nodes at values of the leaves."""
    return evaluate_nodes(nodes, dict(zip(leaves, values, strict=True)))


def vjp_graph(case: Case, operands: list[Array]) -> tuple[list[Node], Node, list[Node]]:
    """The leaves (operands, then ct), the result, and the cotangents of the float operands."""
    scope = Scope()
    xs = inputs(scope, operands)
    y = scope.node(case.op, *xs)
    ct = scope.typed(Input("ct"), y.type)
    return [*xs, ct], y, backward({y: ct}, [x for x in xs if x.type.dtype.is_float])


def moved(operands: Sequence[Array], directions: Sequence[Array], step: float) -> list[Array]:
    """Operands a step along directions; integers stay."""
    pairs = zip(operands, directions, strict=True)
    return [x + step * v if x.dtype == np.float64 else x for x, v in pairs]


def along(directions: Sequence[Array], operands: Sequence[Array], given: Sequence[Array]) -> float:
    """⟨v, gradient⟩, the gradients being those of the float operands."""
    floats = [v for v, x in zip(directions, operands, strict=True) if x.dtype == np.float64]
    return sum(float(np.sum(v * g)) for v, g in zip(floats, given, strict=True))


def directional_error(case: Case, rng: np.random.Generator) -> float:
    """|⟨v, vjp(ct)⟩ − ⟨(f(x + hv) − f(x − hv)) / 2h, ct⟩| relative to their size, for one random direction v."""
    operands = case.operands(rng, f64)
    leaves, y, cts = vjp_graph(case, operands)
    ct = rng.normal(size=numbers(y.type.shape))
    directions = [rng.normal(size=x.shape) for x in operands]
    analytic = along(directions, operands, run(cts, leaves, [*operands, ct]))
    plus, minus = (run([y], leaves, [*moved(operands, directions, step), ct])[0] for step in (H, -H))
    slope = np.subtract(plus, minus, where=plus != minus, out=np.zeros(plus.shape)) / (2 * H)
    numeric = float(np.sum(slope * ct))
    return abs(analytic - numeric) / max(1.0, abs(analytic), abs(numeric))


@each_rule
def test_rule_agrees_with_centred_differences(case: Case) -> None:
    for seed in range(3):
        assert directional_error(case, np.random.default_rng(seed)) < 2e-7


@each_rule
def test_rule_is_linear_in_the_cotangent(case: Case) -> None:
    rng = np.random.default_rng(5)
    operands = case.operands(rng, f64)
    leaves, y, cts = vjp_graph(case, operands)
    a, b = rng.normal(size=(2, *numbers(y.type.shape)))
    of_a, of_b, of_both = (run(cts, leaves, [*operands, np.asarray(ct)]) for ct in (a, b, 2 * a - 3 * b))
    for x, z, both in zip(of_a, of_b, of_both, strict=True):
        np.testing.assert_allclose(both, 2 * x - 3 * z, rtol=1e-12, atol=1e-12)


@each_rule
def test_rule_keeps_the_operands_types_in_a_valid_graph(case: Case) -> None:
    operands = case.operands(np.random.default_rng(5), f64)
    leaves, _, cts = vjp_graph(case, operands)
    floats = [x for x in operands if x.dtype == np.float64]
    assert [c.type for c in cts] == [type_of(x) for x in floats]
    verify(Graph("rule", leaves[0].scope, tuple(leaves), tuple(cts)))


SMOOTH = [c for c in DIFFERENTIABLE if c.shapes and all(np.prod(s) for s in c.shapes)]


@pytest.mark.parametrize("case", [c for c in SMOOTH if c not in ELEMENTWISE or len(c.shapes[0]) == 1], ids=label)
def test_gradients_of_gradients_agree_with_centred_differences(case: Case) -> None:
    rng = np.random.default_rng(7)
    operands = case.operands(rng, f64)
    scope = Scope()
    xs = inputs(scope, operands)
    floats = [x for x in xs if x.type.dtype.is_float]
    y = scope.node(case.op, *xs)
    first = weighted_sum(gradients(weighted_sum([y], rng), floats), rng)
    second = gradients(first, floats)
    directions = [rng.normal(size=x.shape) for x in operands]
    analytic = along(directions, operands, run(second, xs, operands))
    plus, minus = (float(run([first], xs, moved(operands, directions, step))[0]) for step in (H, -H))
    numeric = (plus - minus) / (2 * H)
    assert abs(analytic - numeric) <= 1e-6 * max(1.0, abs(analytic), abs(numeric))


def weighted_sum(nodes: Sequence[Node], rng: np.random.Generator) -> Node:
    """Σ w·y with random weights: a scalar that depends on every element."""
    total = build.constant(nodes[0].scope, 0.0, f64)
    for node in nodes:
        weights = build.array_constant(node.scope, rng.normal(size=numbers(node.type.shape)))
        total = total + build.sum_(node * weights, tuple(range(node.type.rank)))
    return total


class WrongTanh(ops.Tanh):
    """A planted error: the derivative of tanh without its square."""

    def vjp(self, ct: Node, y: Node, *xs: Node) -> tuple[Node | None, ...]:
        return (ct * (1.0 - y),)


class WrongDot(ops.DotGeneral):
    """A planted error: cotangents of the right shapes with the wrong sign."""

    def vjp(self, ct: Node, y: Node, *xs: Node) -> tuple[Node | None, ...]:
        lhs, rhs = super().vjp(ct, y, *xs)
        assert lhs is not None and rhs is not None
        return -lhs, rhs


def test_a_planted_wrong_rule_is_caught() -> None:
    assert directional_error(Case(WrongTanh(), ((5,),)), np.random.default_rng(0)) > 1e-3
    dot = Case(WrongDot((1,), (0,)), ((3, 4), (4, 2)))
    assert directional_error(dot, np.random.default_rng(0)) > 1e-3


def gradient_at(f: Callable[..., Node], *values: Any) -> list[Any]:
    """∂ Σ f / ∂ x at concrete values, as lists."""
    arrays = [np.asarray(v, np.float64) for v in values]
    scope = Scope()
    xs = inputs(scope, arrays)
    y = f(*xs)
    total = build.sum_(y, tuple(range(y.type.rank)))
    return [g.tolist() for g in run(gradients(total, xs), xs, arrays)]


@pytest.mark.parametrize(
    ("f", "values", "expected"),
    [
        (build.abs_, ([-2.0, 0.0, 3.0],), [[-1.0, 0.0, 1.0]]),
        (build.maximum, ([1.0, 2.0, 3.0], [2.0, 2.0, 2.0]), [[0.0, 0.5, 1.0], [1.0, 0.5, 0.0]]),
        (build.minimum, ([1.0, 2.0, 3.0], [2.0, 2.0, 2.0]), [[1.0, 0.5, 0.0], [0.0, 0.5, 1.0]]),
        (lambda x: build.reduce_max(x, (0,)), ([3.0, 1.0, 3.0],), [[0.5, 0.0, 0.5]]),
        (lambda x: build.reduce_min(x, (0, 1)), ([[1.0, 1.0], [1.0, 1.0]],), [[[0.25, 0.25], [0.25, 0.25]]]),
        (lambda x: build.prod(x, (0,)), ([2.0, 0.0, 5.0],), [[0.0, 10.0, 0.0]]),
        (lambda x: build.prod(x, (0,)), ([0.0, 0.0, 5.0],), [[0.0, 0.0, 0.0]]),
        (lambda x: build.prod(x, (0,)), ([2.0, 3.0, 4.0],), [[12.0, 8.0, 6.0]]),
        (build.floor, ([0.5, 2.0],), [[0.0, 0.0]]),
        (build.sign, ([0.5, -2.0],), [[0.0, 0.0]]),
        (lambda x: build.stop_gradient(x) * x, ([3.0],), [[3.0]]),
        (build.pow_, ([0.0, 0.0, 0.0, 2.0], [2.0, 1.0, 0.0, 0.0]), [[0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, np.log(2)]]),
        (lambda x: build.select(build.gt(x, 0.0), x, build.zeros_like(x)), ([-1.0, 0.0, 2.0],), [[0.0, 0.0, 1.0]]),
        (lambda x: build.cast(build.cast(x, i32), f64) * x, ([2.5],), [[2.0]]),
        (lambda x: build.cast(build.cast(x, f32), f64), ([2.5],), [[1.0]]),
        (lambda x, y: x, ([1.0], [2.0]), [[1.0], [0.0]]),
    ],
)  # fmt: skip
def test_gradients_at_ties_kinks_and_zeros(f: Callable[..., Node], values: Any, expected: Any) -> None:
    np.testing.assert_array_equal(gradient_at(f, *values), expected)


def test_scatter_and_gather_are_each_others_derivative() -> None:
    (gradient,) = gradient_at(
        lambda x: build.gather(x, build.array_constant(x.scope, np.array([1, 1, -4, 9], np.int32)), 0), [5.0, 6.0, 7.0]
    )
    assert gradient == [1.0, 2.0, 1.0]


def test_paths_add_up() -> None:
    assert gradient_at(lambda x: x * x + x * 3.0 - x / 2.0, [2.0]) == [[6.5]]


def test_a_target_inside_the_graph_gets_its_own_cotangent() -> None:
    scope = Scope()
    x = scope.typed(Input("x"), TensorType(f64))
    h = x * x
    y = h * x
    values = run(gradients(y, [h, x, y]), [x], [np.asarray(3.0)])
    assert [float(v) for v in values] == [3.0, 27.0, 1.0]


def test_several_outputs_and_a_seed() -> None:
    scope = Scope()
    x = scope.typed(Input("x"), TensorType(f64))
    a, b = x * x, build.exp(x)
    ct = build.constant(scope, 2.0, f64)
    (both,) = backward({a: ct, b: build.ones_like(b)}, [x])
    (seeded,) = gradients(a, [x], seed=ct)
    values = run([both, seeded], [x], [np.asarray(3.0)])
    np.testing.assert_allclose(values, [12 + np.exp(3), 12])


def test_third_derivatives() -> None:
    scope = Scope()
    x = scope.typed(Input("x"), TensorType(f64))
    y = build.sin(x) * x
    for _ in range(3):
        (y,) = gradients(y, [x])
    (value,) = run([y], [x], [np.asarray(0.7)])
    np.testing.assert_allclose(value, -3 * np.sin(0.7) - 0.7 * np.cos(0.7), rtol=1e-13)


def test_a_step_over_a_symbolic_batch() -> None:
    """Softmax regression: the gradient is xᵀ(p − t) / N, whatever N."""
    scope, n = Scope(), symbol("N")
    x, t = scope.typed(Input("x"), f64[n, 4]), scope.typed(Input("t"), f64[n, 3])
    w = scope.typed(Input("w"), f64[4, 3])
    logits = build.dot_general(x, w, (1,), (0,))
    shifted = logits - build.spread(build.stop_gradient(build.reduce_max(logits, (1,))), logits, (1,))
    normaliser = build.log(build.sum_(build.exp(shifted), (1,)))
    loss = -build.sum_((shifted - build.spread(normaliser, logits, (1,))) * t, (0, 1))
    graph = Graph("step", scope, (x, t, w), (loss, *gradients(loss, [w])))
    verify(graph)
    rng = np.random.default_rng(0)
    for size in (0, 1, 7):
        a, b, c = rng.normal(size=(size, 4)), np.eye(3)[rng.integers(0, 3, size)], rng.normal(size=(4, 3))
        got = evaluate(graph, [a, b, c], {}).outputs[1]
        p = np.exp(a @ c) / np.exp(a @ c).sum(1, keepdims=True)
        np.testing.assert_allclose(got, a.T @ (p - b), atol=1e-12)


def test_gradient_nodes_carry_the_site_of_their_primal() -> None:
    scope = Scope()
    x = scope.typed(Input("x"), TensorType(f64))
    with scope.at(Site("model.py", 14, "y = gr.tanh(x)")):
        y = build.tanh(x)
    (gradient,) = gradients(y, [x])
    assert scope.site_of(gradient) == Site("model.py", 14, "y = gr.tanh(x)")


def test_nothing_is_made_for_what_targets_do_not_reach() -> None:
    scope = Scope()
    x, z = (scope.typed(Input(name), TensorType(f64)) for name in "xz")
    y = x * build.sin(z)
    gradients(y, [x])
    assert not any(isinstance(op, ops.Cos) for op, _, _ in scope._table)


def test_deep_graphs_do_not_recurse() -> None:
    scope = Scope()
    x = scope.typed(Input("x"), TensorType(f64))
    y = x
    for _ in range(5000):
        y = build.sin(y)
    (gradient,) = gradients(y, [x])
    assert gradient.type == x.type


def test_integers_have_no_gradient() -> None:
    scope = Scope()
    x, k = scope.typed(Input("x"), f64[3]), scope.typed(Input("k"), TensorType(i32))
    with pytest.raises(GradientError, match=r"gradient of f64\[3\], which is not a scalar"):
        gradients(x, [x])
    with pytest.raises(GradientError, match="only floats"):
        gradients(build.sum_(x, (0,)), [k])
    with pytest.raises(GradientError, match="only floats"):
        gradients(k, [x])
