"""Activations and their kin, as composites of primitives: fusion makes them fast, autodiff differentiates them.

Integers are taken as f32. At a kink the derivative is that of the flat side (0 of relu at 0, as in PyTorch); at ±∞
value and derivative are the limits, and NaN stays NaN.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from graphc.errors import ShapeError
from graphc.frontend import api
from graphc.frontend.composite import composite
from graphc.frontend.indexing import one_hot
from graphc.frontend.recording import describe
from graphc.frontend.reductions import as_float, largest, normal_axes
from graphc.frontend.tensor import Axis, Tensor, TensorLike
from graphc.sites import user_site

__all__ = [
    "celu", "elu", "gelu", "glu", "hard_shrink", "hard_sigmoid", "hard_silu", "hard_swish", "hard_tanh", "identity",
    "leaky_relu", "log_sigmoid", "log_softmax", "logsumexp", "mish", "one_hot", "prelu", "relu", "relu6", "rsqrt",
    "selu", "sigmoid", "silu", "soft_shrink", "softmax", "softplus", "softsign", "swiglu", "swish", "tanh",
    "tanh_shrink", "threshold",
]  # fmt: skip

rsqrt, sigmoid, tanh = api.rsqrt, api.sigmoid, api.tanh

#: Beyond ±this the normal distribution, the sigmoid and their densities are 0 or 1 in f64 (and in f32 before).
FAR = 750.0


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
    return between(api.positive(x), 0, 6)


@composite
def leaky_relu(x: TensorLike, negative_slope: float = 0.01) -> Tensor:
    """x where x > 0, else negative_slope·x."""
    return prelu(x, negative_slope)


@composite
def prelu(x: TensorLike, slope: TensorLike) -> Tensor:
    """x where x > 0, else slope·x, for a slope that broadcasts against x, such as one for each channel."""
    x = as_float(x)
    return api.where(x > 0, x, slope * x)


@composite
def elu(x: TensorLike, alpha: float = 1.0) -> Tensor:
    """x where x > 0, else α·(eˣ − 1)."""
    x = as_float(x)
    return api.where(x > 0, x, alpha * api.expm1(api.where(x > 0, 0.0, x)))


@composite
def celu(x: TensorLike, alpha: float = 1.0) -> Tensor:
    """x where x > 0, else α·(e^(x/α) − 1) (Barron, 2017): its slope is continuous for every α."""
    x = as_float(x)
    return api.where(x > 0, x, alpha * api.expm1(api.where(x > 0, 0.0, x) / alpha))


@composite
def selu(x: TensorLike) -> Tensor:
    """λ·elu(x, α) with the constants of Klambauer et al., "Self-normalizing neural networks", 2017."""
    return 1.0507009873554805 * elu(x, 1.6732632423543772)


@composite
def hard_sigmoid(x: TensorLike) -> Tensor:
    """relu6(x + 3) / 6, that is x / 6 + ½ between 0 and 1."""
    return relu6(as_float(x) + 3.0) / 6.0


@composite
def hard_silu(x: TensorLike) -> Tensor:
    """x·hard_sigmoid(x) (Howard et al., "Searching for MobileNetV3", 2019)."""
    x = as_float(x)
    return api.where(x <= -3.0, -3.0, x) * hard_sigmoid(x)


@composite
def hard_swish(x: TensorLike) -> Tensor:
    """`hard_silu` by its other name."""
    return hard_silu(x)


@composite
def hard_tanh(x: TensorLike, min_value: float = -1.0, max_value: float = 1.0) -> Tensor:
    """x between two values."""
    return between(as_float(x), min_value, max_value)


@composite
def log_sigmoid(x: TensorLike) -> Tensor:
    """ln sigmoid(x), without overflow."""
    return -softplus(-as_float(x))


@composite
def silu(x: TensorLike) -> Tensor:
    """x·sigmoid(x)."""
    return gated(as_float(x), sigmoid)


@composite
def swish(x: TensorLike, beta: float = 1.0) -> Tensor:
    """x·sigmoid(βx)."""
    return silu(x) if beta == 1.0 else gated(as_float(x), lambda z: sigmoid(beta * z))


@composite
def mish(x: TensorLike) -> Tensor:
    """x·tanh(softplus(x)) (Misra, 2019)."""
    return gated(as_float(x), lambda z: api.tanh(softplus(z)))


@composite
def gelu(x: TensorLike, approximate: bool = False) -> Tensor:
    """x·Φ(x) by erf, or with `approximate` the tanh form of Hendrycks and Gimpel, 2016."""
    if approximate:
        scale = math.sqrt(2.0 / math.pi)
        return gated(as_float(x), lambda z: 0.5 * (1.0 + api.tanh(scale * (z + 0.044715 * (z * z * z)))))
    return gated(as_float(x), lambda z: 0.5 * (1.0 + api.erf(z * math.sqrt(0.5))))


@composite
def softplus(x: TensorLike, beta: float = 1.0) -> Tensor:
    """ln(1 + e^(βx)) / β = max(x, 0) + log1p(e^−|βx|) / β, without overflow."""
    x = as_float(x)
    y = x if beta == 1.0 else beta * x
    tail = api.log1p(api.exp(api.where(y > 0, -y, y)))  # smooth on either side: right to any order at 0 too
    return api.where(y > 0, x, 0.0) + (tail if beta == 1.0 else tail / beta)


@composite
def softsign(x: TensorLike) -> Tensor:
    """x / (1 + |x|)."""
    x = as_float(x)
    largest = api.finfo(x).max
    x = between(x, -largest, largest)
    return x / (1.0 + api.abs(x))


@composite
def hard_shrink(x: TensorLike, threshold: float = 0.5) -> Tensor:
    """x where |x| > threshold, else 0."""
    x = as_float(x)
    return api.where(api.abs(x) <= threshold, 0.0, x)


@composite
def soft_shrink(x: TensorLike, threshold: float = 0.5) -> Tensor:
    """x moved towards 0 by the threshold, as far as 0."""
    x = as_float(x)
    return api.where(api.abs(x) <= threshold, 0.0, x - threshold * api.sign(x))


@composite
def tanh_shrink(x: TensorLike) -> Tensor:
    """x − tanh(x)."""
    x = as_float(x)
    return x - api.tanh(x)


@composite
def threshold(x: TensorLike, threshold: float, value: float) -> Tensor:
    """x where x > threshold, else the value."""
    x = as_float(x)
    return api.where(x <= threshold, value, x)


@composite
def glu(x: TensorLike, axis: int = -1) -> Tensor:
    """a·sigmoid(b) for the halves a and b of an axis (Dauphin et al., 2017). Raises `ShapeError` where it has none."""
    a, b = halves("glu", as_float(x), axis)
    return a * sigmoid(b)


@composite
def swiglu(x: TensorLike, axis: int = -1) -> Tensor:
    """silu(a)·b for the halves a and b of an axis (Shazeer, 2020). Raises `ShapeError` where it has none."""
    a, b = halves("swiglu", as_float(x), axis)
    return silu(a) * b


@composite
def softmax(x: TensorLike, axis: Axis = -1) -> Tensor:
    """exp(x) over its sum along axes, without overflow: the maximum is subtracted first."""
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
    most = largest(x, axis)
    shift = api.where(api.isfinite(most), most, 0.0)
    total = api.log(api.sum(api.exp(x - shift), axis, keepdims=True)) + shift
    return total if keepdims else api.squeeze(total, axis if axis is not None else tuple(range(x.ndim)))


def centred(x: TensorLike, axis: Axis) -> Tensor:
    """x minus its maximum along an axis, which changes no softmax and is a constant to differentiation."""
    x = as_float(x)
    return x - largest(x, axis)


def between(x: Tensor, low: float, high: float) -> Tensor:
    """x between two values; where it is at or beyond one, a constant."""
    return api.where(x <= low, low, api.where(x >= high, high, x))


def gated(x: Tensor, gate: Callable[[Tensor], Tensor]) -> Tensor:
    """x·gate(x) for a gate that rises from 0 to 1: at −∞ it is −0 and not NaN, and its slopes at ±∞ are 0 and 1."""
    return api.where(x < -FAR, -FAR, x) * gate(between(x, -FAR, FAR))


def halves(name: str, x: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """The two halves of an axis."""
    (along,) = normal_axes(x, axis)
    size = x.shape[along]
    if not isinstance(size, int) or size % 2:
        raise ShapeError(
            f"{name}: an axis of {size} has no halves", operands=[describe("x", x.node)], site=user_site()
        )
    before = (slice(None),) * along
    return x[(*before, slice(None, size // 2))], x[(*before, slice(size // 2, None))]
