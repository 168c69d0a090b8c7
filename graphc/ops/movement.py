"""Movement: each element of the result is one of the operand's (or the padding), unchanged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphc.errors import ShapeError
from graphc.ir import build
from graphc.ir.dim import Dim, Size, excludes_zero, known_le, maximum
from graphc.ir.node import Array, Node
from graphc.ir.types import TensorType, bool_
from graphc.ops.base import (
    ANY,
    Movement,
    after_first,
    all_batched,
    batch_size,
    expect_arity,
    expect_axes,
    expect_rank,
    expect_same,
    numbers,
)


class Broadcast(Movement):
    """Repeats the operand along new axes: its axis i becomes the result's axis `axes[i]`, increasing, of equal size.

    A size of 1 is never stretched.
    """

    shape: tuple[Size, ...]
    axes: tuple[int, ...]

    def infer(self, *operands: TensorType) -> TensorType:
        expect_arity(self, operands, 1)
        (x,) = operands
        result = x.with_shape(self.shape)
        expect_rank(self, x, "axes", self.axes)
        expect_axes(self, result, self.axes)
        if list(self.axes) != sorted(self.axes) or [self.shape[a] for a in self.axes] != list(x.shape):
            raise ShapeError(f"broadcast: {x} does not fit axes {self.axes} of {result}")
        return result

    def eval(self, *operands: Array) -> Array:
        (x,) = operands
        expanded = np.expand_dims(x, tuple(a for a in range(len(self.shape)) if a not in self.axes))
        return np.broadcast_to(expanded, numbers(self.shape))

    def vjp(self, ct: Node, y: Node, *xs: Node) -> tuple[Node | None, ...]:
        return (build.sum_(ct, tuple(a for a in range(len(self.shape)) if a not in self.axes)),)

    def batch(self, batched: tuple[bool, ...], *xs: Node) -> Node:
        return build.broadcast(xs[0], (batch_size(batched, xs), *self.shape), (0, *after_first(self.axes)))

    def pull(self, index: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(index[a] for a in self.axes)


class Reshape(Movement):
    """The same elements in row-major order, in another shape of provably the same size."""

    shape: tuple[Size, ...]

    def infer(self, *operands: TensorType) -> TensorType:
        expect_arity(self, operands, 1)
        (x,) = operands
        result = x.with_shape(self.shape)
        if [s for s in x.shape if s != 1] != [s for s in self.shape if s != 1] and x.size != result.size:
            raise ShapeError(f"reshape: {x} does not have the size of {result}")
        return result

    def eval(self, *operands: Array) -> Array:
        return operands[0].reshape(numbers(self.shape))

    def vjp(self, ct: Node, y: Node, *xs: Node) -> tuple[Node | None, ...]:
        return (build.reshape(ct, xs[0].type.shape),)

    def batch(self, batched: tuple[bool, ...], *xs: Node) -> Node:
        return build.reshape(xs[0], (batch_size(batched, xs), *self.shape))


class Assume(Movement):
    """As `Reshape`, where the sizes are equal only at the dimensions that the entry's prologue lets through."""

    shape: tuple[Size, ...]

    def infer(self, *operands: TensorType) -> TensorType:
        expect_arity(self, operands, 1)
        (x,) = operands
        result = x.with_shape(self.shape)
        if excludes_zero(x.size - result.size):
            raise ShapeError(f"assume: {x} never has the size of {result}")
        return result

    def eval(self, *operands: Array) -> Array:
        return operands[0].reshape(numbers(self.shape))

    def vjp(self, ct: Node, y: Node, *xs: Node) -> tuple[Node | None, ...]:
        return (build.apply(Assume(xs[0].type.shape), ct),)

    def batch(self, batched: tuple[bool, ...], *xs: Node) -> Node:
        return build.apply(Assume((batch_size(batched, xs), *self.shape)), *xs)


class Transpose(Movement):
    """The axes in another order: the result's axis i is the operand's axis `permutation[i]`."""

    permutation: tuple[int, ...]

    def infer(self, *operands: TensorType) -> TensorType:
        expect_arity(self, operands, 1)
        (x,) = operands
        expect_rank(self, x, "axes", self.permutation)
        expect_axes(self, x, self.permutation)
        return x.with_shape(tuple(x.shape[a] for a in self.permutation))

    def eval(self, *operands: Array) -> Array:
        return operands[0].transpose(self.permutation)

    def vjp(self, ct: Node, y: Node, *xs: Node) -> tuple[Node | None, ...]:
        return (build.transpose(ct, inverse(self.permutation)),)

    def batch(self, batched: tuple[bool, ...], *xs: Node) -> Node:
        return build.transpose(xs[0], (0, *after_first(self.permutation)))

    def pull(self, index: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(index[a] for a in inverse(self.permutation))


def inverse(permutation: Sequence[int]) -> tuple[int, ...]:
    """The permutation that undoes one."""
    return tuple(sorted(range(len(permutation)), key=permutation.__getitem__))


class Flip(Movement):
    """The elements in reverse order along `axes`; `shape` is the operand's."""

    shape: tuple[Size, ...]
    axes: tuple[int, ...]

    def infer(self, *operands: TensorType) -> TensorType:
        expect_arity(self, operands, 1)
        (x,) = operands
        expect_axes(self, x, self.axes)
        if x.shape != self.shape:
            raise ShapeError(f"flip: {x} is not of shape {x.with_shape(self.shape)}")
        return x

    def eval(self, *operands: Array) -> Array:
        return np.flip(operands[0], self.axes)

    def vjp(self, ct: Node, y: Node, *xs: Node) -> tuple[Node | None, ...]:
        return (build.flip(ct, self.axes),)

    def batch(self, batched: tuple[bool, ...], *xs: Node) -> Node:
        return build.flip(xs[0], tuple(a + 1 for a in self.axes))

    def pull(self, index: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(i * -1 + (self.shape[a] - 1) if a in self.axes else i for a, i in enumerate(index))


class Slice(Movement):
    """Every `steps[i]`-th element of axis i from `starts[i]` up to, not including, `stops[i]`.

    0 ≤ start, stop ≤ size and step ≥ 1; where symbols hide that, the caller checks it. stop ≤ start gives nothing.
    """

    starts: tuple[Size, ...]
    stops: tuple[Size, ...]
    steps: tuple[Size, ...]

    def infer(self, *operands: TensorType) -> TensorType:
        expect_arity(self, operands, 1)
        (x,) = operands
        for name, values in (("starts", self.starts), ("stops", self.stops), ("steps", self.steps)):
            expect_rank(self, x, name, values)
        for start, stop, step, size in zip(self.starts, self.stops, self.steps, x.shape, strict=True):
            if known_le(start, -1) or known_le(step, 0) or known_le(size + 1, stop):
                raise ShapeError(f"slice: {start}:{stop}:{step} reaches outside an axis of {size}")
        return x.with_shape(tuple(map(slice_size, self.starts, self.stops, self.steps)))

    def eval(self, *operands: Array) -> Array:
        bounds = zip(numbers(self.starts), numbers(self.stops), numbers(self.steps), strict=True)
        return operands[0][tuple(slice(a, max(a, b), s) for a, b, s in bounds)]

    def vjp(self, ct: Node, y: Node, *xs: Node) -> tuple[Node | None, ...]:
        interior = tuple(s - 1 for s in self.steps)
        covered = map(dilated_size, y.type.shape, interior)
        high = tuple(n - a - c for n, a, c in zip(xs[0].type.shape, self.starts, covered, strict=True))
        return (build.pad(ct, 0.0, self.starts, high, interior),)

    def batch(self, batched: tuple[bool, ...], *xs: Node) -> Node:
        return build.slice_(xs[0], (0, *self.starts), (batch_size(batched, xs), *self.stops), (1, *self.steps))

    def pull(self, index: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(i * step + start for i, start, step in zip(index, self.starts, self.steps, strict=True))


def slice_size(start: Size, stop: Size, step: Size) -> Size:
    """How many elements a slice has: ⌈(stop − start) / step⌉."""
    size = (stop - start + (step - 1)) // step
    return max(size, 0) if isinstance(size, int) else size


def dilated_size(size: Size, interior: Size) -> Size:
    """The size of an axis with `interior` elements put between each two neighbours."""
    return size if interior == 0 else size + interior * maximum(size - 1, 0)


class Pad(Movement):
    """The first operand with `low` and `high` copies of the second (rank 0) around, `interior` between neighbours."""

    low: tuple[Size, ...]
    high: tuple[Size, ...]
    interior: tuple[Size, ...]

    def infer(self, *operands: TensorType) -> TensorType:
        expect_arity(self, operands, 2)
        x, value = operands
        for name, values in (("low", self.low), ("high", self.high), ("interior", self.interior)):
            expect_rank(self, x, name, values)
        expect_same(self, (x.with_shape(()), value), ANY)
        if any(known_le(s, -1) for s in self.low + self.high + self.interior):
            amounts = f"low {self.low}, high {self.high}, interior {self.interior}"
            raise ShapeError(f"pad: negative padding of {x} ({amounts})")
        inner = map(dilated_size, x.shape, self.interior)
        return x.with_shape(tuple(a + n + b for a, n, b in zip(self.low, inner, self.high, strict=True)))

    def eval(self, *operands: Array) -> Array:
        x, value = operands
        starts, gaps = numbers(self.low), numbers(self.interior)
        stops = [a + n + g * max(n - 1, 0) for a, n, g in zip(starts, x.shape, gaps, strict=True)]
        y = np.full([stop + b for stop, b in zip(stops, numbers(self.high), strict=True)], value, x.dtype)
        y[tuple(slice(a, b, g + 1) for a, b, g in zip(starts, stops, gaps, strict=True))] = x
        return y

    def vjp(self, ct: Node, y: Node, *xs: Node) -> tuple[Node | None, ...]:
        x, _ = xs
        steps = tuple(g + 1 for g in self.interior)
        # n·step − gap covers the elements; at a symbolic n of 0 it lies before the start, which slices nothing too.
        covered = [n * s - (s - 1) if isinstance(n, Dim) or n else 0 for n, s in zip(x.type.shape, steps, strict=True)]
        stops = tuple(a + c for a, c in zip(self.low, covered, strict=True))
        outside = build.pad(build.zeros_like(x), 1.0, self.low, self.high, self.interior)
        every = tuple(range(y.type.rank))
        return build.slice_(ct, self.low, stops, steps), build.sum_(ct * outside, every)

    def batch(self, batched: tuple[bool, ...], *xs: Node) -> Node:
        x = xs[0] if batched[0] else build.repeat(xs[0], batch_size(batched, xs))
        amounts = ((0, *self.low), (0, *self.high), (0, *self.interior))
        if not batched[1]:
            return build.pad(x, xs[1], *amounts)
        inside = build.pad(build.constant(x.scope, True, bool_, x.type.shape), False, *amounts)
        padded = build.pad(x, 0, *amounts)
        return build.select(inside, padded, build.broadcast(xs[1], padded.type.shape, (0,)))


class Concat(Movement):
    """The operands one after the other along `axis`; their other sizes are equal."""

    axis: int

    def infer(self, *operands: TensorType) -> TensorType:
        if not operands:
            raise ShapeError("concat: takes at least one operand")
        for x in operands:
            expect_axes(self, x, (self.axis,))
        rests = [x.with_shape((*x.shape[: self.axis], 0, *x.shape[self.axis + 1 :])) for x in operands]
        if any(rest.shape != rests[0].shape for rest in rests):
            types = " and ".join(map(str, operands))
            raise ShapeError(f"concat: shapes differ off axis {self.axis} ({types})")
        expect_same(self, rests, ANY)
        shape = list(operands[0].shape)
        shape[self.axis] = sum(x.shape[self.axis] for x in operands)
        return operands[0].with_shape(tuple(shape))

    def eval(self, *operands: Array) -> Array:
        return np.concatenate(operands, self.axis)

    def vjp(self, ct: Node, y: Node, *xs: Node) -> tuple[Node | None, ...]:
        shares, start = [], 0
        for x in xs:
            stop: Any = start + x.type.shape[self.axis]
            shares.append(build.slice_axis(ct, self.axis, start, stop))
            start = stop
        return tuple(shares)

    def batch(self, batched: tuple[bool, ...], *xs: Node) -> Node:
        return build.concat(all_batched(batched, xs), self.axis + 1)


ALL = (Broadcast, Reshape, Assume, Transpose, Flip, Slice, Pad, Concat)
