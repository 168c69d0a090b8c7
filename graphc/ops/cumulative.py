"""Cumulative operations: each element of the result follows from the one before it along an axis."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from graphc.ir import build
from graphc.ir.dim import Size
from graphc.ir.node import Array, Node, Op
from graphc.ir.types import FROM_NUMPY, DType, TensorType, i64
from graphc.ops.base import NUMERIC, all_batched, expect_arity, expect_axes, expect_same, limits
from graphc.ops.elementwise import Add, Max, Mul

T = TypeVar("T")


class Cumulative(Op):
    """Carries a value along `axis`, from the last element to the first if `reverse`; the type is the operands'.

    The order is fixed: one element after the other.
    """

    axis: int
    reverse: bool = False

    def infer(self, *operands: TensorType) -> TensorType:
        result = expect_same(self, operands, NUMERIC)
        expect_axes(self, result, (self.axis,))
        return result

    def work(self, result: TensorType, *operands: TensorType) -> Size:
        return len(operands) * result.size

    def start(self, dtype: DType) -> float | int:
        """What is carried into the first step."""
        raise NotImplementedError

    def step(self, apply: Callable[..., T], carry: T, *xs: T) -> tuple[T, T]:
        """One step, written with elementwise ops that `apply` applies: the result's element, what is carried on."""
        raise NotImplementedError

    def batch(self, batched: tuple[bool, ...], *xs: Node) -> Node:
        return build.apply(replace(self, axis=self.axis + 1), *all_batched(batched, xs))

    def eval(self, *operands: Array) -> Array:
        moved = [np.moveaxis(x, self.axis, 0) for x in operands]
        y = np.empty_like(moved[0])
        carry = np.full(y.shape[1:], self.start(FROM_NUMPY[y.dtype]), y.dtype)
        for i in reversed(range(len(y))) if self.reverse else range(len(y)):
            y[i], carry = self.step(lambda op, *xs: op.eval(*xs), carry, *(x[i] for x in moved))
        return np.moveaxis(y, 0, self.axis)


class CumSum(Cumulative):
    """y_i = x_0 + … + x_i; in reverse x_i + … + x_{n−1}. Integers wrap."""

    def infer(self, *operands: TensorType) -> TensorType:
        expect_arity(self, operands, 1)
        return super().infer(*operands)

    def start(self, dtype: DType) -> float | int:
        return -0.0 if dtype.is_float else 0

    def step(self, apply: Callable[..., T], carry: T, *xs: T) -> tuple[T, T]:
        y = apply(Add(), carry, xs[0])
        return y, y

    def eval(self, *operands: Array) -> Array:
        return accumulated(np.add, self, operands[0])

    def vjp(self, ct: Node, y: Node, *xs: Node) -> tuple[Node | None, ...]:
        return (build.apply(CumSum(self.axis, not self.reverse), ct),)


class CumMax(Cumulative):
    """y_i = max(x_0, …, x_i); a NaN wins. The cotangent goes to the latest element that is the largest so far."""

    def infer(self, *operands: TensorType) -> TensorType:
        expect_arity(self, operands, 1)
        return super().infer(*operands)

    def start(self, dtype: DType) -> float | int:
        return -math.inf if dtype.is_float else limits(dtype)[0]

    def step(self, apply: Callable[..., T], carry: T, *xs: T) -> tuple[T, T]:
        y = apply(Max(), carry, xs[0])
        return y, y

    def eval(self, *operands: Array) -> Array:
        return accumulated(np.maximum, self, operands[0])

    def vjp(self, ct: Node, y: Node, *xs: Node) -> tuple[Node | None, ...]:
        (x,) = xs
        last = x.type.rank - 1
        order = [a for a in range(x.type.rank) if a != self.axis] + [self.axis]
        back = sorted(range(x.type.rank), key=order.__getitem__)
        places = build.transpose(self.places(x, y), order)
        moved = build.transpose(ct, order)
        shares = build.scatter_add(build.zeros_like(moved), places, moved, last, last)
        return (build.transpose(shares, back),)

    def places(self, x: Node, y: Node) -> Node:
        """Where along the axis each y was found, i64: the latest place on the way of the sweep."""
        place = build.iota(x.scope, i64, x.type.shape, self.axis)
        later = -place if self.reverse else place
        hit = build.or_(build.eq(x, y), build.ne(x, x))
        found = build.apply(self, build.select(hit, later, build.lift(limits(i64)[0], later)))
        return -found if self.reverse else found


class Recurrence(Cumulative):
    """The linear recurrence h_i = a_i·h_{i−1} + b_i of (a, b), with h_{−1} = −0.

    In reverse it is the transposed map, h_i = b_i + a_{i+1}·h_{i+1}: so each is the other's derivative in b, and the
    cumulative product, a recurrence with b = (a_0, 0, …), is differentiated without a division.
    """

    def infer(self, *operands: TensorType) -> TensorType:
        expect_arity(self, operands, 2)
        return super().infer(*operands)

    def start(self, dtype: DType) -> float | int:
        return -0.0 if dtype.is_float else 0

    def step(self, apply: Callable[..., T], carry: T, *xs: T) -> tuple[T, T]:
        a, b = xs
        if self.reverse:
            h = apply(Add(), b, carry)
            return h, apply(Mul(), a, h)
        h = apply(Add(), apply(Mul(), a, carry), b)
        return h, h

    def vjp(self, ct: Node, y: Node, *xs: Node) -> tuple[Node | None, ...]:
        a, _ = xs
        b_ct = build.apply(Recurrence(self.axis, not self.reverse), a, ct)
        forward, backward = (b_ct, y) if self.reverse else (y, b_ct)
        return delayed(forward, self.axis) * backward, b_ct


def accumulated(ufunc: Any, op: Cumulative, x: Array) -> Array:
    """`ufunc.accumulate` along the op's axis, in its direction."""
    turned = np.flip(x, op.axis) if op.reverse else x
    y = np.asarray(ufunc.accumulate(turned, op.axis, dtype=x.dtype))
    return np.flip(y, op.axis) if op.reverse else y


def delayed(x: Node, axis: int) -> Node:
    """Each element moved one place on along an axis: 0 comes first, the last is lost."""
    low = tuple(int(i == axis) for i in range(x.type.rank))
    longer = build.pad(x, 0.0 if x.type.dtype.is_float else 0, low, (0,) * x.type.rank)
    return build.slice_axis(longer, axis, 0, x.type.shape[axis])


ALL = (CumSum, CumMax, Recurrence)
