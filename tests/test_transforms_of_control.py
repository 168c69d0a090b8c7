"""Transforms through control flow: vmap of scan, cond and while_loop is the loop; forward and second derivatives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc as gr
from graphc.ir.node import Array

RNG = np.random.default_rng(0)
W, XS = RNG.normal(size=(3, 3)) / 2, RNG.normal(size=(5, 3))


def rnn(w: Any, xs: Any) -> Any:
    def step(h: Any, x: Any) -> Any:
        h = gr.tanh(h @ w + x)
        return h, gr.sum(h**2)

    _, ys = gr.scan(step, gr.zeros(3, gr.f64), xs)
    return gr.sum(ys)


def backwards(h: Any, xs: Any) -> Any:
    """Some carries and outputs depend on what is mapped, some don't."""
    start = (h, gr.asarray(np.zeros(())))
    last, ys = gr.scan(lambda c, x: ((c[0] + x[0], c[1] + 1.0), (c[0], c[1])), start, xs, reverse=True)
    return *last, *ys


def until_ten(x: Any) -> Any:
    """As many rounds as each x takes."""
    start = (x, gr.asarray(np.zeros((), np.int64)))
    return gr.while_loop(lambda c: c[0] < 10.0, lambda c: (c[0] * 2.0, c[1] + 1), start)


def ten_times(x: Any) -> Any:
    """A condition that is the same for each x."""
    start = (gr.asarray(np.zeros((), np.int64)), x)
    return gr.while_loop(lambda c: c[0] < 10, lambda c: (c[0] + 1, c[1] * 2.0), start)


def branch(p: Any, x: Any) -> Any:
    return gr.cond(p, gr.sin, lambda x: x * x, x)


def nested(x: Any) -> Any:
    return gr.vmap(lambda r: gr.scan(lambda c, t: (c * t, c), r, x)[0])(x)


@pytest.mark.parametrize(
    ("f", "axes", "args"),
    [
        (rnn, (None, 0), (W, RNG.normal(size=(4, 5, 3)))),
        (rnn, (0, None), (RNG.normal(size=(4, 3, 3)), XS)),
        (gr.grad(rnn), (0, 0), (RNG.normal(size=(4, 3, 3)), RNG.normal(size=(4, 5, 3)))),
        (backwards, (0, None), (RNG.normal(size=4), XS)),
        (backwards, (None, 0), (np.ones(()), RNG.normal(size=(4, 5, 3)))),
        (branch, (0, 0), (np.array([True, False, True]), RNG.normal(size=(3, 2)))),
        (branch, (None, 0), (np.array(True), RNG.normal(size=(3, 2)))),
        (branch, (0, None), (np.array([True, False]), RNG.normal(size=2))),
        (until_ten, (0,), (np.array([1.0, 3.0, 20.0]),)),
        (ten_times, (0,), (np.array([1.0, 3.0, 20.0]),)),
        (nested, (0,), (RNG.normal(size=(3, 4)),)),
    ],
)
def test_vmap_is_the_loop(f: Callable[..., Any], axes: tuple[int | None, ...], args: tuple[Array, ...]) -> None:
    got = results(gr.interpret(lambda *a: gr.vmap(f, axes)(*a))(*args))
    size = next(len(a) for a, axis in zip(args, axes, strict=True) if axis == 0)
    slices = [
        [a if axis is None else np.asarray(a[i]) for a, axis in zip(args, axes, strict=True)] for i in range(size)
    ]
    one = gr.interpret(f)
    for column, rows in zip(got, zip(*(results(one(*part)) for part in slices), strict=True), strict=True):
        np.testing.assert_allclose(column, np.stack(rows), rtol=1e-12)


def results(value: Any) -> tuple[Array, ...]:
    return value if isinstance(value, tuple) else (value,)


def test_vmap_of_no_rows_through_a_loop() -> None:
    values, counts = gr.interpret(gr.vmap(until_ten))(np.zeros(0))
    assert values.shape == counts.shape == (0,)


def test_forward_and_second_derivatives_of_scans() -> None:
    v, vx, h = RNG.normal(size=(3, 3)), RNG.normal(size=(5, 3)), 1e-6
    run, slope = gr.interpret(rnn), gr.interpret(gr.grad(rnn))
    _, along = gr.interpret(lambda w, xs, v, vx: gr.jvp(rnn, (w, xs), (v, vx)))(W, XS, v, vx)
    np.testing.assert_allclose(along, (run(W + h * v, XS + h * vx) - run(W - h * v, XS - h * vx)) / (2 * h), rtol=1e-8)
    of_w, _ = gr.interpret(lambda w, xs, v, vx: gr.hvp(rnn, (w, xs), (v, vx)))(W, XS, v, 0 * vx)
    np.testing.assert_allclose(of_w, (slope(W + h * v, XS) - slope(W - h * v, XS)) / (2 * h), rtol=1e-6, atol=1e-8)
    jacobian = gr.interpret(gr.jacobian(gr.grad(rnn)))(W, XS)
    np.testing.assert_allclose(np.einsum("ijkl,kl", jacobian, v), of_w, rtol=1e-10)


def test_a_sum_over_rounds_of_what_is_known_before_the_loop() -> None:
    """Σ exp(q·kᵗ)·k over the rounds t: all of it follows from the slices, so only its sum is left to make."""
    rng = np.random.default_rng(16)
    q, k = rng.normal(size=(5, 3)), rng.normal(size=(4, 2, 3))

    def step(carry: Any, keys: Any, q: Any) -> Any:
        powers = gr.exp(q @ keys.T)
        return carry + powers @ keys, powers.T @ q

    total, parts = gr.jit(lambda q, k: gr.scan(lambda c, keys: step(c, keys, q), gr.zeros((5, 3), gr.f64), k))(q, k)
    powers = np.exp(q @ np.swapaxes(k, 1, 2))
    np.testing.assert_allclose(total, (powers @ k).sum(0), rtol=1e-12)
    np.testing.assert_allclose(parts, np.swapaxes(powers, 1, 2) @ q, rtol=1e-12)


@pytest.mark.parametrize("x", [[0.5, 1.0, -0.2], [-0.5, -1.0, 0.2]])
def test_forward_derivatives_of_branches(x: Any) -> None:
    """A branch's transposed rule takes the cotangents that it is linear in, and none that it only might have read."""

    def chosen(a: Any) -> Any:
        first, second = gr.cond(gr.sum(a) > 0, lambda a, b: (gr.sin(a) * b, a), lambda a, b: (b, a * a), a, a * 2)
        return first + gr.tanh(second)

    a, v, h = np.array(x), RNG.normal(size=3), 1e-6
    run, slope = gr.interpret(chosen), gr.interpret(gr.grad(lambda a: gr.sum(chosen(a))))
    for form in (gr.interpret, gr.jit):
        _, along = form(lambda a, v: gr.jvp(chosen, (a,), (v,)))(a, v)
        np.testing.assert_allclose(along, (run(a + h * v) - run(a - h * v)) / (2 * h), rtol=1e-8)
        product = form(lambda a, v: gr.hvp(lambda a: gr.sum(chosen(a)), (a,), (v,)))(a, v)
        np.testing.assert_allclose(product, (slope(a + h * v) - slope(a - h * v)) / (2 * h), rtol=1e-7, atol=1e-8)
