"""Initial values of Variables: functions from a shape to an `Initial`, drawn from (seed, name) in compiled code.

`gr.Variable(init.glorot_uniform((64, 128)))`; layers take the function itself, or its name, as in
`nn.Dense(8, kernel_initializer=init.he_normal)`. Fans: the last two axes are inputs and outputs, axes before them
(a convolution's window) multiply both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal, TypeAlias

from graphc.errors import ArgumentError
from graphc.frontend import api, random
from graphc.frontend.promotion import cast
from graphc.frontend.random import Key
from graphc.frontend.tensor import Tensor
from graphc.frontend.variable import Initial, expect_constant
from graphc.ir.types import DType, TensorType, f32
from graphc.sites import user_site

Shape: TypeAlias = Sequence[int]
Initializer: TypeAlias = Callable[[Shape, DType], Initial]

#: The standard deviation of a standard normal truncated at ±2.
TRUNCATED_STDDEV = 0.87962566103423978


def initial(shape: Shape, dtype: DType, draw: Callable[..., Tensor], *settings: float) -> Initial:
    """An initial value of a shape: draw(type, *settings, key), which gives that type."""
    type_ = TensorType(dtype, tuple(shape))
    return Initial(type_, partial(draw, type_, *settings))


def zeros(shape: Shape = (), dtype: DType = f32) -> Initial:
    """Zeros."""
    return constant(shape, dtype, value=0.0)


def ones(shape: Shape = (), dtype: DType = f32) -> Initial:
    """Ones."""
    return constant(shape, dtype, value=1.0)


def constant(shape: Shape = (), dtype: DType = f32, *, value: float) -> Initial:
    """One value everywhere."""
    return initial(shape, dtype, draw_constant, value)


def draw_constant(type_: TensorType, value: float, key: Key) -> Tensor:
    """One value, whatever the key."""
    return api.full(type_.shape, value, type_.dtype)


def uniform(shape: Shape = (), dtype: DType = f32, *, low: float = -0.05, high: float = 0.05) -> Initial:
    """Uniform on [low, high)."""
    return initial(shape, dtype, draw_uniform, low, high)


def draw_uniform(type_: TensorType, low: float, high: float, key: Key) -> Tensor:
    """Uniform on [low, high), in the dtype that the type's is computed in."""
    return cast(random.uniform(type_.shape, key, low, high, type_.dtype.computed), type_.dtype)


def normal(shape: Shape = (), dtype: DType = f32, *, mean: float = 0.0, stddev: float = 0.05) -> Initial:
    """Normal."""
    return initial(shape, dtype, draw_normal, mean, stddev)


def draw_normal(type_: TensorType, mean: float, stddev: float, key: Key) -> Tensor:
    """Normal, in the dtype that the type's is computed in."""
    return cast(random.normal(type_.shape, key, mean, stddev, type_.dtype.computed), type_.dtype)


def truncated_normal(shape: Shape = (), dtype: DType = f32, *, stddev: float = 0.05) -> Initial:
    """Normal of a standard deviation `stddev` before values beyond two of them are drawn anew."""
    return initial(shape, dtype, draw_truncated_normal, stddev)


def draw_truncated_normal(type_: TensorType, stddev: float, key: Key) -> Tensor:
    """Normal within two standard deviations, in the dtype that the type's is computed in."""
    return cast(random.truncated_normal(type_.shape, key, 2.0, type_.dtype.computed) * stddev, type_.dtype)


def variance_scaling(
    shape: Shape,
    dtype: DType = f32,
    *,
    scale: float = 1.0,
    mode: Literal["fan_in", "fan_out", "fan_avg"] = "fan_in",
    distribution: Literal["uniform", "normal", "truncated_normal"] = "truncated_normal",
) -> Initial:
    """Of variance scale / fan, whatever the distribution: uniform in ±√(3·variance), or normal."""
    fan_in, fan_out = fans(shape)
    fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": 0.5 * (fan_in + fan_out)}.get(mode)
    if fan is None:
        raise ArgumentError(f"variance_scaling: mode={mode!r}", site=user_site(), help="fan_in, fan_out or fan_avg")
    stddev = math.sqrt(scale / max(fan, 1.0))
    if distribution == "uniform":
        return uniform(shape, dtype, low=-math.sqrt(3.0) * stddev, high=math.sqrt(3.0) * stddev)
    if distribution == "normal":
        return normal(shape, dtype, stddev=stddev)
    if distribution == "truncated_normal":
        return truncated_normal(shape, dtype, stddev=stddev / TRUNCATED_STDDEV)
    raise ArgumentError(
        f"variance_scaling: distribution={distribution!r}",
        site=user_site(),
        help="uniform, normal or truncated_normal",
    )


def glorot_uniform(shape: Shape, dtype: DType = f32) -> Initial:
    """Uniform in ±√(6 / (n_in + n_out)) (Glorot and Bengio, 2010)."""
    return variance_scaling(shape, dtype, mode="fan_avg", distribution="uniform")


def glorot_normal(shape: Shape, dtype: DType = f32, *, truncated: bool = False) -> Initial:
    """Normal, σ = √(2 / (n_in + n_out))."""
    return variance_scaling(shape, dtype, mode="fan_avg", distribution=normal_kind(truncated))


def he_uniform(shape: Shape, dtype: DType = f32) -> Initial:
    """Uniform in ±√(6 / n_in) (He et al., 2015)."""
    return variance_scaling(shape, dtype, scale=2.0, distribution="uniform")


def he_normal(shape: Shape, dtype: DType = f32, *, truncated: bool = False) -> Initial:
    """Normal, σ = √(2 / n_in)."""
    return variance_scaling(shape, dtype, scale=2.0, distribution=normal_kind(truncated))


def lecun_uniform(shape: Shape, dtype: DType = f32) -> Initial:
    """Uniform in ±√(3 / n_in)."""
    return variance_scaling(shape, dtype, distribution="uniform")


def lecun_normal(shape: Shape, dtype: DType = f32, *, truncated: bool = False) -> Initial:
    """Normal, σ = √(1 / n_in)."""
    return variance_scaling(shape, dtype, distribution=normal_kind(truncated))


def normal_kind(truncated: bool) -> Literal["normal", "truncated_normal"]:
    """The normal distribution, cut at 2σ (and rescaled) or not."""
    return "truncated_normal" if truncated else "normal"


def fans(shape: Shape) -> tuple[float, float]:
    """How many inputs and outputs a kernel of a shape connects."""
    expect_constant(shape)
    if len(shape) < 2:
        size = float(shape[0]) if shape else 1.0
        return size, size
    window = math.prod(shape[:-2])
    return float(window * shape[-2]), float(window * shape[-1])


NAMED: dict[str, Initializer] = {
    "zeros": zeros,
    "ones": ones,
    "uniform": uniform,
    "normal": normal,
    "truncated_normal": truncated_normal,
    "glorot_uniform": glorot_uniform,
    "xavier_uniform": glorot_uniform,
    "glorot_normal": glorot_normal,
    "xavier_normal": glorot_normal,
    "he_uniform": he_uniform,
    "he_normal": he_normal,
    "lecun_uniform": lecun_uniform,
    "lecun_normal": lecun_normal,
}


def get(initializer: str | Initializer) -> Initializer:
    """An initialiser by name, or itself."""
    if not isinstance(initializer, str):
        return initializer
    if initializer not in NAMED:
        raise ArgumentError(f"no initialiser {initializer!r}", site=user_site(), help=", ".join(NAMED))
    return NAMED[initializer]
