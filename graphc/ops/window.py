"""Windows: sums, extremes and where they are, over boxes that slide along the axes.

Window o of an axis reads x[o·stride + t·dilation − low] for its taps t = 0, 1, …; what lies outside of x is left out.
The taps of a window are numbered in row-major order, all axes together. A sum and its transpose, `WindowSpread`, take a
second operand or none: with one, window o has the tap `place[o]` only (none where it is −1), so that the derivative of
the maximum is a spread, and the derivative of that one a sum.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from math import prod
from typing import Any, Self

import numpy as np

from graphc.errors import DTypeError, ShapeError
from graphc.ir import build
from graphc.ir.dim import Size, known_le, maximum
from graphc.ir.node import Array, Node, Op
from graphc.ir.types import FROM_NUMPY, DType, TensorType, i32
from graphc.ops.base import (
    FLOATS,
    NUMERIC,
    all_batched,
    batch_size,
    expect_arity,
    expect_dtype,
    expect_rank,
    limits,
    numbers,
)


class Windowed(Op):
    """An op over windows; every attribute has one value for each axis.

    `low` and `high` are the padding at both ends of an axis; one that is padded has at least one element.
    """

    window: tuple[int, ...]
    strides: tuple[int, ...]
    dilation: tuple[int, ...]
    low: tuple[int, ...]
    high: tuple[Size, ...]

    @property
    def taps(self) -> int:
        """How many elements a window has."""
        return prod(self.window)

    @property
    def tap_strides(self) -> tuple[int, ...]:
        """How far the number of a tap moves with the tap's place along each axis."""
        return tuple(prod(self.window[axis + 1 :]) for axis in range(len(self.window)))

    @property
    def overlaps(self) -> bool:
        """Whether an element may lie in several windows."""
        return any(w > 1 and (w - 1) * d >= s for w, s, d in zip(self.window, self.strides, self.dilation, strict=True))

    def windows(self, shape: tuple[Size, ...]) -> tuple[Size, ...]:
        """How many windows fit along each axis of a shape, its padding included."""
        return tuple(map(window_count, shape, self.window, self.strides, self.dilation, self.low, self.high))

    def expect_geometry(self, x: TensorType) -> None:
        """Raise `ShapeError` unless attributes fit the axes of x."""
        for name in ("window", "strides", "dilation", "low", "high"):
            expect_rank(self, x, name, getattr(self, name))
        if min((*self.window, *self.strides, *self.dilation), default=1) < 1:
            sizes = f"window {self.window}, strides {self.strides}, dilation {self.dilation}"
            raise ShapeError(f"{self.mnemonic()}: {sizes} are not all positive")
        if any(known_le(pad, -1) for pad in (*self.low, *self.high)):
            raise ShapeError(f"{self.mnemonic()}: negative padding ({self.low}, {self.high})")

    def work(self, result: TensorType, *operands: TensorType) -> Size:
        return self.taps * result.size

    def geometry(self) -> tuple[Any, ...]:
        """The attributes that all ops over windows share, in order."""
        return self.window, self.strides, self.dilation, self.low, self.high

    def batch(self, batched: tuple[bool, ...], *xs: Node) -> Node:
        return build.apply(self.below_axis(batch_size(batched, xs)), *all_batched(batched, xs))

    def below_axis(self, size: Size) -> Self:
        """The same op on operands with one more axis in front, of a size."""
        front = {"window": 1, "strides": 1, "dilation": 1, "low": 0, "high": 0}
        return replace(self, **{name: (one, *getattr(self, name)) for name, one in front.items()})

    def each_tap(self, shape: tuple[int, ...]) -> Iterator[tuple[int, tuple[slice, ...], Array]]:
        """For each tap its number, where it reads an x of some shape once that is padded, and which windows have it."""
        low, high, counts = self.low, numbers(self.high), numbers(self.windows(shape))
        inside = np.pad(np.ones(shape, bool), list(zip(low, high, strict=True)))
        for number, tap in enumerate(product(*map(range, self.window))):
            starts = [t * d for t, d in zip(tap, self.dilation, strict=True)]
            box = tuple(slice(a, a + n * s, s) for a, n, s in zip(starts, counts, self.strides, strict=True))
            if all(counts):
                yield number, box, inside[box]

    def padded(self, x: Array) -> Array:
        """x with zeros around."""
        return np.pad(x, list(zip(self.low, numbers(self.high), strict=True)))


def window_count(size: Size, window: int, stride: int, dilation: int, low: int, high: Size) -> Size:
    """The number of windows along an axis."""
    room: Size = size + low + high - ((window - 1) * dilation + 1)
    return maximum(room // stride + 1, 0)


class WindowSum(Windowed):
    """y[o] = Σ_t x at tap t of window o; with a second operand, the tap `place[o]` alone."""

    def infer(self, *operands: TensorType) -> TensorType:
        x = operands[0]
        self.expect_geometry(x)
        expect_dtype(self, x, NUMERIC)
        result = x.with_shape(self.windows(x.shape))
        expect_places(self, operands, result)
        return result

    def eval(self, *operands: Array) -> Array:
        x, *place = operands
        y, wide = np.zeros(numbers(self.windows(x.shape)), x.dtype), self.padded(x)
        for number, box, inside in self.each_tap(x.shape):
            chosen = inside & (place[0] == number) if place else inside
            y += np.where(chosen, wide[box], np.zeros((), x.dtype))
        return y

    def vjp(self, ct: Node, y: Node, *xs: Node) -> tuple[Node | None, ...]:
        x, *place = xs
        return (spread(self, x, ct, *place), *[None for _ in place])


class WindowSpread(Windowed):
    """The transpose of `WindowSum`: each ct[o] added to the taps of window o, or to the tap `place[o]`, of zeros."""

    shape: tuple[Size, ...]

    def infer(self, *operands: TensorType) -> TensorType:
        ct = operands[0]
        result = ct.with_shape(self.shape)
        self.expect_geometry(result)
        expect_dtype(self, ct, NUMERIC)
        if ct.shape != self.windows(self.shape):
            raise ShapeError(f"{self.mnemonic()}: {result} has windows {self.windows(self.shape)}, not those of {ct}")
        expect_places(self, operands, ct)
        return result

    def eval(self, *operands: Array) -> Array:
        ct, *place = operands
        shape = numbers(self.shape)
        wide = self.padded(np.zeros(shape, ct.dtype))
        for number, box, _ in self.each_tap(shape):
            wide[box] += np.where(place[0] == number, ct, np.zeros((), ct.dtype)) if place else ct
        return wide[tuple(slice(a, a + n) for a, n in zip(self.low, shape, strict=True))]

    def work(self, result: TensorType, *operands: TensorType) -> Size:
        return self.taps * operands[0].size

    def below_axis(self, size: Size) -> Self:
        return replace(super().below_axis(size), shape=(size, *self.shape))

    def vjp(self, ct: Node, y: Node, *xs: Node) -> tuple[Node | None, ...]:
        _, *place = xs
        return (build.apply(WindowSum(*self.geometry()), ct, *place), *[None for _ in place])


class WindowMax(Windowed):
    """y[o] = the largest element of window o, the first of equals; a NaN wins; the lowest value where it has none."""

    def infer(self, *operands: TensorType) -> TensorType:
        expect_arity(self, operands, 1)
        (x,) = operands
        self.expect_geometry(x)
        expect_dtype(self, x, NUMERIC)
        return x.with_shape(self.windows(x.shape))

    def eval(self, *operands: Array) -> Array:
        return first_largest(self, operands[0])[0]

    def vjp(self, ct: Node, y: Node, *xs: Node) -> tuple[Node | None, ...]:
        (x,) = xs
        return (spread(self, x, ct, build.apply(WindowArgMax(*self.geometry()), x)),)


class WindowArgMax(Windowed):
    """The i32 number of the tap at which `WindowMax` has its element; −1 where the window has none."""

    differentiable = False

    def infer(self, *operands: TensorType) -> TensorType:
        expect_arity(self, operands, 1)
        (x,) = operands
        self.expect_geometry(x)
        expect_dtype(self, x, NUMERIC)
        return TensorType(i32, self.windows(x.shape))

    def eval(self, *operands: Array) -> Array:
        return first_largest(self, operands[0])[1]


def spread(op: Windowed, x: Node, ct: Node, *place: Node) -> Node:
    """The cotangent of x from that of sums of its windows, or of the taps at some places."""
    transpose = WindowSpread(op.window, op.strides, op.dilation, op.low, op.high, x.type.shape)
    return build.apply(transpose, ct, *place)


def first_largest(op: Windowed, x: Array) -> tuple[Array, Array]:
    """The largest element of each window and its tap's number."""
    counts, wide = numbers(op.windows(x.shape)), op.padded(x)
    best, place = np.full(counts, lowest(FROM_NUMPY[x.dtype]), x.dtype), np.full(counts, -1, np.int32)
    for number, box, inside in op.each_tap(x.shape):
        value = wide[box]
        better = ~(value <= best) & (best == best)
        take = inside & (better | (place < 0))
        best, place = np.where(take, value, best), np.where(take, np.int32(number), place)
    return best, place


def lowest(dtype: DType) -> float | int:
    """What every element is at least."""
    return -np.inf if dtype in FLOATS else limits(dtype)[0]


def expect_places(op: Windowed, operands: tuple[TensorType, ...], windows: TensorType) -> None:
    """Raise unless a second operand, if there is one, names a tap for each window."""
    if len(operands) not in (1, 2):
        raise ShapeError(f"{op.mnemonic()}: takes 1 or 2 operands, got {len(operands)}")
    if len(operands) == 2:
        if operands[1].dtype != i32:
            raise DTypeError(f"{op.mnemonic()}: places are {operands[1].dtype}, not i32")
        if operands[1].shape != windows.shape:
            raise ShapeError(f"{op.mnemonic()}: places are {operands[1]}, windows {windows}")


ALL = (WindowSum, WindowSpread, WindowMax, WindowArgMax)
