"""Reductions: sum, product, extremes and where they are."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from graphc.ir import build
from graphc.ir.node import Array, Node
from graphc.ir.types import FROM_NUMPY, DType
from graphc.ops.base import ArgReduction, Emitter, Reduction, limits


class ReduceSum(Reduction):
    """y = Σ x over `axes`, in x's dtype; integers wrap."""

    def identity(self, dtype: DType) -> float | int:
        return 0

    def combine(self, e: Emitter, acc: Any, x: Any) -> Any:
        return e.add(acc, x)

    def eval(self, *operands: Array) -> Array:
        return np.asarray(np.sum(operands[0], self.axes, dtype=operands[0].dtype))

    def vjp(self, ct: Node, y: Node, *xs: Node) -> tuple[Node | None, ...]:
        return (build.spread(ct, xs[0], self.axes),)


class ReduceProd(Reduction):
    """y = Π x over `axes`, in x's dtype; integers wrap.

    ∂y/∂x_i is the product of the elements before i times that of those after it: no division, so zeros do no harm, in
    derivatives of any order.
    """

    def identity(self, dtype: DType) -> float | int:
        return 1

    def combine(self, e: Emitter, acc: Any, x: Any) -> Any:
        return e.mul(acc, x)

    def eval(self, *operands: Array) -> Array:
        return np.asarray(np.prod(operands[0], self.axes, dtype=operands[0].dtype))

    def vjp(self, ct: Node, y: Node, *xs: Node) -> tuple[Node | None, ...]:
        (x,) = xs
        kept = [i for i in range(x.type.rank) if i not in self.axes]
        order = (*kept, *self.axes)
        moved = build.transpose(x, order)
        rows = moved.type.shape[: len(kept)]
        others = build.products_of_others(build.reshape(moved, (*rows, math.prod(moved.type.shape[len(kept) :]))))
        back = sorted(range(len(order)), key=order.__getitem__)
        return (build.spread(ct, x, self.axes) * build.transpose(build.reshape(others, moved.type.shape), back),)


class ReduceMax(Reduction):
    """y = max x over `axes`; a NaN wins; the lowest value over nothing; equals share the cotangent evenly."""

    def identity(self, dtype: DType) -> float | int:
        return -math.inf if dtype.is_float else limits(dtype)[0]

    def combine(self, e: Emitter, acc: Any, x: Any) -> Any:
        return e.max(acc, x)

    def eval(self, *operands: Array) -> Array:
        (x,) = operands
        return np.asarray(np.max(x, self.axes, initial=self.identity(FROM_NUMPY[x.dtype])))

    def vjp(self, ct: Node, y: Node, *xs: Node) -> tuple[Node | None, ...]:
        return (share_extremes(ct, y, xs[0], self.axes),)


class ReduceMin(Reduction):
    """y = min x over `axes`; a NaN wins; the highest value over nothing; equals share the cotangent evenly."""

    def identity(self, dtype: DType) -> float | int:
        return math.inf if dtype.is_float else limits(dtype)[1]

    def combine(self, e: Emitter, acc: Any, x: Any) -> Any:
        return e.min(acc, x)

    def eval(self, *operands: Array) -> Array:
        (x,) = operands
        return np.asarray(np.min(x, self.axes, initial=self.identity(FROM_NUMPY[x.dtype])))

    def vjp(self, ct: Node, y: Node, *xs: Node) -> tuple[Node | None, ...]:
        return (share_extremes(ct, y, xs[0], self.axes),)


def share_extremes(ct: Node, y: Node, x: Node, axes: tuple[int, ...]) -> Node:
    """A cotangent of the extremes y of x, divided evenly among the elements that equal them."""
    extreme = build.eq(x, build.spread(y, x, axes))
    count = build.sum_(build.select(extreme, build.ones_like(x), build.zeros_like(x)), axes)
    return build.select(extreme, build.spread(ct / count, x, axes), build.zeros_like(x))


class ArgMax(ArgReduction):
    """The index of the largest element along `axis`."""

    def eval(self, *operands: Array) -> Array:
        return first_index(np.argmax, operands[0], self.axis)


class ArgMin(ArgReduction):
    """The index of the smallest element along `axis`."""

    def eval(self, *operands: Array) -> Array:
        return first_index(np.argmin, operands[0], self.axis)


def first_index(find: Any, x: Array, axis: int) -> Array:
    """`np.argmax` or `np.argmin` along an axis, 0 where it is empty."""
    if x.shape[axis] == 0:
        return np.zeros(x.shape[:axis] + x.shape[axis + 1 :], np.int64)
    return np.asarray(find(x, axis), np.int64)


ALL = (ReduceSum, ReduceProd, ReduceMax, ReduceMin, ArgMax, ArgMin)
