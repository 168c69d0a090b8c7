"""Angles, exponentials and roots that are made of the primitives, by the names of the Python array API and NumPy.

Each is accurate where its defining formula is not: near 0, near 1, for large arguments. Where a magnitude is taken it
is by a choice on the sign, whose derivative at 0 is 1: |x| has none there.
"""

from __future__ import annotations

import math

from graphc import ops
from graphc.frontend.composite import composite
from graphc.frontend.elementwise import (
    abs,
    cos,
    divide,
    equal,
    erf,
    exp,
    expm1,
    floating,
    greater_equal,
    isinf,
    less,
    log,
    log1p,
    maximum,
    minimum,
    negative,
    sin,
    sqrt,
    square,
    where,
)
from graphc.frontend.logic import logical_or
from graphc.frontend.promotion import broadcast, promoted
from graphc.frontend.tensor import Tensor, TensorLike
from graphc.ir.types import f32

#: From here on √(x² ± 1) is x, and 1 + x is x, in every float format; its square is still finite.
LARGE = 2.0**60


def number(x: TensorLike) -> Tensor:
    """A tensor of floats: whatever is no float becomes f32."""
    return promoted(x, least=f32)[0]


# Exponentials and logarithms


@composite
def exp2(x: TensorLike) -> Tensor:
    """2ˣ."""
    return floating(ops.Pow(), 2.0, number(x))


@composite
def log2(x: TensorLike) -> Tensor:
    """log₂ x."""
    return log(x) * (1.0 / math.log(2.0))


@composite
def log10(x: TensorLike) -> Tensor:
    """log₁₀ x."""
    return log(x) * (1.0 / math.log(10.0))


@composite
def logaddexp(x1: TensorLike, x2: TensorLike) -> Tensor:
    """ln(exp x1 + exp x2) without overflow; both −∞ give −∞, both +∞ give +∞."""
    a, b = broadcast("logaddexp", *promoted(x1, x2, least=f32))
    gap = where(equal(a, b), 0.0, -abs(a - b))
    return maximum(a, b) + log1p(exp(gap))


@composite
def logaddexp2(x1: TensorLike, x2: TensorLike) -> Tensor:
    """log₂(2^x1 + 2^x2) without overflow."""
    a, b = broadcast("logaddexp2", *promoted(x1, x2, least=f32))
    gap = where(equal(a, b), 0.0, -abs(a - b))
    return maximum(a, b) + log1p(exp2(gap)) * (1.0 / math.log(2.0))


# Angles


@composite
def tan(x: TensorLike) -> Tensor:
    """sin x / cos x."""
    return divide(sin(x), cos(x))


def atan2(x1: TensorLike, x2: TensorLike) -> Tensor:
    """The angle of the point (x2, x1) with the first axis, between −π and π; the signs of zeros count."""
    return floating(ops.Atan2(), x1, x2)


@composite
def atan(x: TensorLike) -> Tensor:
    """The angle between −π/2 and π/2 whose tangent is x."""
    return atan2(number(x), 1.0)


@composite
def asin(x: TensorLike) -> Tensor:
    """The angle between −π/2 and π/2 whose sine is x; NaN where |x| > 1."""
    value = number(x)
    return atan2(value, leg(value))


@composite
def acos(x: TensorLike) -> Tensor:
    """The angle between 0 and π whose cosine is x; NaN where |x| > 1."""
    value = number(x)
    return atan2(leg(value), value)


def leg(x: Tensor) -> Tensor:
    """√(1 − x²), accurate near ±1, where its derivative is infinite and not NaN."""
    return sqrt(1.0 - x) * sqrt(1.0 + x)


@composite
def deg2rad(x: TensorLike) -> Tensor:
    """Degrees as radians."""
    return number(x) * (math.pi / 180.0)


@composite
def rad2deg(x: TensorLike) -> Tensor:
    """Radians as degrees."""
    return number(x) * (180.0 / math.pi)


@composite
def sinc(x: TensorLike) -> Tensor:
    """sin(πx) / (πx), 1 at 0."""
    angle = number(x) * math.pi
    small = less(abs(angle), 0.1)
    part = square(angle)
    series = 1.0 - part * (1 / 6 - part * (1 / 120 - part * (1 / 5040 - part * (1 / 362880))))
    divisor = where(small, 1.0, angle)
    return where(small, series, sin(divisor) / divisor)


# Hyperbolic functions


@composite
def sinh(x: TensorLike) -> Tensor:
    """(eˣ − e⁻ˣ) / 2, exact near 0."""
    value = number(x)
    return 0.5 * (expm1(value) - expm1(negative(value)))


@composite
def cosh(x: TensorLike) -> Tensor:
    """(eˣ + e⁻ˣ) / 2."""
    value = number(x)
    return 0.5 * (exp(value) + exp(negative(value)))


@composite
def asinh(x: TensorLike) -> Tensor:
    """The inverse of sinh, ln(x + √(x² + 1)), odd and exact near 0."""
    value = number(x)
    below = less(value, 0)
    size = where(below, -value, value)
    large = greater_equal(size, LARGE)
    near = where(large, 1.0, size)
    grown = where(large, size, size * (1.0 + near / (1.0 + sqrt(1.0 + square(near)))))
    result = log1p(grown) + where(large, math.log(2.0), 0.0 * near)
    return where(below, -result, where(equal(value, 0), value, result))


@composite
def acosh(x: TensorLike) -> Tensor:
    """The inverse of cosh above 0, ln(x + √(x² − 1)), exact near 1; NaN where x < 1."""
    value = number(x)
    large = greater_equal(value, LARGE)
    near = where(large, 2.0, value) - 1.0
    grown = where(large, value, near + sqrt(near) * sqrt(near + 2.0))
    return log1p(grown) + where(large, math.log(2.0), 0.0 * near)


@composite
def atanh(x: TensorLike) -> Tensor:
    """The inverse of tanh, ½·ln((1 + x) / (1 − x)), exact near 0; ±∞ at ±1, NaN beyond."""
    value = number(x)
    return 0.5 * (log1p(value) - log1p(negative(value)))


# Roots, and the error function's complement


@composite
def cbrt(x: TensorLike) -> Tensor:
    """The real cube root, of negative numbers too."""
    value = number(x)
    below = floating(ops.SignBit(), value)
    root = floating(ops.Pow(), where(below, -value, value), 1.0 / 3.0)
    return where(below, -root, root)


@composite
def hypot(x1: TensorLike, x2: TensorLike) -> Tensor:
    """√(x1² + x2²) without overflow; ∞ where one is infinite."""
    a, b = (abs(v) for v in promoted(x1, x2, least=f32))
    infinite = logical_or(isinf(a), isinf(b))
    larger, smaller = (where(infinite, 1.0, v) for v in (maximum(a, b), minimum(a, b)))
    divisor = where(equal(larger, 0), 1.0, larger)
    return where(infinite, math.inf, larger * sqrt(1.0 + square(smaller / divisor)))


@composite
def erfc(x: TensorLike) -> Tensor:
    """1 − erf x, to the precision of a number around 1."""
    return 1.0 - erf(x)
