"""Functions with derivatives of the user's own, and functions whose derivatives compute them again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc as gr
from graphc import nn
from graphc.ops.order import After
from graphc.ops.transcendental import Tanh
from graphc.passes.pipeline import optimise
from graphc.runtime.targets import native
from graphc.schedule.layout import lay_out, panels_for
from graphc.schedule.program import schedule_entry
from tests.compiled import arena_bytes

X = np.random.default_rng(0).normal(size=(4, 3))


@gr.custom_vjp
def softplus(x: Any) -> Any:
    return gr.log(1 + gr.exp(x))


softplus.defvjp(lambda x: (softplus(x), x), lambda x, ct: (ct * gr.sigmoid(x),))


@gr.custom_gradient
def clipped(x: Any) -> Any:
    return x * 1.0, lambda ct: gr.clip(ct, -1.0, 1.0)


@gr.custom_vjp
def doubled_slope(x: Any, w: Any) -> Any:
    """x·w with twice its derivative in x: what is used can be told from the true one."""
    return x * w


doubled_slope.defvjp(
    lambda x, w: (doubled_slope(x, w), {"x": x, "w": w}), lambda kept, ct: (2.0 * ct * kept["w"], ct * kept["x"])
)


def test_the_written_derivative_is_used() -> None:
    np.testing.assert_allclose(gr.grad(softplus)(np.float64(800.0) * np.ones(())), 1.0)  # the true one is ∞/∞
    np.testing.assert_array_equal(gr.grad(lambda x: gr.sum(100.0 * clipped(x)))(X), np.ones_like(X))
    by_x, by_w = gr.grad(lambda x, w: gr.sum(doubled_slope(x, w)), (0, 1))(X, 3.0 * X)
    np.testing.assert_allclose(by_x, 6.0 * X)
    np.testing.assert_allclose(by_w, X)


def test_second_derivatives_go_through_bwd() -> None:
    x = X[0]
    s = 1 / (1 + np.exp(-x))
    np.testing.assert_allclose(gr.hessian(lambda x: gr.sum(softplus(x)))(x), np.diag(s * (1 - s)), atol=1e-14)
    third = gr.grad(lambda x: gr.sum(gr.grad(lambda x: gr.sum(gr.grad(lambda x: gr.sum(softplus(x)))(x)))(x)))
    np.testing.assert_allclose(third(x), s * (1 - s) * (1 - 2 * s), atol=1e-14)


def test_forward_mode_transposes_bwd_where_it_is_linear() -> None:
    value, along = gr.jvp(doubled_slope, (X, X), (np.ones_like(X), np.zeros_like(X)))
    np.testing.assert_allclose(value, X * X)
    np.testing.assert_allclose(along, 2 * X)
    with pytest.raises(gr.GradientError, match="not linear"):
        gr.jvp(clipped, (X,), (X,))


@pytest.mark.parametrize("axes", [(0, None), (None, 0), (0, 0)])
def test_vmap_maps_the_written_derivative(axes: tuple[int | None, int | None]) -> None:
    w = 3.0 * X if axes[1] == 0 else 3.0 * X[0]
    x = X if axes[0] == 0 else X[0]
    mapped = gr.vmap(doubled_slope, axes)
    by_x, by_w = gr.grad(lambda x, w: gr.sum(mapped(x, w) ** 2), (0, 1))(x, w)
    whole = 2 * (x * w)
    np.testing.assert_allclose(by_x, (2 * whole * w).sum(0) if axes[0] is None else 2 * whole * w)
    np.testing.assert_allclose(by_w, (whole * x).sum(0) if axes[1] is None else whole * x)
    inside = gr.vmap(gr.grad(lambda x, w: gr.sum(doubled_slope(x, w))), axes)(x, w)
    np.testing.assert_allclose(inside, np.broadcast_to(2 * w, (4, 3)))
    np.testing.assert_allclose(gr.grad(lambda x: gr.sum(gr.vmap(gr.vmap(clipped))(x) * 9.0))(X), np.ones_like(X))


def test_arguments_that_are_not_differentiated_and_several_outputs() -> None:
    @gr.custom_vjp
    def split(x: Any, k: Any) -> Any:
        return {"a": x * k, "b": gr.sin(x)}

    split.defvjp(
        lambda x, k: (split(x, k), (x, k)), lambda kept, ct: (ct["a"] * kept[1] + 5.0 * ct["b"] * gr.cos(kept[0]), None)
    )
    loss = lambda x: gr.sum(split(x, np.int32(2))["a"]) + gr.sum(split(x, np.int32(2))["b"])  # noqa: E731
    np.testing.assert_allclose(gr.grad(loss)(X), 2.0 + 5.0 * np.cos(X))

    power = gr.custom_vjp(lambda n, x: x**n, nondiff_argnums=0)
    power.defvjp(lambda n, x: (power(n, x), x), lambda n, x, ct: (ct * n * x ** (n - 1),))
    np.testing.assert_allclose(gr.grad(lambda x: gr.sum(power(3, x)))(X), 3 * X**2)


def test_bwd_sees_the_cotangents_of_all_outputs_at_once() -> None:
    seen: list[int] = []

    @gr.custom_gradient
    def pair(x: Any) -> Any:
        def pullback(ct: Any) -> Any:
            seen.append(len(ct))
            return ct[0] * ct[1]

        return (x * 1.0, x * 2.0), pullback

    def loss(x: Any) -> Any:
        a, b = pair(x)
        return gr.sum(3.0 * a) + gr.sum(5.0 * b)

    np.testing.assert_allclose(gr.grad(loss)(X), np.full_like(X, 15.0))
    assert seen == [2]


def test_in_the_bodies_of_loops() -> None:
    def loss(x: Any) -> Any:
        carry, ys = gr.scan(lambda c, row: (doubled_slope(c, row), gr.sum(clipped(100.0 * row))), gr.ones(3, gr.f64), x)
        return gr.sum(carry) + gr.sum(ys)

    run = gr.interpret(gr.grad(loss))
    others = [np.prod(np.delete(X, i, 0), 0) for i in range(4)]
    through = [2.0 ** (3 - i) for i in range(4)]  # each later round doubles what passes through its carry
    np.testing.assert_allclose(run(X), np.stack([o * t for o, t in zip(others, through, strict=True)]) + 100.0)


def test_in_entries_the_value_is_the_functions_own() -> None:
    program = gr.Program("own")
    w = gr.Variable(X[0].astype(np.float32), name="w")

    @program.entry
    def step(x: gr.f32["N", 3]):
        loss = gr.sum(softplus(x * w))
        return loss, gr.gradients(loss, w)

    x = X.astype(np.float32)
    loss, gradient = program.compile().step(x)
    z = X * X[0]
    np.testing.assert_allclose(loss, np.log1p(np.exp(z)).sum(), rtol=1e-5)
    np.testing.assert_allclose(gradient, (X / (1 + np.exp(-z))).sum(0), rtol=1e-5)
    assert gr.check_grads(step, x).worst < 1e-6


def test_check_grads_finds_a_wrong_bwd() -> None:
    with pytest.raises(gr.GradientMismatch):
        gr.check_grads(lambda x: gr.sum(doubled_slope(x, x)), X)


@pytest.mark.parametrize(
    ("bwd", "error", "message"),
    [
        (lambda r, ct: ct, gr.ArgumentError, "each of its 1 arguments"),
        (lambda r, ct: (ct, ct), gr.ArgumentError, "each of its 1 arguments"),
        (lambda r, ct: (gr.sum(ct),), gr.ShapeError, r"cotangent f64\[\] for an argument f64\[4,3\]"),
        (lambda r, ct: (ct.astype(gr.f32),), gr.DTypeError, "cotangent f32"),
    ],
)
def test_errors_name_bwd(bwd: Callable[..., Any], error: type[Exception], message: str) -> None:
    wrong = gr.custom_vjp(lambda x: x * 2.0)
    wrong.defvjp(lambda x: (wrong(x), None), bwd)
    with pytest.raises(error, match=message) as caught:
        gr.grad(lambda x: gr.sum(wrong(x)))(X)
    assert "test_custom_derivatives.py" in str(caught.value)


def test_a_function_without_a_derivative_is_refused() -> None:
    with pytest.raises(gr.GradientError, match="without a derivative"):
        gr.custom_vjp(lambda x: x)(X)


def test_a_tensor_that_leaves_its_function_is_refused() -> None:
    kept = []
    with pytest.raises(gr.TraceError, match="used outside"):
        gr.jit(lambda x: (gr.grad(lambda y: (kept.append(y), gr.sum(y))[1])(x), kept[0]))(X)


# Checkpoints


def block(h: Any, w: Any) -> Any:
    for _ in range(3):
        h = gr.tanh(gr.exp(-h * h) @ w)
    return h


def deep(wrap: Callable[..., Any], count: int = 6) -> Callable[..., Any]:
    """A loss through blocks, each wrapped."""

    def loss(x: Any, ws: Any) -> Any:
        h = x
        for i in range(count):
            h = wrap(block)(h, ws[i])
        return gr.sum(h * h)

    return loss


WS = np.random.default_rng(1).normal(size=(6, 8, 8)) / 4
H = np.random.default_rng(2).normal(size=(16, 8))


def test_a_checkpoint_changes_no_derivative() -> None:
    plain, saved = deep(lambda f: f), deep(gr.checkpoint)
    for a, b in zip(gr.grad(plain, (0, 1))(H, WS), gr.grad(saved, (0, 1))(H, WS), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)
    np.testing.assert_allclose(gr.hvp(plain, (H, WS), (H, WS))[1], gr.hvp(saved, (H, WS), (H, WS))[1], rtol=1e-9)
    np.testing.assert_allclose(gr.jvp(plain, (H, WS), (H, WS)), gr.jvp(saved, (H, WS), (H, WS)), rtol=1e-12)
    rows = gr.vmap(gr.grad(saved), (0, None))(H, WS)
    np.testing.assert_allclose(rows, gr.grad(plain)(H, WS), rtol=1e-12)


def arena(function: Callable[..., Any], *types: gr.TensorType) -> int:
    """The bytes of the workspace that a function's code needs."""
    traced = gr.jit(function).trace(dict(zip(("x", "ws"), types, strict=True)))
    (entry,) = traced.entries
    schedule = schedule_entry(optimise(entry.graph), lay_out([], panels_for([], {})).buffers, native())
    return arena_bytes(schedule)


def test_a_checkpoint_of_several_results_is_computed_again_once() -> None:
    both = gr.checkpoint(lambda x: (gr.exp(x), gr.tanh(x)))
    traced = gr.jit(gr.grad(lambda x: gr.sum(both(x)[0] * both(x)[1]))).trace({"x": gr.f64[4, 3]})
    nodes = optimise(traced.entries[0].graph).nodes()
    assert sum(isinstance(n.op, Tanh) for n in nodes) == 2


def test_checkpoints_need_less_memory() -> None:
    plain, saved = (
        arena(gr.grad(deep(wrap)), gr.f32[512, 8], gr.f32[6, 8, 8]) for wrap in (lambda f: f, gr.checkpoint)
    )
    assert saved < 0.6 * plain


def test_a_checkpoint_keeps_variables_and_modes() -> None:
    net = nn.Sequential(nn.Dense(5, activation="tanh"), nn.Dropout(0.5), nn.Dense(2))
    program = gr.Program("net")

    @program.entry
    def gradients(x: gr.f32["N", 3]):
        loss = gr.sum(gr.checkpoint(net)(x, training=True) ** 2)
        return gr.gradients(loss, net.parameters())

    assert gr.check_grads(gradients, X.astype(np.float32)).worst < 1e-6
    assert [g.shape for g in program.compile().gradients(X.astype(np.float32))] == [(3, 5), (5,), (5, 2), (2,)]


def test_what_is_recomputed_hangs_on_a_barrier() -> None:
    traced = gr.jit(gr.grad(deep(gr.checkpoint), (0, 1))).trace({"x": gr.f32[16, 8], "ws": gr.f32[6, 8, 8]})
    nodes = optimise(traced.entries[0].graph).nodes()
    assert sum(isinstance(n.op, After) for n in nodes) >= 6
    assert sum(isinstance(n.op, Tanh) for n in nodes) == 2 * 18
