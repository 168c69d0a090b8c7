"""Reference values of the vector functions, in a precision above the one tested, and errors in ulp."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

Floats = np.ndarray[Any, Any]

#: The functions of one operand, and where f64 arguments are drawn from.
FUNCTIONS: dict[str, tuple[float, float]] = {
    "exp": (-750, 712), "expm1": (-40, 712), "log": (0, 1e3), "log1p": (-1, 1e3), "tanh": (-22, 22),
    "sigmoid": (-750, 40), "erf": (-6.5, 6.5), "sin": (-1e3, 1e3), "cos": (-1e3, 1e3),
}  # fmt: skip


def patterns(start: int, stop: int, stride: int) -> Floats:
    """Every stride-th float32 bit pattern of a range."""
    return np.arange(start, stop, stride).astype(np.uint32).view(np.float32)


def domain(name: str, count: int, seed: int = 0) -> Floats:
    """f64 arguments: over the function's range, about 0, and of every magnitude."""
    rng = np.random.default_rng(seed)
    third = count // 3
    magnitudes = np.exp2(rng.uniform(-1070, 1023, third)) * rng.choice([-1.0, 1.0], third)
    small = rng.normal(size=third) * np.exp2(rng.uniform(-30, 1, third))
    return np.concatenate([rng.uniform(*FUNCTIONS[name], count - 2 * third), magnitudes, small])


def reference(name: str, x: Floats) -> Floats:
    """The function in float64 for float32 arguments, in long double (64 bits of mantissa) for float64 ones."""
    with np.errstate(all="ignore"):
        wide: Any = x.astype(np.float64 if x.dtype == np.float32 else np.longdouble)
        if name == "sigmoid":
            t = np.exp(-np.abs(wide))
            return np.asarray(np.where(wide < 0, t, 1) / (1 + t))
        if name == "erf":
            return np.vectorize(math.erf, otypes="d")(wide) if x.dtype == np.float32 else erf_series(wide)
        return np.asarray(getattr(np, name)(wide))


def power_sample(dtype: str, count: int, seed: int = 0) -> tuple[Floats, Floats, Floats]:
    """x, y and x^y: results over the whole range of the dtype, and common exponents."""
    rng = np.random.default_rng(seed)
    kind, wide, span = {"f32": ("f4", "f8", 150.0), "f64": ("f8", "g", 1100.0)}[dtype]
    x = np.exp2(rng.uniform(-20, 20, count))
    y = rng.uniform(-span, span, count) / np.log2(x)
    y[::2] = rng.choice([2.0, 3.0, 0.5, -1.0, -0.5, 1 / 3, 10.0], len(y[::2]))
    x[::4] *= -1
    with np.errstate(all="ignore"):
        x, y = x.astype(kind), y.astype(kind)
        return x, y, np.asarray(np.power(x.astype(wide), y.astype(wide)))


def angle_sample(dtype: str, count: int, seed: int = 0) -> tuple[Floats, Floats, Floats]:
    """y, x and atan2(y, x): points near the axes and the diagonals, of every magnitude, and all special values."""
    rng = np.random.default_rng(seed)
    kind, wide, span = {"f32": ("f4", "f8", 60.0), "f64": ("f8", "g", 400.0)}[dtype]
    y = rng.normal(size=count) * np.exp2(rng.uniform(-span, span, count))
    x = rng.normal(size=count) * np.exp2(rng.uniform(-span, span, count))
    near = rng.random(count) < 0.6
    x = np.where(near, y * np.exp2(rng.uniform(-3, 3, count)) * rng.choice([-1, 1], count), x)
    special = np.array([0.0, -0.0, 1.0, -1.0, 1e-40, -1e-40, 3e38, -3e38, np.inf, -np.inf, np.nan])
    grid = np.meshgrid(special, special)
    y, x = (np.concatenate([v, g.ravel()]).astype(kind) for v, g in zip((y, x), grid, strict=True))
    return y, x, np.asarray(np.arctan2(y.astype(wide), x.astype(wide)))


def erf_series(x: Floats) -> Floats:
    """2/√π · e^(−x²) · Σ 2ⁿ x^(2n+1) / (1·3·…·(2n+1)), all of whose terms have one sign (Abramowitz, Stegun 7.1.6)."""
    bounded = np.where(np.abs(x) < 7, x, 0)
    term = total = bounded
    for n in range(1, 180):
        term = term * (2 * bounded * bounded / (2 * n + 1))
        total = total + term
    two_over_root_pi = 2 / np.sqrt(np.arctan(x.dtype.type(1)) * 4)
    series = two_over_root_pi * np.exp(-bounded * bounded) * total
    return np.asarray(np.where(np.abs(x) < 7, series, np.sign(x)))


def ulp_error(got: Floats, exact: Floats) -> Floats:
    """|got − exact| in units of the last place of got's format at exact; 0 where both are the same NaN or infinity.

    Infinite where one is NaN, an infinity or of a sign that the other is not.
    """
    with np.errstate(all="ignore"):
        rounded = exact.astype(got.dtype)
        unit = np.spacing(np.minimum(np.abs(rounded), np.finfo(got.dtype).max)).astype(exact.dtype)
        error = np.abs(got.astype(exact.dtype) - exact) / unit
        error = np.where(np.isinf(rounded) | np.isinf(got), np.where(rounded == got, 0.0, np.inf), error)
        wrong = (np.isnan(got) != np.isnan(rounded)) | (~np.isnan(got) & (np.signbit(got) != np.signbit(rounded)))
        return np.asarray(np.where(np.isnan(got) & np.isnan(rounded), 0.0, np.where(wrong, np.inf, error)), np.float64)
