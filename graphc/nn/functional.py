"""Functions of networks, as composites of primitives: fusion makes them fast, autodiff differentiates them."""

from __future__ import annotations

import math

from graphc.frontend import api
from graphc.frontend.composite import composite
from graphc.frontend.indexing import one_hot
from graphc.frontend.reductions import as_float
from graphc.frontend.tensor import Axis, Tensor, TensorLike

__all__ = [
    "elu", "gelu", "hard_sigmoid", "identity", "leaky_relu", "log_sigmoid", "log_softmax", "logsumexp", "one_hot",
    "relu", "relu6", "rsqrt", "selu", "sigmoid", "silu", "softmax", "softplus", "softsign", "swish", "tanh",
]  # fmt: skip

rsqrt, sigmoid, tanh = api.rsqrt, api.sigmoid, api.tanh


@composite
def identity(x: TensorLike) -> Tensor:
    """x."""
    return api.positive(x)


@composite
def relu(x: TensorLike) -> Tensor:
    """max(x, 0); its derivative at 0 is 0; NaN stays NaN."""
    x = api.positive(x)
    return api.where(x <= 0, 0, x)


@composite
def relu6(x: TensorLike) -> Tensor:
    """min(max(x, 0), 6)."""
    return api.minimum(relu(x), 6)


@composite
def leaky_relu(x: TensorLike, negative_slope: float = 0.01) -> Tensor:
    """x where x > 0, else negative_slope·x."""
    x = as_float(x)
    return api.where(x > 0, x, negative_slope * x)


@composite
def elu(x: TensorLike, alpha: float = 1.0) -> Tensor:
    """x where x > 0, else α·(eˣ − 1)."""
    x = as_float(x)
    return api.where(x > 0, x, alpha * api.expm1(api.where(x > 0, 0.0, x)))


@composite
def selu(x: TensorLike) -> Tensor:
    """λ·elu(x, α) with the constants of Klambauer et al., "Self-normalizing neural networks", 2017."""
    return 1.0507009873554805 * elu(x, 1.6732632423543772)


@composite
def hard_sigmoid(x: TensorLike) -> Tensor:
    """x / 6 + ½ between 0 and 1."""
    return api.clip(as_float(x) * (1.0 / 6.0) + 0.5, 0.0, 1.0)


@composite
def log_sigmoid(x: TensorLike) -> Tensor:
    """ln sigmoid(x), without overflow."""
    return -softplus(-as_float(x))


@composite
def silu(x: TensorLike) -> Tensor:
    """x·sigmoid(x)."""
    x = as_float(x)
    return x * sigmoid(x)


@composite
def swish(x: TensorLike, beta: float = 1.0) -> Tensor:
    """x·sigmoid(βx)."""
    x = as_float(x)
    return x * sigmoid(beta * x)


@composite
def softplus(x: TensorLike) -> Tensor:
    """ln(1 + eˣ) = max(x, 0) + log1p(e^−|x|), without overflow; the tie of max gives the slope ½ at 0."""
    x = as_float(x)
    return api.maximum(x, 0) + api.log1p(api.exp(-api.abs(x)))


@composite
def softsign(x: TensorLike) -> Tensor:
    """x / (1 + |x|)."""
    x = as_float(x)
    return x / (1.0 + api.abs(x))


@composite
def gelu(x: TensorLike, approximate: bool = False) -> Tensor:
    """x·Φ(x) by erf, or with `approximate` the tanh form of Hendrycks and Gimpel, 2016."""
    x = as_float(x)
    if approximate:
        inner = math.sqrt(2.0 / math.pi) * (x + 0.044715 * (x * x * x))
        return 0.5 * x * (1.0 + api.tanh(inner))
    return 0.5 * x * (1.0 + api.erf(x * math.sqrt(0.5)))


@composite
def softmax(x: TensorLike, axis: Axis = -1) -> Tensor:
    """exp(x) over its sum along an axis, without overflow: the maximum is subtracted first."""
    powers = api.exp(centred(x, axis))
    return powers / api.sum(powers, axis, keepdims=True)


@composite
def log_softmax(x: TensorLike, axis: Axis = -1) -> Tensor:
    """ln softmax(x) = (x − max) − ln Σ exp(x − max)."""
    shifted = centred(x, axis)
    return shifted - api.log(api.sum(api.exp(shifted), axis, keepdims=True))


@composite
def logsumexp(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """ln Σ exp(x) along axes, without overflow; −∞ where every element is −∞."""
    x = as_float(x)
    largest = api.stop_gradient(api.max(x, axis, keepdims=True))
    shift = api.where(api.isfinite(largest), largest, 0.0)
    total = api.log(api.sum(api.exp(x - shift), axis, keepdims=True)) + shift
    return total if keepdims else api.squeeze(total, axis if axis is not None else tuple(range(x.ndim)))


def centred(x: TensorLike, axis: Axis) -> Tensor:
    """x minus its maximum along an axis, which changes no softmax and is a constant to differentiation."""
    x = as_float(x)
    return x - api.stop_gradient(api.max(x, axis, keepdims=True))
