"""Losses: a prediction against a target of the same shape, both floats of one dtype (integers are cast).

`reduction` is "mean", over every element of the unreduced loss, or "sum", both of which give a scalar, or "none".
Raises `ShapeError` where the shapes differ (nothing broadcasts), `DTypeError` where the dtypes do, `ArgumentError` for
another reduction.

    loss = losses.sparse_softmax_cross_entropy(net(x), y)      # logits f32[N, 10], labels i32[N]
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from graphc.errors import ArgumentError, DTypeError, ShapeError
from graphc.frontend import api
from graphc.frontend.composite import composite
from graphc.frontend.indexing import expect_range, integer, matches
from graphc.frontend.promotion import as_tensor, cast
from graphc.frontend.recording import describe
from graphc.frontend.reductions import as_float
from graphc.frontend.tensor import Tensor, TensorLike
from graphc.nn.functional import centred
from graphc.sites import user_site

Reduction: TypeAlias = Literal["mean", "sum", "none"]


@composite
def mean_squared_error(prediction: TensorLike, target: TensorLike, reduction: Reduction = "mean") -> Tensor:
    """(prediction − target)²."""
    prediction, target = paired("mean_squared_error", prediction, target)
    return reduced(api.square(prediction - target), reduction)


@composite
def mean_absolute_error(prediction: TensorLike, target: TensorLike, reduction: Reduction = "mean") -> Tensor:
    """|prediction − target|."""
    prediction, target = paired("mean_absolute_error", prediction, target)
    return reduced(api.abs(prediction - target), reduction)


@composite
def huber(prediction: TensorLike, target: TensorLike, delta: float = 1.0, reduction: Reduction = "mean") -> Tensor:
    """½d² where |d| ≤ δ, else δ(|d| − ½δ), of d = prediction − target (Huber, 1964)."""
    prediction, target = paired("huber", prediction, target)
    difference = prediction - target
    size = api.abs(difference)
    near = 0.5 * api.square(difference)
    return reduced(api.where(size <= delta, near, delta * (size - 0.5 * delta)), reduction)


@composite
def sigmoid_cross_entropy(logits: TensorLike, target: TensorLike, reduction: Reduction = "mean") -> Tensor:
    """−y·ln σ(x) − (1 − y)·ln(1 − σ(x)) = max(x, 0) − x·y + log1p(e^−|x|), for each logit x and label y in [0, 1]."""
    x, y = paired("sigmoid_cross_entropy", logits, target)
    return reduced(api.maximum(x, 0) - x * y + api.log1p(api.exp(-api.abs(x))), reduction)


@composite
def softmax_cross_entropy(logits: TensorLike, target: TensorLike, reduction: Reduction = "mean") -> Tensor:
    """−Σ y·ln softmax(x) over the last axis, for target distributions y; without reduction, of shape [...]."""
    x, y = paired("softmax_cross_entropy", logits, target)
    shifted = centred(x, -1)
    log_total = api.log(api.sum(api.exp(shifted), -1, keepdims=True))
    return reduced(api.sum(y * (log_total - shifted), -1), reduction)


@composite
def sparse_softmax_cross_entropy(logits: TensorLike, target: TensorLike, reduction: Reduction = "mean") -> Tensor:
    """−ln softmax(x)[label] over the last axis, for logits [..., classes] and integer labels [...].

    Labels that are arguments of the entry are range-checked when it is called.
    """
    x, labels = as_float(logits), integer("sparse_softmax_cross_entropy", target)
    if x.type.shape[:-1] != labels.type.shape:
        raise ShapeError(
            f"sparse_softmax_cross_entropy: logits {x.type} want labels of shape ({', '.join(map(str, x.shape[:-1]))})",
            operands=[describe("logits", x.node), describe("target", labels.node)],
            site=user_site(),
            help="one whole number for each row of logits; for distributions there is softmax_cross_entropy",
        )
    classes = x.type.shape[-1]
    expect_range(labels, classes)
    shifted = centred(x, -1)
    log_total = api.log(api.sum(api.exp(shifted), -1))
    picked = api.sum(api.where(matches(labels, classes), shifted, 0.0), -1)
    return reduced(log_total - picked, reduction)


def paired(name: str, prediction: TensorLike, target: TensorLike) -> tuple[Tensor, Tensor]:
    """Prediction and target as floats of one shape. Raises `ShapeError` where they differ: nothing broadcasts here."""
    x = as_float(prediction)
    y = as_tensor(target, x.dtype) if not isinstance(target, Tensor) else target
    if x.type.shape != y.type.shape:
        raise ShapeError(
            f"{name}: prediction and target differ in shape ({x.type} and {y.type})",
            operands=[describe("prediction", x.node), describe("target", y.node)],
            site=user_site(),
            help="reshape one of them: losses do not broadcast",
        )
    if y.dtype.is_float and y.dtype != x.dtype:
        raise DTypeError(
            f"{name}: prediction is {x.dtype}, target is {y.dtype}",
            operands=[describe("prediction", x.node), describe("target", y.node)],
            site=user_site(),
            help=f"cast one of them: .astype(gr.{x.dtype})",
        )
    return x, cast(y, x.dtype)


def reduced(loss: Tensor, reduction: Reduction) -> Tensor:
    """The mean or the sum over every element, or the elements."""
    if reduction == "mean":
        return api.mean(loss)
    if reduction == "sum":
        return api.sum(loss)
    if reduction == "none":
        return loss
    raise ArgumentError(f"reduction={reduction!r}", site=user_site(), help='use "mean", "sum" or "none"')
