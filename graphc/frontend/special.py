"""Special functions of statistics, made of the primitives: products with logarithms, Γ, the inverse of erf."""

from __future__ import annotations

import math
from collections.abc import Sequence

from graphc.frontend.composite import composite
from graphc.frontend.elementwise import (
    abs,
    clip,
    cos,
    equal,
    greater,
    isinf,
    less,
    less_equal,
    log,
    log1p,
    round,
    sin,
    sqrt,
    square,
    where,
)
from graphc.frontend.logic import logical_and, logical_not, logical_or
from graphc.frontend.promotion import broadcast, promoted
from graphc.frontend.tensor import Tensor, TensorLike
from graphc.frontend.transcendental import number
from graphc.ir.types import f32

#: Bernoulli numbers B₂, B₄, … of Stirling's series.
BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6)
#: How far an argument is raised before the series is used.
RAISED = 8


@composite
def xlogy(x: TensorLike, y: TensorLike) -> Tensor:
    """x·ln y, 0 where x is 0 unless y is NaN; there its derivatives are 0 where ln y is not finite."""
    a, b = broadcast("xlogy", *promoted(x, y, least=f32))
    nothing = logical_and(equal(a, 0), logical_or(less_equal(b, 0), isinf(b)))
    return a * log(where(nothing, 1.0, b))


@composite
def xlog1py(x: TensorLike, y: TensorLike) -> Tensor:
    """x·ln(1 + y), 0 where x is 0 unless y is NaN; there its derivatives are 0 where the logarithm is not finite."""
    a, b = broadcast("xlog1py", *promoted(x, y, least=f32))
    nothing = logical_and(equal(a, 0), logical_or(less_equal(b, -1), isinf(b)))
    return a * log1p(where(nothing, 0.0, b))


@composite
def logit(x: TensorLike, eps: float | None = None) -> Tensor:
    """ln(x / (1 − x)), the inverse of sigmoid; with `eps`, of x between eps and 1 − eps. NaN outside [0, 1]."""
    value = number(x)
    inside = value if eps is None else clip(value, eps, 1.0 - eps)
    return log(inside / (1.0 - inside))


# The inverse of the error function: M. J. Wichura, "Algorithm AS 241: the percentage points of the normal
# distribution", 1988. Numerators and denominators near the middle, in the tails, and far out.

MIDDLE = (
    (3.3871328727963666080e0, 1.3314166789178437745e2, 1.9715909503065514427e3, 1.3731693765509461125e4,
     4.5921953931549871457e4, 6.7265770927008700853e4, 3.3430575583588128105e4, 2.5090809287301226727e3),
    (1.0, 4.2313330701600911252e1, 6.8718700749205790830e2, 5.3941960214247511077e3,
     2.1213794301586595867e4, 3.9307895800092710610e4, 2.8729085735721942674e4, 5.2264952788528545610e3),
)  # fmt: skip
TAIL = (
    (1.42343711074968357734e0, 4.63033784615654529590e0, 5.76949722146069140550e0, 3.64784832476320460504e0,
     1.27045825245236838258e0, 2.41780725177450611770e-1, 2.27238449892691845833e-2, 7.74545014278341407640e-4),
    (1.0, 2.05319162663775882187e0, 1.67638483018380384940e0, 6.89767334985100004550e-1,
     1.48103976427480074590e-1, 1.51986665636164571966e-2, 5.47593808499534494600e-4, 1.05075007164441684324e-9),
)  # fmt: skip
FAR = (
    (6.65790464350110377720e0, 5.46378491116411436990e0, 1.78482653991729133580e0, 2.96560571828504891230e-1,
     2.65321895265761230930e-2, 1.24266094738807843860e-3, 2.71155556874348757815e-5, 2.01033439929228813265e-7),
    (1.0, 5.99832206555887937690e-1, 1.36929880922735805310e-1, 1.48753612908506148525e-2,
     7.86869131145613259100e-4, 1.84631831751005468180e-5, 1.42151175831644588870e-7, 2.04426310338993978564e-15),
)  # fmt: skip


@composite
def erfinv(x: TensorLike) -> Tensor:
    """The number whose erf is x: ±∞ at ±1, NaN beyond. By Wichura's rational approximations (1988)."""
    value = number(x)
    below = less(value, 0)
    size = where(below, -value, value)
    inner, outside = less_equal(size, 0.85), logical_not(less(size, 1.0))
    middle = where(inner, value, 0.0)
    near = 0.5 * middle * ratio(MIDDLE, 0.180625 - 0.25 * square(middle))
    depth = sqrt(-log(0.5 * (1.0 - where(logical_or(inner, outside), 0.9, size))))
    away = greater(depth, 5.0)
    tail = where(away, ratio(FAR, where(away, depth, 5.0) - 5.0), ratio(TAIL, where(away, 5.0, depth) - 1.6))
    end = where(equal(size, 1), math.inf, math.nan)
    beyond = where(outside, end, tail)
    return where(inner, near, where(below, -beyond, beyond)) * math.sqrt(0.5)


# The gamma function


@composite
def lgamma(x: TensorLike) -> Tensor:
    """ln |Γ(x)|: ∞ at 0, −1, −2, …; differentiates to `digamma`.

    Stirling's series of x + 8 less ln(x(x + 1) … (x + 7)); below ½ by reflection, |Γ(x)Γ(1 − x)| = π / |sin πx|.
    """
    value = number(x)
    low, up = reflected(value)
    total = stirling(up + RAISED) - log(rising(where(less(up, RAISED), up, 1.0)))
    positive = where(less(up, RAISED), total, stirling(where(less(up, RAISED), RAISED, up)))
    part = value - round(value)
    pole = logical_and(low, equal(part, 0))
    height = abs(sin(math.pi * where(logical_and(low, logical_not(pole)), part, 0.5)))
    both = where(low, math.log(math.pi) - log(height) - positive, positive)
    return where(logical_or(pole, isinf(value)), math.inf, both)


@composite
def digamma(x: TensorLike) -> Tensor:
    """The derivative of ln Γ(x): ∓∞ at ±0, NaN at −1, −2, …

    The series of x + 8 less 1/x + … + 1/(x + 7); below ½ by reflection, ψ(1 − x) − π / tan πx.
    """
    value = number(x)
    low, up = reflected(value)
    raised = up + RAISED
    square_ = 1.0 / square(raised)
    series = polynomial([-b / (2 * k) for k, b in enumerate(BERNOULLI, 1)], square_) * square_
    upper = log(raised) - 0.5 / raised + series
    for k in range(RAISED):
        upper = upper - 1.0 / (up + k)
    part = value - round(value)
    pole = logical_and(low, equal(part, 0))
    angle = math.pi * where(logical_and(low, logical_not(pole)), part, 0.25)
    both = where(low, upper - math.pi * cos(angle) / sin(angle), upper)
    return where(equal(value, 0), -1.0 / value, where(logical_or(pole, equal(value, -math.inf)), math.nan, both))


def reflected(x: Tensor) -> tuple[Tensor, Tensor]:
    """Whether x is below ½, and x or 1 − x, whichever is not."""
    low = less(x, 0.5)
    return low, where(low, 1.0 - x, x)


def stirling(x: Tensor) -> Tensor:
    """ln Γ(x) for x ≥ 8: (x − ½)·ln x − x + ½·ln 2π + Σ B₂ₖ / (2k(2k − 1)x²ᵏ⁻¹)."""
    terms = [b / (2 * k * (2 * k - 1)) for k, b in enumerate(BERNOULLI, 1)]
    return (x - 0.5) * (log(x) - 1.0) + (0.5 * math.log(2 * math.pi) - 0.5) + polynomial(terms, 1.0 / square(x)) / x


def rising(x: Tensor) -> Tensor:
    """x(x + 1) … (x + 7)."""
    product = x
    for k in range(1, RAISED):
        product = product * (x + k)
    return product


def ratio(coefficients: tuple[Sequence[float], Sequence[float]], x: Tensor) -> Tensor:
    """One polynomial over another."""
    above, below = coefficients
    return polynomial(above, x) / polynomial(below, x)


def polynomial(coefficients: Sequence[float], x: Tensor) -> Tensor:
    """Σ coefficients[k]·xᵏ, by Horner's rule."""
    total = x * coefficients[-1] + coefficients[-2]
    for c in reversed(coefficients[:-2]):
        total = total * x + c
    return total
