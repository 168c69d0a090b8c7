"""Sorting and searching, by the names of the Python array API standard."""

from __future__ import annotations

from graphc import ops
from graphc.errors import ArgumentError, ShapeError
from graphc.frontend.composite import composite
from graphc.frontend.elementwise import (
    add,
    isnan,
    less,
    less_equal,
    subtract,
    where,
)
from graphc.frontend.indexing import getitem, take, take_along_axis
from graphc.frontend.logic import logical_and, logical_not, logical_or
from graphc.frontend.manipulation import moveaxis, reshape
from graphc.frontend.numbers import is_count
from graphc.frontend.promotion import apply, as_tensor, promoted, stretch
from graphc.frontend.recording import describe
from graphc.frontend.reductions import normal_axes
from graphc.frontend.tensor import Tensor, TensorLike
from graphc.ir.types import i64
from graphc.ops.size import SizeOf
from graphc.sites import user_site

#: Steps of a search among a symbolic number of elements: there are fewer than 2³¹.
MOST_STEPS = 31


def argsort(x: TensorLike, axis: int | None = -1, *, descending: bool = False, stable: bool = True) -> Tensor:
    """The i64 indices that sort along an axis (None: the flattened tensor).

    Equals keep their order, so `stable` says nothing more; a NaN counts as the largest: it comes last, or first where
    `descending`. Raises `ShapeError` where the axis does not exist.
    """
    tensor = as_tensor(x)
    if axis is None:
        tensor, axis = reshape(tensor, (-1,)), 0
    (along,) = normal_axes(tensor, axis)
    last = tensor.ndim - 1
    return moveaxis(apply(ops.Argsort(bool(descending)), moveaxis(tensor, along, last)), last, along)


@composite
def sort(x: TensorLike, axis: int | None = -1, *, descending: bool = False, stable: bool = True) -> Tensor:
    """The elements in order along an axis (None: of the flattened tensor), as `argsort` orders them.

    The gradient of each goes to where it came from.
    """
    tensor = as_tensor(x)
    if axis is None:
        tensor, axis = reshape(tensor, (-1,)), 0
    return take_along_axis(tensor, argsort(tensor, axis, descending=descending), axis)


@composite
def top_k(x: TensorLike, k: int, axis: int = -1, *, largest: bool = True) -> tuple[Tensor, Tensor]:
    """(values, i64 indices) of the k largest (or smallest) elements along an axis, the most extreme first.

    Among equals the first come first. Raises `ArgumentError` where the axis has fewer than k elements.
    """
    tensor = as_tensor(x)
    (along,) = normal_axes(tensor, axis)
    size = tensor.type.shape[along]
    if not is_count(k, 0) or (isinstance(size, int) and k > size):
        raise ArgumentError(
            f"top_k: k={k} of an axis of {size}", operands=[describe("x", tensor.node)], site=user_site()
        )
    order = argsort(tensor, along, descending=largest)
    indices = getitem(order, (slice(None),) * along + (slice(0, k),))
    return take_along_axis(tensor, indices, along), indices


@composite
def searchsorted(x1: TensorLike, x2: TensorLike, *, side: str = "left", sorter: TensorLike | None = None) -> Tensor:
    """For each element v of x2 the i64 place where it goes into the sorted vector x1 to keep it in order.

    `left` is before equals, `right` after them; NaNs count as the largest. `sorter` are indices that sort x1. A binary
    search in as many steps as x1's size has bits. Raises `ShapeError` where x1 is no vector.
    """
    if side not in ("left", "right"):
        raise ArgumentError(f"searchsorted: side={side!r}", site=user_site(), help='it is "left" or "right"')
    row, values = promoted(x1, x2)
    if row.ndim != 1:
        raise ShapeError(
            f"searchsorted: {row.type} is not a vector", operands=[describe("x1", row.node)], site=user_site()
        )
    if sorter is not None:
        row = take(row, sorter, 0)
    (size,) = row.type.shape
    steps = size.bit_length() if isinstance(size, int) else MOST_STEPS
    count = stretch(apply(SizeOf(i64, size)), values.type.shape)
    place = stretch(as_tensor(0, i64), values.type.shape)
    for step in reversed(range(steps)):
        further = add(place, 1 << step)
        element = apply(ops.Gather(0), row, subtract(further, 1))
        before = comes_before(element, values) if side == "left" else logical_not(comes_before(values, element))
        place = where(logical_and(less_equal(further, count), before), further, place)
    return place


def comes_before(a: Tensor, b: Tensor) -> Tensor:
    """Whether a is sorted before b, and not equal to it."""
    smaller = less(a, b)
    return logical_or(smaller, logical_and(isnan(b), logical_not(isnan(a)))) if a.dtype.is_float else smaller


def sorted_rows(x: Tensor) -> Tensor:
    """The elements in order along the last axis."""
    return take_along_axis(x, argsort(x))
