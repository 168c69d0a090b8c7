"""Statistics over axes: order statistics, weighted means, and reductions that skip NaNs."""

from __future__ import annotations

import math

import numpy as np

from graphc import ops
from graphc.errors import ArgumentError, ShapeError
from graphc.frontend.composite import composite
from graphc.frontend.elementwise import (
    add,
    ceil,
    divide,
    equal,
    floor,
    isnan,
    multiply,
    numeric,
    subtract,
    where,
)
from graphc.frontend.elementwise import round as round_
from graphc.frontend.logic import logical_not
from graphc.frontend.manipulation import broadcast_to, moveaxis, permute_dims, reshape
from graphc.frontend.promotion import apply, array_of, as_tensor, cast, element_count
from graphc.frontend.recording import describe
from graphc.frontend.reductions import all as all_
from graphc.frontend.reductions import as_float, degrees, mean, nonempty, normal_axes, prod, root
from graphc.frontend.reductions import max as max_
from graphc.frontend.reductions import min as min_
from graphc.frontend.reductions import sum as sum_
from graphc.frontend.sorting import sorted_rows
from graphc.frontend.tensor import Axis, Tensor, TensorLike
from graphc.ir.types import DType, f64, i64
from graphc.ops.size import SizeOf
from graphc.sites import user_site

METHODS = ("linear", "lower", "higher", "nearest", "midpoint")


@composite
def median(x: TensorLike, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
    """The middle element over axes, or the mean of the two; integers as f32; NaN where there is one."""
    return quantile(x, 0.5, axis, keepdims=keepdims)


@composite
def percentile(
    x: TensorLike, q: TensorLike, axis: Axis = None, *, method: str = "linear", keepdims: bool = False
) -> Tensor:
    """`quantile` of q / 100."""
    fractions = divide(q, 100.0) if isinstance(q, Tensor) else np.asarray(array_of(np.asarray(q))) / 100.0
    return quantile(x, fractions, axis, method=method, keepdims=keepdims)


@composite
def quantile(
    x: TensorLike, q: TensorLike, axis: Axis = None, *, method: str = "linear", keepdims: bool = False
) -> Tensor:
    """What a fraction q (between 0 and 1) of the elements over axes lies below: at q·(n − 1) of them in order.

    Between two elements `method` decides: linear, lower, higher, nearest, midpoint. The axes of q come first in the
    result. Integers as f32; NaN where there is one. The axes must not be empty.
    """
    if method not in METHODS:
        raise ArgumentError(f"quantile: method={method!r}", site=user_site(), help=f"one of {', '.join(METHODS)}")
    tensor = nonempty("quantile", as_float(x), axis)
    axes = normal_axes(tensor, axis)
    rows = sorted_rows(flattened(tensor, axes))
    last = rows.ndim - 1
    fractions = cast(as_tensor(q) if isinstance(q, Tensor) else as_tensor(np.asarray(q, np.float64)), f64)
    at = multiply(fractions, subtract(apply(SizeOf(f64, rows.type.shape[last])), 1.0))
    low, high = (apply(ops.Gather(last), rows, cast(end(at), i64)) for end in (floor, ceil))
    share = cast(subtract(at, floor(at)), rows.dtype)
    between = {
        "linear": lambda: where(equal(low, high), low, add(low, multiply(subtract(high, low), share))),
        "lower": lambda: low,
        "higher": lambda: high,
        "nearest": lambda: apply(ops.Gather(last), rows, cast(round_(at), i64)),
        "midpoint": lambda: where(equal(low, high), low, multiply(add(low, high), 0.5)),
    }[method]()
    greatest = apply(ops.Gather(last), rows, subtract(apply(SizeOf(i64, rows.type.shape[last])), 1))
    spoiled = reshape(isnan(greatest), (*greatest.shape, *[1] * at.ndim))
    result = where(spoiled, math.nan, between)
    for i in range(at.ndim):
        result = moveaxis(result, last + i, i)
    if not keepdims:
        return result
    kept = tuple(1 if i in axes else s for i, s in enumerate(tensor.shape))
    return reshape(result, (*at.shape, *kept))


def flattened(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    """x with some axes as one, at the end."""
    kept = [i for i in range(x.ndim) if i not in axes]
    moved = permute_dims(x, (*kept, *axes))
    sizes = tuple(x.type.shape[i] for i in kept)
    inner = element_count([x.type.shape[i] for i in axes])
    return moved if len(axes) == 1 else apply(ops.Reshape((*sizes, inner)), moved)


@composite
def average(x: TensorLike, axis: Axis = None, weights: TensorLike | None = None, *, keepdims: bool = False) -> Tensor:
    """Σ w·x / Σ w over axes; weights have x's shape, or are one a place along the axis. Without them, the mean."""
    if weights is None:
        return mean(x, axis, keepdims=keepdims)
    tensor, w = as_float(x), as_tensor(weights)
    if w.type.shape != tensor.type.shape:
        axes = normal_axes(tensor, axis)
        if w.ndim != 1 or len(axes) != 1 or w.type.shape[0] != tensor.type.shape[axes[0]]:
            raise ShapeError(
                f"average: weights {w.type} for {tensor.type}",
                operands=[describe("x", tensor.node), describe("weights", w.node)],
                site=user_site(),
                help="they have x's shape, or are a vector along the one axis",
            )
        w = broadcast_to(reshape(w, (-1, *[1] * (tensor.ndim - 1 - axes[0]))), tensor.shape)
    total = sum_(multiply(tensor, w), axis, keepdims=keepdims)
    return divide(total, sum_(w, axis, keepdims=keepdims))


def ptp(x: TensorLike, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
    """The largest less the smallest element over axes."""
    return subtract(max_(x, axis, keepdims=keepdims), min_(x, axis, keepdims=keepdims))


# Without NaNs


@composite
def nansum(x: TensorLike, axis: Axis = None, *, dtype: DType | None = None, keepdims: bool = False) -> Tensor:
    """The sum of what is not NaN."""
    return sum_(without_nans(x, 0), axis, dtype=dtype, keepdims=keepdims)


@composite
def nanprod(x: TensorLike, axis: Axis = None, *, dtype: DType | None = None, keepdims: bool = False) -> Tensor:
    """The product of what is not NaN."""
    return prod(without_nans(x, 1), axis, dtype=dtype, keepdims=keepdims)


@composite
def nanmax(x: TensorLike, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
    """The largest of what is not NaN; NaN where there is nothing else."""
    return unless_all_nan(max_(without_nans(x, -math.inf), axis, keepdims=keepdims), x, axis, keepdims)


@composite
def nanmin(x: TensorLike, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
    """The smallest of what is not NaN; NaN where there is nothing else."""
    return unless_all_nan(min_(without_nans(x, math.inf), axis, keepdims=keepdims), x, axis, keepdims)


@composite
def nanmean(x: TensorLike, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
    """The mean of what is not NaN; NaN of nothing."""
    tensor = as_float(x)
    return divide(nansum(tensor, axis, keepdims=keepdims), numbers_in(tensor, axis, keepdims))


@composite
def nanvar(x: TensorLike, axis: Axis = None, *, correction: int | float = 0, keepdims: bool = False) -> Tensor:
    """The variance of what is not NaN; NaN of nothing."""
    tensor = as_float(x)
    deviation = where(isnan(tensor), 0, subtract(without_nans(tensor, 0), nanmean(tensor, axis, keepdims=True)))
    squares = sum_(multiply(deviation, deviation), axis, keepdims=keepdims)
    return divide(squares, degrees(numbers_in(tensor, axis, keepdims), correction))


@composite
def nanstd(x: TensorLike, axis: Axis = None, *, correction: int | float = 0, keepdims: bool = False) -> Tensor:
    """The standard deviation of what is not NaN; its derivative where it is 0 is 0."""
    return root(nanvar(x, axis, correction=correction, keepdims=keepdims))


def without_nans(x: TensorLike, value: float) -> Tensor:
    """x with something else where it is NaN."""
    tensor = numeric(x)
    return where(isnan(tensor), value, tensor) if tensor.dtype.is_float else tensor


def unless_all_nan(result: Tensor, x: TensorLike, axis: Axis, keepdims: bool) -> Tensor:
    """A reduction's result, NaN where every element was."""
    tensor = numeric(x)
    if not tensor.dtype.is_float:
        return result
    return where(all_(isnan(tensor), axis, keepdims=keepdims), math.nan, result)


def numbers_in(x: Tensor, axis: Axis, keepdims: bool) -> Tensor:
    """How many elements over axes are not NaN, in x's dtype."""
    return sum_(cast(logical_not(isnan(x)), x.dtype), axis, keepdims=keepdims)
