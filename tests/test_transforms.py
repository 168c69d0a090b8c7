"""The transforms of functions: laws over every primitive, their signatures as JAX's users know them, their errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc as gr
from graphc import losses, nn, ops
from graphc.autodiff import backward, forward, summed
from graphc.ir.graph import Graph
from graphc.ir.interp import evaluate, evaluate_nodes
from graphc.ir.node import Array, Input, Scope
from graphc.ir.types import f64
from graphc.ops.base import numbers
from graphc.passes.pipeline import optimise
from graphc.runtime.targets import native
from graphc.vectorise import batch
from tests.compiled import run_compiled
from tests.op_cases import ELEMENTWISE, EVERY, Case, inputs, label
from tests.recipes.hvp_digits import TESTS, problem

DIFFERENTIABLE = [c for c in EVERY if c.op.differentiable and not (isinstance(c.op, ops.Cast) and c.op.dtype != f64)]
RNG = np.random.default_rng(0)


#: Max and min of nothing are refused by the frontend: a tangent there has no meaning.
ANYWHERE = [c for c in DIFFERENTIABLE if c.shapes and not (label(c).startswith("reduce_m") and c.shapes[0][0] == 0)]


@pytest.mark.parametrize("case", ANYWHERE, ids=label)
def test_forward_and_reverse_are_each_others_transpose(case: Case) -> None:
    """⟨u, J·v⟩ = ⟨Jᵀ·u, v⟩, and the dummy cotangent has dropped out of J·v."""
    rng = np.random.default_rng(3)
    operands = case.operands(rng, f64)
    scope = Scope()
    xs = inputs(scope, operands)
    floats = [x for x in xs if x.type.dtype.is_float]
    y = scope.node(case.op, *xs)
    u = scope.typed(Input("u"), y.type)
    vs = [scope.typed(Input(f"v{i}"), x.type) for i, x in enumerate(floats)]
    cts = backward({y: u}, floats)
    (along,) = forward([y], dict(zip(floats, vs, strict=True)))
    given = dict(zip(xs, operands, strict=True))
    given |= {n: rng.normal(size=numbers(n.type.shape)) for n in (u, *vs)}
    values = evaluate_nodes([along, *cts], given)
    left = float(np.sum(given[u] * values[0]))
    right = sum(float(np.sum(given[v] * ct)) for v, ct in zip(vs, values[1:], strict=True))
    assert abs(left - right) <= 1e-11 * max(1.0, abs(left), abs(right))


@pytest.mark.parametrize("case", [c for c in ANYWHERE if c not in ELEMENTWISE or c.shapes[0] == (3, 4)], ids=label)
def test_derivatives_of_every_order_and_mode_compile(case: Case) -> None:
    """Jᵀ·u, J·v, second derivatives along v, and Jᵀ·u for several u at once: machine code gives them too."""
    rng = np.random.default_rng(4)
    operands = case.operands(rng, f64)
    scope = Scope()
    xs = inputs(scope, operands)
    floats = [x for x in xs if x.type.dtype.is_float]
    y = scope.node(case.op, *xs)
    u = scope.typed(Input("u"), y.type)
    us = scope.typed(Input("us"), y.type.with_shape((3, *y.type.shape)))
    vs = [scope.typed(Input(f"v{i}"), x.type) for i, x in enumerate(floats)]
    cts = backward({y: u}, floats)
    (along,) = forward([y], dict(zip(floats, vs, strict=True)))
    second = backward(summed(cts, vs), floats)
    results = (along, *cts, *second, *batch(cts, {u: us}, 3))
    graph = optimise(Graph("laws", scope, (*xs, u, us, *vs), results))
    arguments = [*operands, *(rng.normal(size=numbers(n.type.shape)) for n in (u, us, *vs))]
    got = run_compiled(graph, arguments, {}, native()).outputs
    for one, expected in zip(got, evaluate(graph, arguments, {}).outputs, strict=True):
        np.testing.assert_allclose(one, expected, rtol=1e-9, atol=1e-9)


def mlp(params: dict[str, Any], x: Any) -> Any:
    """A small network of nested parameters."""
    h = gr.tanh(x @ params["w"] + params["b"])
    return {"h": h, "y": gr.sum(h * h, axis=-1)}


PARAMS = {"w": RNG.normal(size=(3, 4)), "b": RNG.normal(size=4)}
X = RNG.normal(size=(5, 3))


def differences(f: Callable[..., Array], x: Array, v: Array, h: float = 1e-6) -> Array:
    """The centred difference of a function along v."""
    return np.asarray((f(x + h * v) - f(x - h * v)) / (2 * h))


def numpy_mlp(w: Array, x: Array = X) -> Array:
    h = np.tanh(x @ w + PARAMS["b"])
    return np.sum(h * h, axis=-1)


def test_vjp_gives_a_cotangent_for_each_argument() -> None:
    value, pullback = gr.vjp(mlp, PARAMS, X)
    np.testing.assert_allclose(value["y"], numpy_mlp(PARAMS["w"]))
    params, x = pullback({"h": None, "y": np.ones(5)})
    assert set(params) == {"w", "b"} and x.shape == X.shape
    v = RNG.normal(size=(3, 4))
    np.testing.assert_allclose(np.sum(params["w"] * v), differences(numpy_mlp, PARAMS["w"], v).sum(), rtol=1e-8)


def test_jvp_takes_tuples_and_gives_tangents_of_nested_outputs() -> None:
    v = RNG.normal(size=(3, 4))
    zero = {"w": v, "b": np.zeros(4)}, np.zeros_like(X)
    value, along = gr.jvp(mlp, (PARAMS, X), zero)
    np.testing.assert_allclose(value["y"], numpy_mlp(PARAMS["w"]))
    np.testing.assert_allclose(along["y"], differences(numpy_mlp, PARAMS["w"], v), rtol=1e-7)
    value, push = gr.linearize(mlp, PARAMS, X)
    np.testing.assert_array_equal(push(*zero)["h"], along["h"])


def test_aux_comes_third() -> None:
    f = lambda x: (gr.sum(x**2), {"count": gr.asarray(3), "x": x})  # noqa: E731
    _, pullback, aux = gr.vjp(f, X, has_aux=True)
    np.testing.assert_allclose(pullback(2.0)[0], 4 * X)
    assert aux["count"] == 3 and aux["x"].shape == X.shape
    *_, aux = gr.jvp(f, (X,), (X,), has_aux=True)
    assert aux["count"] == 3
    jacobian, aux = gr.jacobian(f, has_aux=True)(X)
    np.testing.assert_allclose(jacobian, 2 * X)


def test_jacobians_of_both_modes_are_one_matrix() -> None:
    f = lambda x, w: gr.tanh(x @ w)  # noqa: E731
    w = PARAMS["w"]
    by_x, by_w = gr.jacrev(f, (0, 1))(X, w)
    assert by_x.shape == (5, 4, 5, 3) and by_w.shape == (5, 4, 3, 4)
    for a, b in zip(gr.jacfwd(f, (0, 1))(X, w), (by_x, by_w), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-15)
    slope = 1 - np.tanh(X @ w) ** 2
    np.testing.assert_allclose(by_x, np.einsum("nm,np,km->nmpk", slope, np.eye(5), w), atol=1e-14)


def test_jacobians_of_nested_arguments_and_outputs() -> None:
    found = gr.jacobian(mlp)(PARAMS, X)
    assert {k: v.shape for k, v in found["h"].items()} == {"w": (5, 4, 3, 4), "b": (5, 4, 4)}
    assert {k: v.shape for k, v in found["y"].items()} == {"w": (5, 3, 4), "b": (5, 4)}


def test_jacobians_over_symbolic_sizes() -> None:
    @gr.jit
    def found(x: gr.f64["N", 2]):
        return gr.jacobian(lambda x: gr.sin(x) * x[0])(x)

    for n in (1, 4):
        x = RNG.normal(size=(n, 2))
        direct = gr.jacfwd(lambda x: gr.sin(x) * x[0])(x)
        np.testing.assert_allclose(found(x), direct, atol=1e-14)


def rosenbrock(x: Any) -> Any:
    return gr.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def test_hessian_and_its_products() -> None:
    x, v = RNG.normal(size=(2, 6))
    h = gr.hessian(rosenbrock)(x)
    np.testing.assert_allclose(h, h.T)
    np.testing.assert_allclose(h @ v, differences(gr.grad(rosenbrock), x, v), rtol=1e-6)
    np.testing.assert_allclose(gr.hvp(rosenbrock, (x,), (v,)), h @ v, rtol=1e-10)
    np.testing.assert_allclose(gr.hvp(rosenbrock, x, v), h @ v, rtol=1e-10)
    np.testing.assert_allclose(gr.jvp(gr.grad(rosenbrock), (x,), (v,))[1], h @ v, rtol=1e-10)
    np.testing.assert_allclose(gr.jacfwd(gr.jacrev(rosenbrock))(x), h, rtol=1e-10)
    of_rows = gr.hessian(lambda x: gr.stack([rosenbrock(x), gr.sum(x**3)]))(x)
    np.testing.assert_allclose(of_rows, [h, np.diag(6 * x)], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("dtype", "error"), [(np.float64, 1e-6), (np.float32, 1e-5)])
def test_hvp_of_the_digits_network_is_jaxs(dtype: Any, error: float) -> None:
    params, direction, x, y = problem()
    params, direction = ({k: v.astype(dtype) for k, v in tree.items()} for tree in (params, direction))

    def loss(p: Any) -> Any:
        hidden = nn.relu(x.astype(dtype) @ p["w1"] + p["b1"])
        return losses.sparse_softmax_cross_entropy(hidden @ p["w2"] + p["b2"], y)

    product = gr.hvp(loss, (params,), (direction,))
    with np.load(TESTS / "vectors" / "hvp_digits.npz") as recorded:
        for name, got in product.items():
            assert np.abs(got - recorded[name]).max() <= error * np.abs(recorded[name]).max()


def test_hvp_of_several_nested_arguments() -> None:
    loss = lambda p, x: gr.sum(mlp(p, x)["y"])  # noqa: E731
    v = {"w": RNG.normal(size=(3, 4)), "b": np.zeros(4)}, np.zeros_like(X)
    params, x = gr.hvp(loss, (PARAMS, X), v)
    gradient = lambda w: np.asarray(gr.grad(loss)({**PARAMS, "w": w}, X)["w"])  # noqa: E731
    np.testing.assert_allclose(params["w"], differences(gradient, PARAMS["w"], v[0]["w"]), rtol=1e-6)
    assert x.shape == X.shape


def test_vmap_is_the_loop() -> None:
    stacked = {"w": RNG.normal(size=(2, 3, 4)), "b": RNG.normal(size=(4, 2))}
    rows = gr.vmap(mlp, in_axes=({"w": 0, "b": -1}, None), out_axes={"h": -1, "y": 0})(stacked, X)
    for i in range(2):
        one = mlp_of(stacked["w"][i], stacked["b"][:, i])
        np.testing.assert_allclose(rows["h"][..., i], one["h"], rtol=1e-12)
        np.testing.assert_allclose(rows["y"][i], one["y"], rtol=1e-12)


def mlp_of(w: Array, b: Array) -> dict[str, Array]:
    found: dict[str, Array] = gr.jit(mlp)({"w": w, "b": b}, X)
    return found


def test_vmap_of_what_is_the_same_at_each_index() -> None:
    a, b = gr.vmap(lambda x, w: (w * 2.0, x + w), (0, None), (None, 1))(X[:, 0], np.ones(2))
    assert a.tolist() == [2.0, 2.0] and b.shape == (2, 5)
    (repeated,) = gr.vmap(lambda x, w: (w * 2.0,), (0, None))(X[:, 0], np.ones(2))
    np.testing.assert_array_equal(repeated, np.full((5, 2), 2.0))


def test_vmaps_nest_and_compose_with_derivatives() -> None:
    w = PARAMS["w"]
    f = lambda w, x: gr.sum(gr.tanh(x @ w) ** 2)  # noqa: E731
    per_row = gr.vmap(gr.grad(f), (None, 0))(w, X)
    loop = np.stack([gr.grad(f)(w, x) for x in X])
    np.testing.assert_allclose(per_row, loop, rtol=1e-12)
    total = gr.grad(lambda w: gr.sum(gr.vmap(f, (None, 0))(w, X)))(w)
    np.testing.assert_allclose(total, loop.sum(0), rtol=1e-12)
    outer = gr.vmap(gr.vmap(lambda a, b: a * b, (None, 0)), (0, None))(np.arange(3.0), np.arange(4.0))
    np.testing.assert_array_equal(outer, np.outer(np.arange(3.0), np.arange(4.0)))
    hessians = gr.vmap(gr.hessian(rosenbrock))(X)
    np.testing.assert_allclose(hessians[2], gr.hessian(rosenbrock)(X[2]), rtol=1e-12)


def test_networks_map_over_their_parameters() -> None:
    """An ensemble: `init` of several seeds, stacked; each member's value and gradient is its own."""
    net = nn.Sequential(nn.Dense(4, activation="tanh"), nn.Dense(2))
    net.build(gr.f32["N", 3])
    members = [net.init(seed) for seed in range(3)]
    stacked = {name: np.stack([m[name] for m in members]) for name in members[0]}
    x = X.astype(np.float32)
    loss = lambda params, x: gr.sum(net.apply(params, x) ** 2)  # noqa: E731
    values = gr.vmap(net.apply, (0, None))(stacked, x)
    slopes = gr.vmap(gr.grad(loss), (0, None))(stacked, x)
    for i, member in enumerate(members):
        np.testing.assert_allclose(values[i], net.apply(member, x), rtol=1e-5)
        for name, slope in gr.grad(loss)(member, x).items():
            np.testing.assert_allclose(slopes[name][i], slope, rtol=1e-4, atol=1e-6)


def test_interpreted_tensors_inside_show_values_where_they_have_one(capsys: pytest.CaptureFixture[str]) -> None:
    def f(x: Any) -> Any:
        print(gr.exp(x))
        return gr.sum(gr.exp(x))

    gr.interpret(gr.grad(f))(np.zeros(2))
    assert capsys.readouterr().out.endswith("\n[1. 1.]\n")
    gr.interpret(gr.vmap(gr.grad(f)))(np.zeros((3, 2)))
    assert capsys.readouterr().out.startswith("f64[2] exp")


def test_vmap_in_an_entry_with_symbolic_sizes_and_state() -> None:
    program = gr.Program("mapped")
    scale = gr.Variable(np.float32(3.0), name="scale")

    @program.entry
    def entry(x: gr.f32["N", 4], k: gr.i32["N"]):
        return gr.vmap(lambda row, i: gr.take(row, i) * scale)(x, k)

    x, k = np.arange(12, dtype=np.float32).reshape(3, 4), np.int32([1, 3, 0])
    compiled = program.compile()
    np.testing.assert_array_equal(compiled.entry(x, k), 3 * x[np.arange(3), k])
    assert compiled.entry(x[:0], k[:0]).shape == (0,)


def test_random_numbers_differ_from_index_to_index() -> None:
    @gr.jit
    def drawn(seeds: gr.i64["N"]):
        return gr.vmap(lambda s: gr.random.normal((3,), key=gr.random.key(s)))(seeds)

    program = gr.Program("noisy")

    @program.entry
    def noise(x: gr.f32["N"]):
        return gr.vmap(lambda x: x + gr.random.uniform((2,)))(x)

    assert len(np.unique(program.compile().noise(np.zeros(3, np.float32)))) == 6
    got = drawn(np.arange(4))
    assert len(np.unique(got)) == 12
    np.testing.assert_array_equal(drawn(np.int64([2]))[0], got[2])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: gr.vjp(lambda k: k * 2, np.arange(3)), gr.GradientError, r"the output is i64\[3\]"),
        (lambda: gr.vjp(gr.sin, X)[1](np.ones(3)), gr.ShapeError, "cotangent is f64"),
        (lambda: gr.vjp(gr.sin, X)[1]({"a": X}), gr.ArgumentError, "another structure"),
        (lambda: gr.jvp(gr.sin, X, X), gr.ArgumentError, r"gr.jvp\(f, \(x,\), \(v,\)\)"),
        (lambda: gr.jvp(gr.sin, (X,), (X[0],)), gr.ShapeError, r"tangent is f64\[3\]"),
        (lambda: gr.jvp(gr.sin, (X,), (X.astype(np.float32),)), gr.DTypeError, r"tangent is f32"),
        (lambda: gr.jvp(lambda k: k * 1.0, (np.arange(3),), (np.arange(3),)), gr.GradientError, "the argument is i64"),
        (lambda: gr.hvp(gr.sin, (X,), (X,)), gr.GradientError, "not a scalar"),
        (lambda: gr.jacobian(gr.sin, 2)(X), gr.ArgumentError, "argnums 2"),
        (lambda: gr.vmap(gr.add)(X, X[:2]), gr.ShapeError, r"differ \(5 != 2\)"),
        (lambda: gr.vmap(gr.add, in_axes=(0,))(X, X), gr.ArgumentError, "in_axes"),
        (lambda: gr.vmap(gr.add, in_axes=None)(X, X), gr.ArgumentError, "no argument of add"),
        (lambda: gr.vmap(gr.sin, in_axes=2)(X), gr.ShapeError, "axis 2 of f64"),
        (lambda: gr.vmap(gr.sin, out_axes=None)(X), gr.ArgumentError, "out_axes is None"),
        (lambda: gr.vmap(gr.sin, out_axes=3)(X), gr.ShapeError, "out_axes 3"),
        (lambda: gr.vmap(gr.sin, out_axes=(0, 0))(X), gr.ArgumentError, "out_axes"),
        (lambda: gr.vmap(3), gr.ArgumentError, "takes a function"),
    ],
)
def test_errors_say_what_came(call: Callable[[], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        call()
    assert "test_transforms.py" in str(caught.value)


def test_a_variable_can_not_get_a_value_for_each_index() -> None:
    program = gr.Program("assigning")
    last = gr.Variable(np.float32(0.0), name="last")

    @program.entry
    def entry(x: gr.f32["N"]):
        gr.vmap(last.assign)(x)

    with pytest.raises(gr.TraceError, match="assigns to a Variable"):
        program.trace()
