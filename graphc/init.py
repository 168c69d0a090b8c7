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

from graphc.errors import ArgumentError, ShapeError
from graphc.frontend import api, random
from graphc.frontend.control import scan
from graphc.frontend.numbers import is_count, is_number
from graphc.frontend.promotion import as_tensor, cast
from graphc.frontend.random import Key
from graphc.frontend.tensor import Tensor
from graphc.frontend.variable import Initial, expect_constant
from graphc.ir.types import DType, TensorType, f32, i64
from graphc.sites import user_site
from graphc.suggest import answering, refusing

Shape: TypeAlias = Sequence[int]
Initializer: TypeAlias = Callable[[Shape, DType], Initial]
#: A factor, or the name of the activation that it is for.
Gain: TypeAlias = float | str

#: The standard deviation of a standard normal truncated at ±2.
TRUNCATED_STDDEV = 0.87962566103423978


def initial(shape: Shape, dtype: DType, draw: Callable[..., Tensor], *settings: float) -> Initial:
    """An initial value of a shape: draw(type, *settings, key), which gives that type.

    Raises `ArgumentError` for what is no shape, no dtype, or a setting that is no number, and `ShapeError` for a
    symbolic shape.
    """
    for value in settings:
        if not is_number(value):
            message = f"an initialiser got {value!r} for a number"
            raise ArgumentError(message, site=user_site(), help="give a finite one")
    if not isinstance(dtype, DType):
        raise ArgumentError(f"{dtype!r} is no dtype", site=user_site(), help="give one of graphc's, such as gr.f32")
    type_ = TensorType(dtype, sizes_of(shape))
    return Initial(type_, partial(draw, type_, *settings))


@answering()
def zeros(shape: Shape = (), dtype: DType = f32) -> Initial:
    """Zeros."""
    return constant(shape, dtype, value=0.0)


@answering()
def ones(shape: Shape = (), dtype: DType = f32) -> Initial:
    """Ones."""
    return constant(shape, dtype, value=1.0)


@answering()
def constant(shape: Shape = (), dtype: DType = f32, *, value: float) -> Initial:
    """One value everywhere."""
    return initial(shape, dtype, draw_constant, value)


def draw_constant(type_: TensorType, value: float, key: Key) -> Tensor:
    """One value, whatever the key."""
    return api.full(type_.shape, value, type_.dtype)


@answering()
def uniform(shape: Shape = (), dtype: DType = f32, *, low: float = -0.05, high: float = 0.05) -> Initial:
    """Uniform on [low, high)."""
    return initial(shape, dtype, draw_uniform, low, high)


def draw_uniform(type_: TensorType, low: float, high: float, key: Key) -> Tensor:
    """Uniform on [low, high), in the dtype that the type's is computed in."""
    return cast(random.uniform(type_.shape, key, low, high, type_.dtype.computed), type_.dtype)


@answering()
def normal(shape: Shape = (), dtype: DType = f32, *, mean: float = 0.0, stddev: float = 0.05) -> Initial:
    """Normal."""
    return initial(shape, dtype, draw_normal, mean, stddev)


def draw_normal(type_: TensorType, mean: float, stddev: float, key: Key) -> Tensor:
    """Normal, in the dtype that the type's is computed in."""
    return cast(random.normal(type_.shape, key, mean, stddev, type_.dtype.computed), type_.dtype)


@answering()
def truncated_normal(shape: Shape = (), dtype: DType = f32, *, stddev: float = 0.05) -> Initial:
    """Normal of a standard deviation `stddev` before values beyond two of them are drawn anew."""
    return initial(shape, dtype, draw_truncated_normal, stddev)


def draw_truncated_normal(type_: TensorType, stddev: float, key: Key) -> Tensor:
    """Normal within two standard deviations, in the dtype that the type's is computed in."""
    return cast(random.truncated_normal(type_.shape, key, 2.0, type_.dtype.computed) * stddev, type_.dtype)


@answering()
def variance_scaling(
    shape: Shape,
    dtype: DType = f32,
    *,
    scale: float = 1.0,
    mode: Literal["fan_in", "fan_out", "fan_avg"] = "fan_in",
    distribution: Literal["uniform", "normal", "truncated_normal"] = "truncated_normal",
) -> Initial:
    """Of variance scale / fan, whatever the distribution: uniform in ±√(3·variance), or normal.

    Raises `ArgumentError` for a scale below 0, another mode or distribution.
    """
    if not is_number(scale) or scale < 0:
        raise ArgumentError(f"variance_scaling: scale={scale!r}", site=user_site(), help="give a number of at least 0")
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


@answering()
def glorot_uniform(shape: Shape, dtype: DType = f32, *, gain: Gain = 1.0) -> Initial:
    """Uniform in ±gain·√(6 / (n_in + n_out)) (Glorot and Bengio, 2010)."""
    return variance_scaling(shape, dtype, scale=factor(gain) ** 2, mode="fan_avg", distribution="uniform")


@answering()
def glorot_normal(shape: Shape, dtype: DType = f32, *, gain: Gain = 1.0, truncated: bool = False) -> Initial:
    """Normal, σ = gain·√(2 / (n_in + n_out)); `truncated` at 2σ and rescaled, as Keras's and JAX's is."""
    scale = factor(gain) ** 2
    return variance_scaling(shape, dtype, scale=scale, mode="fan_avg", distribution=normal_kind(truncated))


@answering()
def he_uniform(shape: Shape, dtype: DType = f32, *, slope: float = 0.0) -> Initial:
    """Uniform in ±√(6 / ((1 + slope²)·n_in)) (He et al., 2015); `slope` is that of a leaky ReLU."""
    return variance_scaling(shape, dtype, scale=leaky_gain(slope) ** 2, distribution="uniform")


@answering()
def he_normal(shape: Shape, dtype: DType = f32, *, slope: float = 0.0, truncated: bool = False) -> Initial:
    """Normal, σ = √(2 / ((1 + slope²)·n_in)); `truncated` at 2σ and rescaled, as Keras's and JAX's is."""
    return variance_scaling(shape, dtype, scale=leaky_gain(slope) ** 2, distribution=normal_kind(truncated))


@answering()
def lecun_uniform(shape: Shape, dtype: DType = f32) -> Initial:
    """Uniform in ±√(3 / n_in)."""
    return variance_scaling(shape, dtype, distribution="uniform")


@answering()
def lecun_normal(shape: Shape, dtype: DType = f32, *, truncated: bool = False) -> Initial:
    """Normal, σ = √(1 / n_in); `truncated` at 2σ and rescaled, as Keras's and JAX's is."""
    return variance_scaling(shape, dtype, distribution=normal_kind(truncated))


@answering()
def torch_uniform(shape: Shape, dtype: DType = f32, *, fan_in: float | None = None) -> Initial:
    """Uniform in ±1/√n_in: what PyTorch's linear and convolution layers start with.

    A bias does not know how many inputs its unit has: `functools.partial(init.torch_uniform, fan_in=64)`.
    """
    limit = 1.0 / math.sqrt(max(fans(shape)[0] if fan_in is None else fan_in, 1.0))
    return uniform(shape, dtype, low=-limit, high=limit)


@answering()
def orthogonal(shape: Shape, dtype: DType = f32, *, gain: Gain = 1.0) -> Initial:
    """gain·Q, where QᵀQ = 1 (or QQᵀ = 1, if there are more columns than rows) (Saxe et al., 2014).

    Q is of the QR decomposition of a normal matrix, with R's diagonal positive: evenly distributed. Axes but the last
    are taken as one, as in Keras. Raises `ShapeError` for fewer than two axes.
    """
    if len(sizes_of(shape)) < 2:
        raise ShapeError(
            f"orthogonal: the shape {tuple(shape)} has no rows and columns",
            site=user_site(),
            help="it is for kernels, of two axes or more",
        )
    return initial(shape, dtype, draw_orthogonal, factor(gain))


def draw_orthogonal(type_: TensorType, gain: float, key: Key) -> Tensor:
    """The columns, or the rows if these are fewer, orthonormal."""
    *window, columns = (int(s) for s in type_.shape)  # type: ignore[arg-type]
    rows = math.prod(window)
    few, many = sorted((rows, columns))
    basis = orthonormal(random.normal((few, many), key, dtype=type_.dtype.computed))
    matrix = basis if rows < columns else api.matrix_transpose(basis)
    return cast(api.reshape(gain * matrix, type_.shape), type_.dtype)


def orthonormal(vectors: Tensor) -> Tensor:
    """The rows made orthonormal one after the other: Gram and Schmidt's way, done twice to lose no digits."""

    def add(carry: tuple[Tensor, Tensor], vector: Tensor) -> tuple[tuple[Tensor, Tensor], None]:
        basis, number = carry
        for _ in range(2):
            vector = vector - api.matmul(api.matmul(basis, vector), basis)
        unit = vector / api.sqrt(api.sum(api.square(vector)))
        return (basis.at[number].set(unit), number + 1), None

    start = api.zeros_like(vectors), as_tensor(0, i64)
    carry: tuple[Tensor, Tensor] = scan(add, start, vectors)[0]
    return carry[0]


@answering()
def gain(activation: str, slope: float = 0.01) -> float:
    """The factor that keeps the variance of what goes through an activation: PyTorch's `calculate_gain`.

    linear and sigmoid 1 (some lecture notes have 4 for sigmoid), tanh 5/3, relu √2, leaky_relu √(2/(1 + slope²)),
    selu ¾. Raises `ArgumentError` for another activation.

        functools.partial(init.glorot_normal, gain=init.gain("tanh"))      # or gain="tanh"
    """
    gains = {**GAINS, "leaky_relu": leaky_gain(slope)}
    if activation not in gains:
        raise ArgumentError(f"no gain is known for {activation!r}", site=user_site(), help=", ".join(gains))
    return gains[activation]


#: Gains by activation.
GAINS = {"linear": 1.0, "sigmoid": 1.0, "tanh": 5.0 / 3.0, "relu": math.sqrt(2.0), "selu": 0.75}


def leaky_gain(slope: float) -> float:
    """√(2 / (1 + slope²))."""
    return math.sqrt(2.0 / (1.0 + slope**2))


def factor(gain_: Gain) -> float:
    """A gain as a number, from an activation's name or itself."""
    return gain(gain_) if isinstance(gain_, str) else float(gain_)


def normal_kind(truncated: bool) -> Literal["normal", "truncated_normal"]:
    """The normal distribution, cut at 2σ (and rescaled) or not."""
    return "truncated_normal" if truncated else "normal"


def sizes_of(shape: Shape) -> tuple[int, ...]:
    """A shape as whole numbers. Raises `ArgumentError` for what is none, `ShapeError` for a symbolic one."""
    if isinstance(shape, str) or not isinstance(shape, Sequence):
        raise ArgumentError(f"{shape!r} is no shape", site=user_site(), help="give a tuple of sizes, such as (64, 10)")
    expect_constant(shape)
    for size in shape:
        if not is_count(size, 0):
            message = f"{size!r} in the shape {tuple(shape)} is no size"
            raise ArgumentError(message, site=user_site(), help="sizes are integers from 0 on")
    return tuple(int(size) for size in shape)


def fans(shape: Shape) -> tuple[float, float]:
    """How many inputs and outputs a kernel of a shape connects."""
    shape = sizes_of(shape)
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
    "kaiming_uniform": he_uniform,
    "kaiming_normal": he_normal,
    "lecun_uniform": lecun_uniform,
    "lecun_normal": lecun_normal,
    "torch_uniform": torch_uniform,
    "orthogonal": orthogonal,
}


def get(initializer: str | Initializer) -> Initializer:
    """An initialiser by name, or itself. Raises `ArgumentError` for what is neither a name of one nor a function."""
    if callable(initializer):
        return initializer
    if not isinstance(initializer, str) or initializer not in NAMED:
        help = f"give a function of shape and dtype, such as init.he_normal, or a name: {', '.join(NAMED)}"
        raise ArgumentError(f"no initialiser {initializer!r}", site=user_site(), help=help)
    return NAMED[initializer]


__all__ = [
    "constant", "gain", "glorot_normal", "glorot_uniform", "he_normal", "he_uniform", "lecun_normal", "lecun_uniform",
    "normal", "ones", "orthogonal", "torch_uniform", "truncated_normal", "uniform", "variance_scaling", "zeros",
]  # fmt: skip

#: Names of other libraries.
ALTERNATIVES = {
    **{f"xavier_{kind}{end}": f"init.glorot_{kind}" for kind in ("uniform", "normal") for end in ("", "_")},
    **{f"kaiming_{kind}{end}": f"init.he_{kind}" for kind in ("uniform", "normal") for end in ("", "_")},
    "calculate_gain": "init.gain",
    "eye": "gr.Variable(np.eye(n)): an initial value may be an array",
}

__getattr__ = refusing("init", __all__, ALTERNATIVES)
