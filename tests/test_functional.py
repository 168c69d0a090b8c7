"""Functions of networks: values and derivatives at odd places, against what PyTorch gave (tests/vectors)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc as gr
from graphc import losses, nn
from graphc.errors import ArgumentError, ShapeError

VECTORS = np.load(Path(__file__).parent / "vectors" / "functional.npz")
ACTIVATIONS = sorted(name.removesuffix("/2") for name in VECTORS if name.endswith("/2"))

#: Where PyTorch gives NaN at ±∞ and graphc the limits: (at ∞, at −∞) of the value, and of the derivative.
LIMITS = {
    "gelu": ((np.inf, 0), (1, 0)), "hard_silu": ((np.inf, 0), (1, 0)), "mish": ((np.inf, 0), (1, 0)),
    "silu": ((np.inf, 0), (1, 0)), "softsign": ((1, -1), (0, 0)),
}  # fmt: skip


def derivatives(function: Callable[[Any], Any], x: Any) -> Any:
    """Value, first and second derivative of an elementwise function, by machine code."""

    def first(x: Any) -> Any:
        return gr.grad(lambda x: gr.sum(function(x)))(x)

    return gr.jit(lambda x: (function(x), first(x), gr.grad(lambda x: gr.sum(first(x)))(x)))(x)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_at_odd_places(name: str) -> None:
    odd = VECTORS["odd"]
    finite = np.isfinite(odd)
    for dtype, tolerance in ((np.float64, 1e-12), (np.float32, 3e-6)):
        got = derivatives(getattr(nn, name), odd.astype(dtype))
        for order, value in enumerate(got):
            expected = VECTORS[f"{name}/{order}"]
            where = finite & np.isfinite(expected)
            if order == 2 and name in ("celu", "elu", "selu"):
                where &= odd != 0  # there it jumps
            slack = 1e-7 if name == "hard_sigmoid" else tolerance  # PyTorch's sixth is one of float32
            np.testing.assert_allclose(value[where], expected[where], rtol=slack, atol=tolerance / 10)
        nan = np.isnan(odd)
        assert np.isnan(got[0][nan]).all()
        if name in LIMITS:
            for value, limits in zip(got, LIMITS[name], strict=False):
                np.testing.assert_array_equal(value[np.isinf(odd)], limits)
            assert not np.isnan(got[2][~nan]).any()
        else:
            for order in (0, 1, 2):
                infinite = np.isinf(odd)
                np.testing.assert_allclose(got[order][infinite], VECTORS[f"{name}/{order}"][infinite], rtol=1e-6)


CALLS: dict[str, Callable[..., Any]] = {
    "glu": nn.glu,
    "layer_norm": nn.layer_norm,
    "layer_norm_two": lambda x, w, b: nn.layer_norm(x, w, b, axis=(-2, -1)),
    "rms_norm": nn.rms_norm,
    "batch_norm": lambda x, w, b: nn.batch_norm(x, weight=w, bias=b),
    "group_norm": lambda x, w, b: nn.group_norm(x, 3, w, b),
    "instance_norm": nn.instance_norm,
    "l2_normalize": nn.l2_normalize,
    "cosine_similarity": nn.cosine_similarity,
}


@pytest.mark.parametrize("name", CALLS)
def test_functions_and_their_gradients(name: str) -> None:
    operands = [VECTORS[f"{name}/x{i}"] for i in range(4) if f"{name}/x{i}" in VECTORS]
    for dtype, tolerance in ((np.float64, 1e-10), (np.float32, 2e-4)):
        arguments = [x.astype(dtype) for x in operands]
        weights = VECTORS[f"{name}/weights"].astype(dtype)

        def value_and_gradients(*xs: Any, weights: Any = weights) -> Any:
            y = CALLS[name](*xs)
            return y, gr.gradients(gr.sum(y * weights), list(xs))

        y, gradients = gr.jit(value_and_gradients)(*arguments)
        np.testing.assert_allclose(y, VECTORS[f"{name}/value"], rtol=tolerance, atol=tolerance)
        for i, gradient in enumerate(gradients):
            np.testing.assert_allclose(gradient, VECTORS[f"{name}/gradient{i}"], rtol=tolerance, atol=tolerance)


def test_second_derivatives_at_zero() -> None:
    zero = np.zeros(1)
    assert derivatives(nn.softplus, zero)[2] == 0.25
    for label in (0.0, 0.5, 1.0):
        got = derivatives(lambda x, y=label: losses.sigmoid_cross_entropy(x, np.full(1, y), "none"), zero)
        np.testing.assert_allclose([v.item() for v in got], [np.log(2), 0.5 - label, 0.25])


def test_gelu_far_out() -> None:
    x = np.array([-np.inf, -1e30, np.inf, np.nan], np.float32)
    for approximate in (False, True):
        y, first, _ = derivatives(lambda x, a=approximate: nn.gelu(x, approximate=a), x)
        np.testing.assert_array_equal(y, [0, 0, np.inf, np.nan])
        assert np.signbit(y[:2]).all()
        np.testing.assert_array_equal(first, [0, 0, 1, np.nan])


def test_functions_with_arguments() -> None:
    x = np.array([[-2.0, -0.5, 0.5, 2.0]], np.float32)
    rows: dict[str, tuple[Callable[[Any], Any], Any]] = {
        "prelu": (lambda x: nn.prelu(x, np.float32([1, 2, 3, 4])), [-2, -1, 0.5, 2]),
        "threshold": (lambda x: nn.threshold(x, 0.5, 9.0), [9, 9, 9, 2]),
        "hard_tanh": (lambda x: nn.hard_tanh(x, -1, 0.25), [-1, -0.5, 0.25, 0.25]),
        "soft_shrink": (lambda x: nn.soft_shrink(x, 1.0), [-1, 0, 0, 1]),
        "softplus": (lambda x: nn.softplus(x, beta=2.0), np.log1p(np.exp(2 * x[0])) / 2),
        "swish": (lambda x: nn.swish(x, 2.0), x[0] / (1 + np.exp(-2 * x[0]))),
        "swiglu": (nn.swiglu, x[0, :2] / (1 + np.exp(-x[0, :2])) * x[0, 2:]),
        "celu": (lambda x: nn.celu(x, 2.0), [2 * np.expm1(-1), 2 * np.expm1(-0.25), 0.5, 2]),
    }
    for name, (function, expected) in rows.items():
        np.testing.assert_allclose(gr.jit(function)(x)[0], expected, rtol=1e-6, err_msg=name)


def test_batch_norm_with_statistics_that_are_given() -> None:
    x = np.random.default_rng(2).normal(size=(3, 4, 5)).astype(np.float32)
    mean, variance = x.mean((0, 1)), x.var((0, 1))
    own, given = gr.jit(lambda x: (nn.batch_norm(x), nn.batch_norm(x, mean, variance)))(x)
    np.testing.assert_allclose(own, given, rtol=1e-4, atol=1e-6)
    for got, expected in zip(gr.jit(lambda x: nn.moments(x, (0, 1)))(x), (mean, variance), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


def test_gradients_of_zero_vectors_are_numbers() -> None:
    gradient = gr.jit(gr.grad(lambda x: gr.sum(nn.l2_normalize(x) + nn.cosine_similarity(x, x)[..., None])))
    assert np.isfinite(gradient(np.zeros((2, 3), np.float32))).all()


def test_mistakes_are_named() -> None:
    x = np.zeros((2, 5), np.float32)
    with pytest.raises(ShapeError, match="an axis of 5 has no halves"):
        gr.jit(nn.glu)(x)
    with pytest.raises(ShapeError, match="does not divide into 2 groups"):
        gr.jit(lambda x: nn.group_norm(x, 2))(x)
    with pytest.raises(ArgumentError, match="both mean and variance"):
        gr.jit(lambda x: nn.batch_norm(x, mean=np.zeros(5, np.float32)))(x)


def test_softmax_of_no_elements_is_none() -> None:
    empty = np.zeros((5, 0), np.float32)
    for function in (nn.softmax, nn.log_softmax):
        assert gr.interpret(lambda x, f=function: f(x, axis=-1))(empty).shape == (5, 0)
    np.testing.assert_array_equal(gr.jit(lambda x: nn.logsumexp(x, axis=1))(empty), np.full(5, -np.inf))


def test_similar_rows_are_compared_in_their_common_shape() -> None:
    a, b = np.arange(6.0).reshape(1, 2, 3), np.arange(6.0, 12).reshape(2, 1, 3)
    both = [np.broadcast_to(t, (2, 2, 3)) for t in (a, b)]
    lengths = [np.maximum(np.sqrt((t**2).sum(-2)), 1e-8) for t in both]
    expected = (both[0] * both[1]).sum(-2) / lengths[0] / lengths[1]
    np.testing.assert_allclose(gr.interpret(lambda x, y: nn.cosine_similarity(x, y, axis=-2))(a, b), expected)


def test_a_negative_number_of_classes_is_refused() -> None:
    with pytest.raises(gr.ArgumentError, match="num_classes=-1 is not a number of classes"):
        gr.interpret(lambda x: gr.one_hot(x, -1))(np.zeros(3, np.int32))
