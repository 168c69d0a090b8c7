"""Functions of how floats are stored and compared: signs of zeros, NaNs, neighbours, closeness."""

from __future__ import annotations

import math

from graphc import ops
from graphc.errors import DTypeError
from graphc.frontend.composite import composite, named
from graphc.frontend.dtypes import finfo
from graphc.frontend.elementwise import (
    abs,
    equal,
    floating,
    greater,
    greater_equal,
    isfinite,
    isnan,
    less,
    less_equal,
    not_equal,
    numeric,
    where,
)
from graphc.frontend.logic import logical_and, logical_or
from graphc.frontend.promotion import apply, broadcast, promoted
from graphc.frontend.recording import describe
from graphc.frontend.reductions import all as all_
from graphc.frontend.tensor import Tensor, TensorLike
from graphc.ir.types import f32
from graphc.sites import user_site


def signbit(x: TensorLike) -> Tensor:
    """Whether elements are negative, −0 included."""
    tensor = numeric(x)
    return apply(ops.SignBit(), tensor) if tensor.dtype.is_float else less(tensor, 0)


@composite
def copysign(x1: TensorLike, x2: TensorLike) -> Tensor:
    """|x1| with the sign of x2, that of its zeros too."""
    magnitude, sign = broadcast("copysign", *promoted(x1, x2, least=f32))
    return where(not_equal(signbit(magnitude), signbit(sign)), -magnitude, magnitude)


def nextafter(x1: TensorLike, x2: TensorLike) -> Tensor:
    """The next float from x1 toward x2. Raises `DTypeError` for 16-bit floats, which are computed in f32."""
    for tensor in promoted(x1, x2, least=f32):
        if tensor.dtype.is_narrow:
            raise DTypeError(
                f"nextafter: not defined on {tensor.dtype}",
                operands=[describe("x", tensor.node)],
                site=user_site(),
                help="cast it: x.astype(gr.f32)",
            )
    return floating(ops.NextAfter(), x1, x2)


@composite
def fmax(x1: TensorLike, x2: TensorLike) -> Tensor:
    """The larger, ignoring a NaN; equal ones give the gradient to x1."""
    a, b = broadcast("fmax", *promoted(x1, x2))
    return where(logical_or(greater_equal(a, b), isnan(b)), a, b)


@composite
def fmin(x1: TensorLike, x2: TensorLike) -> Tensor:
    """The smaller, ignoring a NaN; equal ones give the gradient to x1."""
    a, b = broadcast("fmin", *promoted(x1, x2))
    return where(logical_or(less_equal(a, b), isnan(b)), a, b)


@composite
def heaviside(x1: TensorLike, x2: TensorLike) -> Tensor:
    """0 where x1 < 0, x2 where x1 = 0, 1 where x1 > 0, NaN where it is NaN."""
    x, middle = broadcast("heaviside", *promoted(x1, x2, least=f32))
    return where(less(x, 0), 0.0, where(greater(x, 0), 1.0, where(isnan(x), math.nan, middle)))


@named
def nan_to_num(
    x: TensorLike, copy: bool = True, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None
) -> Tensor:
    """Numbers in the place of NaN and infinities: 0 and the extremes of the dtype, unless others are given."""
    tensor = numeric(x)
    if not tensor.dtype.is_float:
        return tensor
    largest = finfo(tensor).max
    above = where(equal(tensor, math.inf), largest if posinf is None else posinf, tensor)
    below = where(equal(tensor, -math.inf), -largest if neginf is None else neginf, above)
    return where(isnan(tensor), nan, below)


@composite
def isclose(
    a: TensorLike, b: TensorLike, rtol: TensorLike = 1e-5, atol: TensorLike = 1e-8, equal_nan: bool = False
) -> Tensor:
    """Whether |a − b| ≤ atol + rtol·|b|; equal infinities are close, NaNs only if `equal_nan`."""
    x, y = broadcast("isclose", *promoted(a, b, least=f32))
    near = logical_and(less_equal(abs(x - y), atol + rtol * abs(y)), logical_and(isfinite(x), isfinite(y)))
    close = logical_or(near, equal(x, y))
    return logical_or(close, logical_and(isnan(x), isnan(y))) if equal_nan else close


@composite
def allclose(
    a: TensorLike, b: TensorLike, rtol: TensorLike = 1e-5, atol: TensorLike = 1e-8, equal_nan: bool = False
) -> Tensor:
    """Whether all elements are close, a scalar bool (see `isclose`)."""
    return all_(isclose(a, b, rtol, atol, equal_nan))


def isposinf(x: TensorLike) -> Tensor:
    """Whether elements are +∞."""
    tensor = numeric(x)
    return equal(tensor, math.inf) if tensor.dtype.is_float else not_equal(tensor, tensor)


def isneginf(x: TensorLike) -> Tensor:
    """Whether elements are −∞."""
    tensor = numeric(x)
    return equal(tensor, -math.inf) if tensor.dtype.is_float else not_equal(tensor, tensor)
