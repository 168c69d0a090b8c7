"""Constraints hold after every step of an optimizer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphc as gr
from graphc import errors, nn, optim

W = np.random.default_rng(0).standard_normal((3, 3, 4, 5))


def constrained(constraint: Any, w: Any) -> Any:
    return gr.interpret(lambda w: constraint(w))(w)


def norms(w: Any, axis: Any) -> Any:
    return np.sqrt(np.sum(np.square(w), axis=axis, keepdims=True))


@pytest.mark.parametrize("given, axes", [(None, (0, 1, 2)), (3, (3,)), ((0, 3), (0, 3))])
def test_norms_over_the_incoming_weights_are_limited(given: Any, axes: Any) -> None:
    limit = float(np.median(norms(W, axes)))
    expected = W * np.minimum(1, limit / norms(W, axes))
    np.testing.assert_allclose(constrained(nn.MaxNorm(limit, axis=given), W), expected, rtol=1e-14)
    np.testing.assert_allclose(norms(constrained(nn.UnitNorm(axis=given), W), axes), 1, rtol=1e-14)


def test_zeros_are_no_division_by_zero() -> None:
    zeros = np.zeros((3, 2))
    for constraint in (nn.MaxNorm(1.0), nn.UnitNorm(), nn.NonNegative()):
        np.testing.assert_array_equal(constrained(constraint, zeros), zeros)
        np.testing.assert_array_equal(gr.jit(constraint, check="finite")(zeros), zeros)
    np.testing.assert_array_equal(constrained(nn.NonNegative(), W), np.maximum(W, 0))


def test_each_element_of_a_vector_is_a_unit() -> None:
    np.testing.assert_array_equal(constrained(nn.MaxNorm(0.5), np.array([1.0, -2.0, 0.25])), [0.5, -0.5, 0.25])
    np.testing.assert_allclose(constrained(nn.MaxNorm(0.5, axis=0), np.array([3.0, -4.0])), [0.3, -0.4])


def test_what_is_short_enough_keeps_its_bits() -> None:
    np.testing.assert_array_equal(constrained(nn.MaxNorm(100.0), W), W)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_optimizers_apply_constraints_after_the_update(accumulate: int) -> None:
    program = gr.Program("p")
    w = gr.Variable(np.full((4, 3), 0.1, np.float32), name="w", constraint=nn.MaxNorm(0.5))
    opt = optim.Adam(0.2, accumulate=accumulate)

    @program.entry
    def step() -> Any:
        opt.minimize(-gr.sum(w * np.float32([1, 2, -3])))
        return w

    compiled = program.compile()
    for _ in range(10):
        found = compiled.step()
    np.testing.assert_allclose(norms(found, 0), 0.5, rtol=1e-6)
    assert np.all(found[:, 2] < 0)


def test_what_is_no_constraint_is_refused() -> None:
    with pytest.raises(errors.ArgumentError, match="not a function of the value"):
        gr.Variable(1.0, constraint="max_norm")  # type: ignore[arg-type]
    with pytest.raises(errors.ArgumentError, match="the limit 0 is not a positive number"):
        nn.MaxNorm(0)
    with pytest.raises(errors.MissingNameError, match="NonNegative"):
        nn.NonNeg  # noqa: B018
    program = gr.Program("p")
    w = gr.Variable(np.ones(3, np.float32), name="w", constraint=gr.sum)

    @program.entry
    def step() -> None:
        optim.SGD(0.1).minimize(gr.sum(w))

    with pytest.raises(errors.ShapeError, match=r"the Variable is f32\[3\], the value is f32"):
        program.trace()
