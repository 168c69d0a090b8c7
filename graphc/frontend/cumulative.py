"""Cumulative functions along an axis, by the names of the Python array API standard and NumPy."""

from __future__ import annotations

from graphc import ops
from graphc.errors import ArgumentError, ShapeError
from graphc.frontend.composite import composite
from graphc.frontend.elementwise import (
    equal,
    exp,
    isfinite,
    log,
    minimum,
    multiply,
    negative,
    not_equal,
    numeric,
    stop_gradient,
    subtract,
    where,
)
from graphc.frontend.indexing import getitem
from graphc.frontend.logic import bitwise_invert
from graphc.frontend.manipulation import broadcast_to, concat, reshape
from graphc.frontend.promotion import apply, as_tensor, promoted
from graphc.frontend.recording import describe
from graphc.frontend.reductions import as_float, countable, normal_axes
from graphc.frontend.reductions import sum as sum_
from graphc.frontend.tensor import Tensor, TensorLike
from graphc.ir.dim import Size, maximum
from graphc.ir.types import DType, bool_, i64
from graphc.ops.size import SizeOf
from graphc.sites import user_site


@composite
def cumulative_sum(
    x: TensorLike, axis: int | None = None, *, dtype: DType | None = None, include_initial: bool = False
) -> Tensor:
    """x_0, x_0 + x_1, … along an axis, which a vector need not name; `include_initial` puts a 0 before.

    Booleans and u8 are counted as i32; `dtype` is what is summed in. Raises `ShapeError` where the axis does not exist.
    """
    tensor = countable(x, dtype)
    along = only_axis("cumulative_sum", tensor, axis)
    total = apply(ops.CumSum(along), tensor)
    return after(total, 0, along) if include_initial else total


@composite
def cumulative_prod(
    x: TensorLike, axis: int | None = None, *, dtype: DType | None = None, include_initial: bool = False
) -> Tensor:
    """x_0, x_0·x_1, … along an axis, which a vector need not name; `include_initial` puts a 1 before.

    Derivatives are right where elements are 0, of any order.
    """
    tensor = countable(x, dtype)
    along = only_axis("cumulative_prod", tensor, axis)
    first = equal(places(tensor, along), 0)
    product = apply(ops.Recurrence(along), where(first, 0, tensor), where(first, tensor, none(tensor)))
    return after(product, 1, along) if include_initial else product


def cumsum(x: TensorLike, axis: int | None = None, *, dtype: DType | None = None, reverse: bool = False) -> Tensor:
    """As `cumulative_sum`; without an axis, of the flattened tensor; `reverse` sums from the end."""
    tensor, along = along_axis(countable(x, dtype), axis)
    return apply(ops.CumSum(along, reverse), tensor)


def cumprod(x: TensorLike, axis: int | None = None, *, dtype: DType | None = None, reverse: bool = False) -> Tensor:
    """As `cumulative_prod`; without an axis, of the flattened tensor; `reverse` multiplies from the end."""
    tensor, along = along_axis(countable(x, dtype), axis)
    if not reverse:
        return cumulative_prod(tensor, along)
    last = equal(places(tensor, along), subtract(apply(SizeOf(i64, tensor.type.shape[along])), 1))
    following = apply(ops.Recurrence(along, reverse=True), tensor, where(last, 1, none(tensor)))
    return multiply(tensor, following)


def cummax(x: TensorLike, axis: int | None = None, *, reverse: bool = False) -> Tensor:
    """The largest element so far along an axis; a NaN wins; the gradient goes to the latest of equal ones."""
    tensor, along = along_axis(numeric(x), axis)
    return apply(ops.CumMax(along, reverse), tensor)


def cummin(x: TensorLike, axis: int | None = None, *, reverse: bool = False) -> Tensor:
    """The smallest element so far along an axis; a NaN wins; the gradient goes to the latest of equal ones."""
    tensor = numeric(x)
    turn = negative if tensor.dtype.is_float else bitwise_invert
    return turn(cummax(turn(tensor), axis, reverse=reverse))


@composite
def logcumsumexp(x: TensorLike, axis: int | None = None) -> Tensor:
    """log(eˣ⁰ + … + eˣⁱ) along an axis, without an axis of the flattened tensor; integers as f32.

    y_i = m_i + log s_i with m the largest so far and s_i = s_{i−1}·exp(m_{i−1} − m_i) + exp(x_i − m_i) (Milakov and
    Gimelshein, "Online normalizer calculation for softmax", 2018), so nothing overflows or is lost.
    """
    tensor, along = along_axis(as_float(x), axis)
    largest = stop_gradient(apply(ops.CumMax(along), tensor))
    largest = where(isfinite(largest), largest, 0)
    before = cut(after(largest, 0, along), slice(0, -1), along)
    shrink = exp(minimum(before - largest, 0))  # positive only where there is nothing yet to shrink
    total = apply(ops.Recurrence(along), shrink, exp(tensor - largest))
    return largest + log(total)


@composite
def diff(
    x: TensorLike,
    axis: int = -1,
    *,
    n: int = 1,
    prepend: TensorLike | None = None,
    append: TensorLike | None = None,
) -> Tensor:
    """x_{i+1} − x_i along an axis, n times over; `prepend` and `append` are put before and after it first if n > 0.

    Booleans give whether neighbours differ. Raises `ArgumentError` where n < 0.
    """
    if n < 0:
        raise ArgumentError(f"diff: n={n} is negative", site=user_site())
    if n == 0:
        return as_tensor(x)
    parts = [p for p in (prepend, x, append) if p is not None]
    tensors = promoted(*parts)
    at = 0 if prepend is None else 1
    (along,) = normal_axes(tensors[at], axis)
    whole = concat([spread_like(t, tensors[at], along) for t in tensors], along) if len(tensors) > 1 else tensors[0]
    for _ in range(n):
        later, earlier = neighbours(whole, along)
        whole = not_equal(later, earlier) if whole.dtype == bool_ else subtract(later, earlier)
    return whole


@composite
def trapezoid(y: TensorLike, x: TensorLike | None = None, *, dx: float = 1.0, axis: int = -1) -> Tensor:
    """∫ y along an axis by the trapezoidal rule, at places x or at equal distances dx."""
    tensor = numeric(y)
    (along,) = normal_axes(tensor, axis)
    later, earlier = neighbours(tensor, along)
    steps: TensorLike = dx
    if x is not None:
        widths = diff(x)
        steps = reshape(widths, (-1, *[1] * (tensor.ndim - 1 - along))) if widths.ndim == 1 else diff(x, axis)
    return sum_(multiply(steps, multiply(later + earlier, 0.5)), along)


def only_axis(name: str, x: Tensor, axis: int | None) -> int:
    """The axis; a vector's where none is given. Raises `ShapeError` where one must be."""
    if axis is None and x.ndim != 1:
        raise ShapeError(
            f"{name}: {x.type} needs an axis", operands=[describe("x", x.node)], site=user_site(), help="give axis="
        )
    return normal_axes(x, 0 if axis is None else axis)[0]


def along_axis(x: Tensor, axis: int | None) -> tuple[Tensor, int]:
    """The tensor and the axis; flattened where none is given."""
    if axis is None:
        return reshape(x, (-1,)), 0
    return x, normal_axes(x, axis)[0]


def places(x: Tensor, axis: int) -> Tensor:
    """Each element's place along an axis, i64."""
    return apply(ops.Iota(i64, x.type.shape, axis))


def none(x: Tensor) -> TensorLike:
    """What changes nothing when it is added: not even the sign of a zero."""
    return as_tensor(-0.0, x.dtype) if x.dtype.is_float else as_tensor(0, x.dtype)


def cut(x: Tensor, part: slice, axis: int) -> Tensor:
    """A part of one axis."""
    return getitem(x, (slice(None),) * axis + (part,))


def neighbours(x: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """All but the first, and all but the last, along an axis."""
    size = x.type.shape[axis]
    count = maximum(size - 1, 0)  # of both, also where a symbolic size is 0

    def box(start: Size, stop: Size) -> Tensor:
        starts, stops = ([*(0,) * axis, start], [*x.type.shape[:axis], stop])
        rest = x.type.shape[axis + 1 :]
        return apply(ops.Slice((*starts, *(0,) * len(rest)), (*stops, *rest), (1,) * x.ndim), x)

    return box(size - count, size), box(0, count)


def after(x: Tensor, start: int, axis: int) -> Tensor:
    """x after one more element along an axis."""
    low = tuple(int(i == axis) for i in range(x.ndim))
    zeros = (0,) * x.ndim
    return apply(ops.Pad(low, zeros, zeros), x, as_tensor(start, x.dtype))


def spread_like(x: Tensor, like: Tensor, axis: int) -> Tensor:
    """A part that is put beside another along an axis: its other sizes broadcast, a scalar is one element."""
    sizes = list(like.shape)
    sizes[axis] = x.shape[axis] if x.ndim == like.ndim else 1
    return broadcast_to(x, sizes)
