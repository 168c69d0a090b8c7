"""Losses: a prediction against a target of the same shape, both floats of one dtype (integers are cast).

`reduction` is "mean", over every element of the unreduced loss, or "sum", both of which give a scalar, or "none".
`weights`, of the unreduced loss's shape or of its first axes, multiply its elements; the mean is still over their
number, as in Keras. `mask`, booleans of such a shape, leaves elements out: they are 0, and the mean skips them; where
nothing is left it is 0, with gradients of 0, so that a batch of padding alone changes nothing (PyTorch gives NaN).
Raises `ShapeError` where shapes differ (predictions and targets never broadcast), `DTypeError` where dtypes do,
`ArgumentError` for another reduction.

    loss = losses.sparse_softmax_cross_entropy(net(x), y)      # logits f32[N, 10], labels i32[N]
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from graphc.errors import ArgumentError, DTypeError, ShapeError
from graphc.frontend import api
from graphc.frontend.composite import composite
from graphc.frontend.indexing import matches
from graphc.frontend.indices import expect_range
from graphc.frontend.numbers import is_number, is_within
from graphc.frontend.promotion import as_tensor, cast
from graphc.frontend.recording import describe
from graphc.frontend.reductions import as_float
from graphc.frontend.tensor import Tensor, TensorLike
from graphc.ir.types import bool_
from graphc.nn.functional import centred, softplus
from graphc.sites import user_site
from graphc.suggest import refusing

Reduction: TypeAlias = Literal["mean", "sum", "none"]


@composite
def mean_squared_error(
    prediction: TensorLike, target: TensorLike, reduction: Reduction = "mean", *, weights: TensorLike | None = None,
    mask: TensorLike | None = None,
) -> Tensor:  # fmt: skip
    """(prediction − target)²."""
    prediction, target = paired("mean_squared_error", prediction, target)
    return reduced(api.square(prediction - target), reduction, weights, mask)


@composite
def mean_absolute_error(
    prediction: TensorLike, target: TensorLike, reduction: Reduction = "mean", *, weights: TensorLike | None = None,
    mask: TensorLike | None = None,
) -> Tensor:  # fmt: skip
    """|prediction − target|."""
    prediction, target = paired("mean_absolute_error", prediction, target)
    return reduced(api.abs(prediction - target), reduction, weights, mask)


@composite
def sum_squared_error(
    prediction: TensorLike, target: TensorLike, reduction: Reduction = "sum", *, weights: TensorLike | None = None,
    mask: TensorLike | None = None,
) -> Tensor:  # fmt: skip
    """Σ(prediction − target)²: `mean_squared_error` with the sum as its reduction (no factor ½)."""
    return mean_squared_error(prediction, target, reduction, weights=weights, mask=mask)


@composite
def huber(
    prediction: TensorLike, target: TensorLike, reduction: Reduction = "mean", delta: float = 1.0, *,
    weights: TensorLike | None = None, mask: TensorLike | None = None,
) -> Tensor:  # fmt: skip
    """½d² where |d| ≤ δ, else δ(|d| − ½δ), of d = prediction − target (Huber, 1964).

    Raises `ArgumentError` where δ is a number that is not positive.
    """
    if not isinstance(delta, Tensor) and not (is_number(delta) and delta > 0):
        raise ArgumentError(f"huber: delta={delta!r} is not a positive number", site=user_site(), help="give δ > 0")
    prediction, target = paired("huber", prediction, target)
    difference = prediction - target
    size = api.abs(difference)
    near = 0.5 * api.square(difference)
    return reduced(api.where(size <= delta, near, delta * (size - 0.5 * delta)), reduction, weights, mask)


@composite
def sigmoid_cross_entropy(
    logits: TensorLike, target: TensorLike, reduction: Reduction = "mean", *, label_smoothing: float = 0.0,
    weights: TensorLike | None = None, mask: TensorLike | None = None,
) -> Tensor:  # fmt: skip
    """−y·ln σ(x) − (1 − y)·ln(1 − σ(x)) = max(x, 0) − x·y + log1p(e^−|x|), for each logit x and label y in [0, 1].

    Label smoothing ε trains towards (1 − ε)·y + ½ε.
    """
    x, y = paired("sigmoid_cross_entropy", logits, target)
    expect_smoothing(label_smoothing)
    if label_smoothing:
        y = (1.0 - label_smoothing) * y + 0.5 * label_smoothing
    return reduced(softplus(x) - x * y, reduction, weights, mask)


@composite
def softmax_cross_entropy(
    logits: TensorLike, target: TensorLike, reduction: Reduction = "mean", *, label_smoothing: float = 0.0,
    weights: TensorLike | None = None, mask: TensorLike | None = None,
) -> Tensor:  # fmt: skip
    """−Σ y·ln softmax(x) over the last axis, for target distributions y; without reduction, of shape [...].

    Label smoothing ε trains towards (1 − ε)·y + ε / classes (Szegedy et al., 2016).
    """
    x, y = paired("softmax_cross_entropy", logits, target)
    expect_smoothing(label_smoothing)
    if label_smoothing:
        y = (1.0 - label_smoothing) * y + label_smoothing / x.shape[-1]
    shifted = centred(x, -1)
    log_total = api.log(api.sum(api.exp(shifted), -1, keepdims=True))
    return reduced(api.sum(y * (log_total - shifted), -1), reduction, weights, mask)


@composite
def sparse_softmax_cross_entropy(
    logits: TensorLike, target: TensorLike, reduction: Reduction = "mean", *, label_smoothing: float = 0.0,
    weights: TensorLike | None = None, mask: TensorLike | None = None,
) -> Tensor:  # fmt: skip
    """−ln softmax(x)[label] over the last axis, for logits [..., classes] and integer labels [...].

    Label smoothing as in `softmax_cross_entropy`. Labels that are arguments of the entry are range-checked when it is
    called.
    """
    x, labels = as_float(logits), as_tensor(target)
    if not labels.dtype.is_integer:
        raise DTypeError(
            f"sparse_softmax_cross_entropy: the target is {labels.dtype}, labels are integers",
            operands=[describe("logits", x.node), describe("target", labels.node)],
            site=user_site(),
            help="logits come first, then labels: y.astype(gr.i32) casts; for distributions softmax_cross_entropy",
        )
    if not x.ndim or x.type.shape[:-1] != labels.type.shape:
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
    expect_smoothing(label_smoothing)
    picked = api.sum(api.where(matches(labels, classes), shifted, 0.0), -1)
    if label_smoothing:
        picked = (1.0 - label_smoothing) * picked + label_smoothing * api.mean(shifted, -1)
    return reduced(log_total - picked, reduction, weights, mask)


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


def expect_smoothing(label_smoothing: float) -> None:
    """Raise `ArgumentError` unless a share of smoothing lies in [0, 1]."""
    if not is_within(label_smoothing, 0, 1):
        raise ArgumentError(
            f"label_smoothing={label_smoothing!r} is not a share", site=user_site(), help="give a number from 0 to 1"
        )


def reduced(
    loss: Tensor, reduction: Reduction, weights: TensorLike | None = None, mask: TensorLike | None = None
) -> Tensor:
    """The mean or the sum over every element, or the elements, after weights and mask."""
    if reduction not in ("mean", "sum", "none"):
        raise ArgumentError(f"reduction={reduction!r}", site=user_site(), help='use "mean", "sum" or "none"')
    kept = None if mask is None else spread("mask", mask, loss)
    if weights is not None:
        loss = loss * cast(spread("weights", weights, loss), loss.dtype)
    if kept is not None:
        loss = api.where(kept.astype(bool_), loss, 0.0)
    if reduction == "none":
        return loss
    if reduction == "sum":
        return api.sum(loss)
    if kept is None:
        return api.mean(loss)
    return api.sum(loss) / api.maximum(api.sum(kept.astype(bool_).astype(loss.dtype)), 1.0)


def spread(name: str, values: TensorLike, loss: Tensor) -> Tensor:
    """Values for the first axes of a loss, repeated along the others. Raises `ShapeError` where they do not fit."""
    given = as_tensor(values)
    if given.type.shape != loss.type.shape[: given.ndim]:
        raise ShapeError(
            f"{name} {given.type} do not fit the unreduced loss {loss.type}",
            operands=[describe(name, given.node)],
            site=user_site(),
            help="give one for each element, or for each position of the first axes",
        )
    shaped = api.reshape(given, (*given.shape, *[1] * (loss.ndim - given.ndim)))
    return api.broadcast_to(shaped, loss.shape)


__all__ = [
    "huber", "mean_absolute_error", "mean_squared_error", "sigmoid_cross_entropy", "softmax_cross_entropy",
    "sparse_softmax_cross_entropy", "sum_squared_error",
]  # fmt: skip

#: Names of other libraries.
ALTERNATIVES = {
    **dict.fromkeys(("mse", "mse_loss", "MSELoss", "MeanSquaredError"), "losses.mean_squared_error"),
    **dict.fromkeys(("mae", "l1_loss", "L1Loss", "MeanAbsoluteError"), "losses.mean_absolute_error"),
    **dict.fromkeys(("smooth_l1_loss", "huber_loss", "HuberLoss", "Huber"), "losses.huber"),
    **dict.fromkeys(
        ("cross_entropy", "CrossEntropyLoss", "nll_loss", "sparse_categorical_crossentropy"),
        "losses.sparse_softmax_cross_entropy(logits, labels), losses.softmax_cross_entropy for probabilities",
    ),
    **dict.fromkeys(
        ("categorical_crossentropy", "CategoricalCrossentropy"), "losses.softmax_cross_entropy(logits, target)"
    ),
    "SparseCategoricalCrossentropy": "losses.sparse_softmax_cross_entropy(logits, labels)",
    **dict.fromkeys(
        ("binary_crossentropy", "binary_cross_entropy", "binary_cross_entropy_with_logits", "BCEWithLogitsLoss",
         "BCELoss", "BinaryCrossentropy"),
        "losses.sigmoid_cross_entropy(logits, target)",
    ),
}

__getattr__ = refusing("losses", __all__, ALTERNATIVES)
