"""Indexing at computed places, and iota. Out-of-range indices clamp to the nearest element."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from graphc.errors import ShapeError
from graphc.ir import build
from graphc.ir.dim import Size
from graphc.ir.node import Array, Node
from graphc.ir.types import DType, TensorType
from graphc.ops.base import (
    ANY,
    INTEGERS,
    NUMERIC,
    Generator,
    Indexing,
    all_batched,
    expect_arity,
    expect_axes,
    expect_dtype,
    numbers,
)


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


class ScatterAdd(Indexing):
    """`scatter_add(x, indices, updates)`: x with each update added where `Gather` would read it, in index order."""

    axis: int
    shared: int = 0

    def infer(self, *operands: TensorType) -> TensorType:
        expect_arity(self, operands, 3)
        x, indices, updates = operands
        expect_dtype(self, x, NUMERIC)
        expected = Gather(self.axis, self.shared).infer(x, indices)
        if updates != expected:
            raise ShapeError(f"scatter_add: the updates are {updates}, not {expected}")
        return x

    def eval(self, *operands: Array) -> Array:
        x, indices, updates = operands
        axis, size = self.axis - self.shared, x.shape[self.axis]
        y = x.copy()
        if size and updates.size:
            places = clamp(indices, size)
            moved = tuple(range(axis, axis + places.ndim - self.shared))
            for at in np.ndindex(*x.shape[: self.shared]):
                np.add.at(np.moveaxis(y[at], axis, 0), places[at], np.moveaxis(updates[at], moved, range(len(moved))))
        return y

    def vjp(self, ct: Node, y: Node, *xs: Node) -> tuple[Node | None, ...]:
        return ct, None, build.gather(ct, xs[1], self.axis, self.shared)

    def batch(self, batched: tuple[bool, ...], *xs: Node) -> Node:
        x, indices, updates = all_batched(batched, xs)
        if not batched[1] and not self.shared:
            return build.scatter_add(x, xs[1], updates, self.axis + 1)
        return build.scatter_add(x, indices, updates, self.axis + 1, self.shared + 1)


def expect_indices(op: Indexing, x: TensorType, indices: TensorType, axis: int, shared: int) -> None:
    """Raise unless indices are integers that share the first `shared` axes with x."""
    expect_dtype(op, indices, INTEGERS)
    expect_axes(op, x, (axis,))
    if not 0 <= shared <= axis:
        raise ShapeError(f"{op.mnemonic()}: {shared} shared axes: not between 0 and the axis {axis}")
    if x.shape[:shared] != indices.shape[:shared] or shared > indices.rank:
        raise ShapeError(f"{op.mnemonic()}: the first {shared} axes of {x} and {indices} differ")


def clamp(indices: Array, size: int) -> Array:
    """Indices as i64 between 0 and size − 1."""
    if indices.dtype == np.uint64:
        return np.minimum(indices, np.uint64(size - 1)).astype(np.int64)
    return np.clip(indices.astype(np.int64), 0, size - 1)


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


ALL = (Gather, ScatterAdd, Iota)
