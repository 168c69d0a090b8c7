"""Indexing at computed places, and iota.

Negative indices count from the end; what is outside the axis even so clamps to its nearest element.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import ClassVar

import numpy as np

from graphc.errors import ShapeError
from graphc.ir import build
from graphc.ir.dim import Size
from graphc.ir.node import Array, Constant, Node
from graphc.ir.types import DType, TensorType, i64
from graphc.ops.base import (
    ANY,
    INTEGERS,
    NUMERIC,
    Elementwise,
    Generator,
    Indexing,
    all_batched,
    expect_arity,
    expect_axes,
    expect_dtype,
    numbers,
)
from graphc.ops.elementwise import Add, Max, Mul


class Gather(Indexing):
    """`gather(x, indices)`: along `axis` of x, the slices that `indices` name; the first `shared` axes are shared.

    Shape: x.shape[:axis] + indices.shape[shared:] + x.shape[axis+1:].
    """

    axis: int
    shared: int = 0

    narrow: ClassVar = True

    def infer(self, *operands: TensorType) -> TensorType:
        expect_arity(self, operands, 2)
        x, indices = operands
        expect_dtype(self, x, ANY)
        expect_indices(self, x, indices, self.axis, self.shared)
        return x.with_shape(x.shape[: self.axis] + indices.shape[self.shared :] + x.shape[self.axis + 1 :])

    def eval(self, *operands: Array) -> Array:
        x, indices = operands
        axis, size = self.axis, x.shape[self.axis]
        y = np.zeros(x.shape[:axis] + indices.shape[self.shared :] + x.shape[axis + 1 :], x.dtype)
        if size and y.size:
            places = clamp(indices, size)
            for at in np.ndindex(*x.shape[: self.shared]):
                y[at] = np.take(x[at], places[at], axis - self.shared)
        return y

    def vjp(self, ct: Node, y: Node, *xs: Node) -> tuple[Node | None, ...]:
        x, indices = xs
        return build.scatter_add(build.zeros_like(x), indices, ct, self.axis, self.shared), None

    def batch(self, batched: tuple[bool, ...], *xs: Node) -> Node:
        x, indices = xs
        if all(batched):
            return build.gather(x, indices, self.axis + 1, self.shared + 1)
        # Behind the shared axes the new one is one more that x keeps, or the first of those that the indices bring.
        if batched[0]:
            taken = build.gather(build.move_axis(x, 0, self.shared), indices, self.axis + 1, self.shared)
            return build.move_axis(taken, self.shared, 0)
        taken = build.gather(x, build.move_axis(indices, 0, self.shared), self.axis, self.shared)
        return build.move_axis(taken, self.axis, 0)


class Scatter(Indexing):
    """`scatter(x, indices, updates)`: x with each update put where `Gather` would read it, in index order.

    How an update and what is there become the new element is the class's `step`; where it is None the update itself is.
    """

    axis: int
    shared: int = 0

    dtypes: ClassVar[tuple[DType, ...]] = NUMERIC
    step: ClassVar[Elementwise | None] = None

    def infer(self, *operands: TensorType) -> TensorType:
        expect_arity(self, operands, 3)
        x, indices, updates = operands
        expect_dtype(self, x, self.dtypes)
        expected = Gather(self.axis, self.shared).infer(x, indices)
        if updates != expected:
            raise ShapeError(f"{self.mnemonic()}: the updates are {updates}, not {expected}")
        return x

    def eval(self, *operands: Array) -> Array:
        x, indices, updates = operands
        axis, size = self.axis - self.shared, x.shape[self.axis]
        y = x.copy()
        if size and updates.size:
            places = clamp(indices, size)
            moved = tuple(range(axis, axis + places.ndim - self.shared))
            for at in np.ndindex(*x.shape[: self.shared]):
                self.put(np.moveaxis(y[at], axis, 0), places[at], np.moveaxis(updates[at], moved, range(len(moved))))
        return y

    def put(self, x: Array, places: Array, updates: Array) -> None:
        """Change x along its first axis, in order."""
        raise NotImplementedError

    def batch(self, batched: tuple[bool, ...], *xs: Node) -> Node:
        x, indices, updates = all_batched(batched, xs)
        if not batched[1] and not self.shared:
            return build.apply(replace(self, axis=self.axis + 1), x, xs[1], updates)
        return build.apply(replace(self, axis=self.axis + 1, shared=self.shared + 1), x, indices, updates)

    def gather(self, x: Node, indices: Node) -> Node:
        """What x holds where the updates go."""
        return build.gather(x, indices, self.axis, self.shared)


class ScatterAdd(Scatter):
    """x with each update added at its place."""

    step: ClassVar = Add()

    def put(self, x: Array, places: Array, updates: Array) -> None:
        np.add.at(x, places, updates)

    def vjp(self, ct: Node, y: Node, *xs: Node) -> tuple[Node | None, ...]:
        return ct, None, self.gather(ct, xs[1])


class ScatterSet(Scatter):
    """x with each update in its place; of several for one place the last stays."""

    dtypes: ClassVar = ANY

    def put(self, x: Array, places: Array, updates: Array) -> None:
        for at in np.ndindex(*places.shape):
            x[places[at]] = updates[at]

    def vjp(self, ct: Node, y: Node, *xs: Node) -> tuple[Node | None, ...]:
        _, indices, updates = xs
        kept = build.apply(self, ct, indices, build.zeros_like(updates))
        if indices.type.rank == self.shared or are_distinct(indices, y.type.shape[self.axis]):
            return kept, None, self.gather(ct, indices)
        last = self.last_of_each(indices, y.type.shape[self.axis])
        spread = (*range(self.shared), *range(self.axis, self.axis + indices.type.rank - self.shared))
        stays = build.broadcast(last, updates.type.shape, spread)
        return kept, None, build.select(stays, self.gather(ct, indices), build.zeros_like(updates))

    def last_of_each(self, indices: Node, size: Size) -> Node:
        """Whether no later index names the same place: the updates' numbers, put where they go, are still there."""
        shared, own = indices.type.shape[: self.shared], indices.type.shape[self.shared :]
        count = build.iota(indices.scope, i64, (math.prod(own),), 0)
        axes = tuple(range(self.shared, indices.type.rank))
        numbers = build.broadcast(build.reshape(count, own), indices.type.shape, axes)
        places = build.constant(indices.scope, 0, i64, (*shared, size))
        put = build.apply(ScatterSet(self.shared, self.shared), places, indices, numbers)
        return build.eq(build.gather(put, indices, self.shared, self.shared), numbers)


def are_distinct(indices: Node, size: Size) -> bool:
    """Whether constant indices name each place once."""
    if not isinstance(indices.op, Constant) or not isinstance(size, int):
        return False
    places = clamp(indices.op.array(indices.type), size)
    return bool(np.unique(places).size == places.size)


class ScatterMax(Scatter):
    """x with the larger of each update and what is there; a NaN wins; equals share the cotangent evenly."""

    step: ClassVar = Max()

    def put(self, x: Array, places: Array, updates: Array) -> None:
        np.maximum.at(x, places, updates)

    def vjp(self, ct: Node, y: Node, *xs: Node) -> tuple[Node | None, ...]:
        x, indices, updates = xs
        ours = build.cast(build.eq(x, y), y.type.dtype)
        theirs = build.cast(build.eq(updates, self.gather(y, indices)), y.type.dtype)
        equals = build.scatter_add(ours, indices, theirs, self.axis, self.shared)
        share = ct / build.maximum(equals, 1.0)
        return share * ours, None, self.gather(share, indices) * theirs


class ScatterMul(Scatter):
    """x with each update multiplied to its place.

    An update's derivative is the product of the others: of those that are not 0, where no other one is 0.
    """

    step: ClassVar = Mul()

    def put(self, x: Array, places: Array, updates: Array) -> None:
        np.multiply.at(x, places, updates)

    def vjp(self, ct: Node, y: Node, *xs: Node) -> tuple[Node | None, ...]:
        x, indices, updates = xs
        ones, zero = build.ones_like(updates), build.eq(updates, 0.0)
        nonzero = build.select(zero, ones, updates)
        none = build.eq(x, 0.0)
        zeros = build.scatter_add(
            build.cast(none, y.type.dtype), indices, build.cast(zero, y.type.dtype), self.axis, self.shared
        )
        product = build.apply(self, build.select(none, build.ones_like(x), x), indices, nonzero)
        others = self.gather(zeros, indices) - build.cast(zero, y.type.dtype)
        alone = build.eq(others, 0.0)
        share = self.gather(ct * product, indices) / nonzero
        factors = build.apply(self, build.ones_like(x), indices, updates)
        return ct * factors, None, build.select(alone, share, build.zeros_like(updates))


def expect_indices(op: Indexing, x: TensorType, indices: TensorType, axis: int, shared: int) -> None:
    """Raise unless indices are integers that share the first `shared` axes with x."""
    expect_dtype(op, indices, INTEGERS)
    expect_axes(op, x, (axis,))
    if not 0 <= shared <= axis:
        raise ShapeError(f"{op.mnemonic()}: {shared} shared axes: not between 0 and the axis {axis}")
    if x.shape[:shared] != indices.shape[:shared] or shared > indices.rank:
        raise ShapeError(f"{op.mnemonic()}: the first {shared} axes of {x} and {indices} differ")


def clamp(indices: Array, size: int) -> Array:
    """Indices as i64 between 0 and size − 1, negative ones counted from the end."""
    if indices.dtype == np.uint64:
        return np.minimum(indices, np.uint64(size - 1)).astype(np.int64)
    wide = indices.astype(np.int64)
    return np.clip(np.where(wide < 0, wide + size, wide), 0, size - 1)


class Iota(Generator):
    """Each element is its index along `axis`, as `dtype` (integers wrap, floats round)."""

    dtype: DType
    shape: tuple[Size, ...]
    axis: int

    def infer(self, *operands: TensorType) -> TensorType:
        expect_arity(self, operands, 0)
        result = TensorType(self.dtype, self.shape)
        expect_dtype(self, result, NUMERIC)
        expect_axes(self, result, (self.axis,))
        return result

    def eval(self, *operands: Array) -> Array:
        column = [1] * len(self.shape)
        column[self.axis] = -1
        shape = numbers(self.shape)
        return np.broadcast_to(np.arange(shape[self.axis]).astype(self.dtype.numpy).reshape(column), shape)


SCATTERS = (ScatterAdd, ScatterSet, ScatterMax, ScatterMul)
ALL = (Gather, *SCATTERS, Iota)
