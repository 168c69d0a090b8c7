"""What each op does to float64 values with error bounds; `shadow_graph` runs graphs of them.

The bound is first order: each op adds its own rounding (its `ulps`, in its node's dtype) to what its operands' bounds
do to it, taken at the corners of their ranges. Where a discontinuity (a comparison, floor, argmax, an index) lies
within the operands' bounds the result is unconstrained: its bound is ∞.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import singledispatch
from typing import Any

import numpy as np

from graphc import ops
from graphc.ir.node import Array, Node, Op
from graphc.ir.types import FROM_NUMPY, bf16, f16, f32, f64


@dataclass(frozen=True)
class Shade:
    """A node's value with its floats in float64, and a bound of the error of each element (0 or ∞ where discrete)."""

    value: Array
    bound: Array

    @property
    def uncertain(self) -> Array:
        """Where the compiled value may be something else."""
        return np.asarray(self.bound > 0)


@dataclass(frozen=True)
class Format:
    """What a float dtype can hold."""

    unit: float  # the relative error of one rounding; both sides' where the shadow rounds as the compiled code does
    tiny: float
    largest: float


FORMATS = {
    f32: Format(2.0**-24, 2.0**-149, (2 - 2.0**-23) * 2.0**127),
    f64: Format(2.0**-52, 2.0**-1074, sys.float_info.max),
    f16: Format(2.0**-11, 2.0**-24, 65504.0),
    bf16: Format(2.0**-8, 2.0**-133, (2 - 2.0**-7) * 2.0**127),
}


def exact(array: Array) -> Shade:
    """A value without error."""
    return Shade(array.astype(np.float64) if FROM_NUMPY[array.dtype].is_float else array, np.zeros(array.shape))


def shade(node: Node, op: Op, xs: Sequence[Shade]) -> Shade:
    """A node's shade from its operands'; `op` is its op, bound."""
    result = node.type.dtype
    if result.is_float and isinstance(op, (ops.Cast, ops.Iota, ops.SizeOf)):
        op = replace(op, dtype=f64)
    value = np.asarray(op.eval(*(x.value for x in xs)))
    carried = np.asarray(rivals(xs, axes) if (axes := extreme_axes(node)) else carry(op, value, xs), np.float64)
    if not result.is_float:
        return Shade(value, np.where(carried <= 0, 0.0, np.inf))
    limits = FORMATS[result]
    if result.is_narrow and not isinstance(op, ops.Cast):
        rounding = roundoff(op, value, xs) * FORMATS[f32].unit + (0.0 if op.narrow else np.abs(value) * limits.unit)
    else:
        rounding = roundoff(op, value, xs) * limits.unit
    bound = carried + rounding + np.where(rounding > 0, limits.tiny, 0.0)
    # Beyond the range of the dtype (or at its edge, on either side) nothing is known; infinities and NaNs agree.
    overflow = np.isfinite(value) & (np.abs(value) + bound > limits.largest)
    return Shade(value, np.where(np.isnan(bound) | overflow, np.inf, bound))


def extreme_axes(node: Node) -> tuple[int, ...]:
    """The axes, where a node is x = max x (or min) over axes; none where it is something else."""
    if isinstance(node.op, ops.Eq) and isinstance(node.inputs[1].op, ops.Broadcast):
        x, spread = node.inputs
        reduced = spread.inputs[0]
        if isinstance(reduced.op, (ops.ReduceMax, ops.ReduceMin)) and reduced.inputs[0] is x:
            axes = reduced.op.axes
            kept = tuple(a for a in range(x.type.rank) if a not in axes)
            return axes if spread.op == ops.Broadcast(x.type.shape, kept) else ()
    return ()


def rivals(xs: Sequence[Shade], axes: tuple[int, ...]) -> Array:
    """Where an element may or may not be the extreme: it and others are within their bounds of it."""
    x, y = xs
    slack = x.bound + y.bound
    near = ~(np.abs(x.value - y.value) > slack)
    return np.asarray(near & (np.sum(near, axes, keepdims=True) > 1) & (slack > 0))


@singledispatch
def carry(op: Op, y: Array, xs: Sequence[Shade]) -> Any:
    """What the operands' bounds do to the result; for a discrete result, positive where it may change."""
    raise NotImplementedError(op.mnemonic())


@singledispatch
def roundoff(op: Op, y: Array, xs: Sequence[Shade]) -> Any:
    """The op's own error, in units of half an ulp of 1."""
    return np.zeros_like(y)


def magnitude(x: Shade) -> Array:
    """The largest magnitude in each element's range."""
    return np.asarray(np.abs(x.value) + x.bound)


def change(y: Array, other: Array) -> Array:
    """|other − y|, 0 where they are the same infinity or NaN, ∞ where only one is NaN."""
    same = (y == other) | (np.isnan(y) & np.isnan(other))
    return np.where(same, 0.0, np.nan_to_num(np.abs(other - y), nan=np.inf, posinf=np.inf))


def corners(f: Callable[..., Array], y: Array, xs: Sequence[Shade]) -> Array:
    """The largest change of f over the corners of its operands' ranges."""
    worst = np.zeros(y.shape)
    moving = [(x.value - x.bound, x.value + x.bound) if x.bound.any() else (x.value,) for x in xs]
    for operands in itertools.product(*moving):
        worst = np.maximum(worst, change(y, f(*operands)))
    return worst


@carry.register
def _(op: ops.Elementwise, y: Array, xs: Sequence[Shade]) -> Any:
    if any(x.value.dtype.kind != "f" for x in xs) or y.dtype.kind != "f":
        return np.where(np.logical_or.reduce([x.uncertain for x in xs]), np.inf, 0.0)
    return corners(op.eval, y, xs)


@roundoff.register
def _(op: ops.Elementwise, y: Array, xs: Sequence[Shade]) -> Any:
    return 2 * op.ulps * np.abs(y) if op.ulps else np.zeros_like(y)


@roundoff.register
def _(op: ops.NextAfter, y: Array, xs: Sequence[Shade]) -> Any:
    return 4 * np.abs(y)  # a step of the compiled dtype, where the shadow takes one of float64


@carry.register
def _(op: ops.Div, y: Array, xs: Sequence[Shade]) -> Any:
    through_zero = xs[1].uncertain & (np.abs(xs[1].value) <= xs[1].bound)
    return np.where(through_zero, np.inf, corners(op.eval, y, xs))


@carry.register(ops.Sin)
@carry.register(ops.Cos)
def _(op: ops.Elementwise, y: Array, xs: Sequence[Shade]) -> Any:
    return np.where(np.isfinite(xs[0].value), np.minimum(xs[0].bound, 2.0), 0.0)


@carry.register(ops.Floor)
@carry.register(ops.Ceil)
@carry.register(ops.Round)
@carry.register(ops.Sign)
def _(op: ops.Elementwise, y: Array, xs: Sequence[Shade]) -> Any:
    return np.where(corners(op.eval, y, xs) > 0, np.inf, 0.0)


@carry.register
def _(op: ops.Rem, y: Array, xs: Sequence[Shade]) -> Any:
    if y.dtype.kind != "f":
        return np.where(xs[0].uncertain | xs[1].uncertain, np.inf, 0.0)
    whole = ops.Floor().eval(xs[0].value / xs[1].value)
    jumps = corners(lambda a, b: np.floor(a / b), whole, xs) > 0
    return np.where(jumps, np.inf, corners(op.eval, y, xs))


@carry.register
def _(op: ops.logic.Comparison, y: Array, xs: Sequence[Shade]) -> Any:
    a, b = xs
    if a.value.dtype.kind != "f":
        return a.bound + b.bound
    slack = a.bound + b.bound
    return np.where((slack > 0) & ~(np.abs(a.value - b.value) > slack), 1.0, 0.0)


@carry.register
def _(op: ops.Select, y: Array, xs: Sequence[Shade]) -> Any:
    condition, a, b = xs
    chosen = np.where(condition.value, a.bound, b.bound)
    if y.dtype.kind != "f":
        return np.where(condition.uncertain, np.where(a.value == b.value, a.bound + b.bound, 1.0), chosen)
    either = np.maximum(a.bound, b.bound) + change(a.value, b.value)
    return np.where(condition.uncertain, either, chosen)


@carry.register
def _(op: ops.Cast, y: Array, xs: Sequence[Shade]) -> Any:
    (x,) = xs
    if x.value.dtype.kind == "f":
        return x.bound if y.dtype.kind == "f" else corners(op.eval, y.astype(np.float64), xs)
    return np.where(x.uncertain, 1.0 if x.value.dtype.kind == "b" else np.inf, 0.0)


@carry.register
def _(op: ops.Generator, y: Array, xs: Sequence[Shade]) -> Any:
    return np.zeros(y.shape)


@roundoff.register
def _(op: ops.Generator, y: Array, xs: Sequence[Shade]) -> Any:
    return np.where(np.abs(y) > 2.0**24, np.abs(y), 0.0)  # smaller whole numbers are exact, so comparable


@carry.register
def _(op: ops.Movement, y: Array, xs: Sequence[Shade]) -> Any:
    return op.eval(*(x.bound for x in xs))


@carry.register(ops.ReduceMax)
@carry.register(ops.ReduceMin)
def _(op: ops.Reduction, y: Array, xs: Sequence[Shade]) -> Any:
    (x,) = xs
    if y.dtype.kind != "f":
        return np.max(x.bound, op.axes, initial=0.0)
    return np.maximum(change(y, op.eval(x.value - x.bound)), change(y, op.eval(x.value + x.bound)))


@carry.register
def _(op: ops.ReduceSum, y: Array, xs: Sequence[Shade]) -> Any:
    return np.sum(xs[0].bound, op.axes)


@roundoff.register
def _(op: ops.ReduceSum, y: Array, xs: Sequence[Shade]) -> Any:
    return np.sum(magnitude(xs[0]), op.axes) * (xs[0].value.size / max(y.size, 1))


@carry.register
def _(op: ops.ReduceProd, y: Array, xs: Sequence[Shade]) -> Any:
    return np.prod(magnitude(xs[0]), op.axes) - np.prod(np.abs(xs[0].value.astype(np.float64)), op.axes)


@roundoff.register
def _(op: ops.ReduceProd, y: Array, xs: Sequence[Shade]) -> Any:
    return np.prod(magnitude(xs[0]), op.axes) * (xs[0].value.size / max(y.size, 1))


@carry.register
def _(op: ops.ArgReduction, y: Array, xs: Sequence[Shade]) -> Any:
    (x,) = xs
    if not x.value.shape[op.axis] or not x.bound.any():
        return np.zeros(y.shape)
    toward = x.value if isinstance(op, ops.ArgMax) else -x.value
    at = np.expand_dims(y, op.axis)
    rivals = np.array(toward + x.bound)
    np.put_along_axis(rivals, at, -np.inf, op.axis)
    surest = np.squeeze(np.take_along_axis(toward - x.bound, at, op.axis), op.axis)
    moves = ~(np.max(rivals, op.axis) < surest)
    return np.where(moves & (np.max(x.bound, op.axis) > 0), 1.0, 0.0)


@carry.register
def _(op: ops.DotGeneral, y: Array, xs: Sequence[Shade]) -> Any:
    a, b = xs
    if y.dtype.kind != "f":
        return op.eval(a.uncertain.astype(np.float64), np.ones(b.value.shape)) + op.eval(
            np.ones(a.value.shape), b.uncertain.astype(np.float64)
        )
    return op.eval(magnitude(a), b.bound) + op.eval(a.bound, np.abs(b.value))


@roundoff.register
def _(op: ops.DotGeneral, y: Array, xs: Sequence[Shade]) -> Any:
    a, b = xs
    inner = np.prod([a.value.shape[axis] for axis in op.lhs_contract])
    return op.eval(magnitude(a), magnitude(b)) * inner


@carry.register
def _(op: ops.Convolution, y: Array, xs: Sequence[Shade]) -> Any:
    a, b = xs
    if y.dtype.kind != "f":
        inexact = [x.uncertain.astype(np.float64) for x in xs]
        return op.eval(inexact[0], np.ones(b.value.shape)) + op.eval(np.ones(a.value.shape), inexact[1])
    return op.eval(magnitude(a), b.bound) + op.eval(a.bound, np.abs(b.value))


@roundoff.register
def _(op: ops.Convolution, y: Array, xs: Sequence[Shade]) -> Any:
    a, b = xs
    terms = op.eval(np.ones(a.value.shape), np.ones(b.value.shape))
    return op.eval(magnitude(a), magnitude(b)) * terms


@carry.register
def _(op: ops.Gather, y: Array, xs: Sequence[Shade]) -> Any:
    x, indices = xs
    return np.full(y.shape, np.inf) if indices.uncertain.any() else op.eval(x.bound, indices.value)


@carry.register
def _(op: ops.Scatter, y: Array, xs: Sequence[Shade]) -> Any:
    x, indices, updates = xs
    if indices.uncertain.any():
        return np.full(y.shape, np.inf)
    if isinstance(op, ops.ScatterMul):
        sizes = op.eval(np.abs(x.value * 1.0), indices.value, np.abs(updates.value * 1.0))
        return op.eval(magnitude(x), indices.value, magnitude(updates)) - sizes
    together = ops.ScatterAdd(op.axis, op.shared) if isinstance(op, ops.ScatterMax) else op
    return together.eval(x.bound, indices.value, updates.bound)


@roundoff.register(ops.ScatterAdd)
@roundoff.register(ops.ScatterMul)
def _(op: ops.Scatter, y: Array, xs: Sequence[Shade]) -> Any:
    x, indices, updates = xs
    count = ops.ScatterAdd(op.axis, op.shared)
    additions = count.eval(np.zeros(x.value.shape), indices.value, np.ones(updates.value.shape))
    return op.eval(magnitude(x), indices.value, magnitude(updates)) * additions


@carry.register(ops.CumSum)
@carry.register(ops.CumMax)
@carry.register(ops.Recurrence)
def _(op: ops.Cumulative, y: Array, xs: Sequence[Shade]) -> Any:
    if y.dtype.kind != "f":
        uncertain = sum(x.uncertain.astype(np.int64) for x in xs)
        return np.where(ops.CumSum(op.axis, op.reverse).eval(np.asarray(uncertain)) > 0, np.inf, 0.0)
    if isinstance(op, ops.CumMax):
        (x,) = xs
        return np.maximum(change(y, op.eval(x.value - x.bound)), change(y, op.eval(x.value + x.bound)))
    return op.eval(*map(magnitude, xs)) - op.eval(*(np.abs(x.value) for x in xs))


@roundoff.register(ops.CumSum)
@roundoff.register(ops.Recurrence)
def _(op: ops.Cumulative, y: Array, xs: Sequence[Shade]) -> Any:
    return op.eval(*map(magnitude, xs)) * (2 * y.shape[op.axis])


@carry.register
def _(op: ops.Argsort, y: Array, xs: Sequence[Shade]) -> Any:
    (x,) = xs
    low, high = (np.take_along_axis(x.value + side * x.bound, y, -1) for side in (-1, 1))
    moves = np.zeros(y.shape, bool)
    if x.bound.any():
        before, after = (low, high) if op.descending else (high, low)
        crossed = before[..., :-1] <= after[..., 1:] if op.descending else before[..., :-1] >= after[..., 1:]
        unsure = np.take_along_axis(x.uncertain, y, -1)
        moves[...] = np.any(crossed & (unsure[..., :-1] | unsure[..., 1:]), -1, keepdims=True)
    return np.where(moves, np.inf, 0.0)


@carry.register
def _(op: ops.WindowMax, y: Array, xs: Sequence[Shade]) -> Any:
    (x,) = xs
    if y.dtype.kind != "f":
        return op.eval(x.bound)
    return np.maximum(change(y, op.eval(x.value - x.bound)), change(y, op.eval(x.value + x.bound)))


@carry.register
def _(op: ops.WindowArgMax, y: Array, xs: Sequence[Shade]) -> Any:
    return ops.WindowMax(*op.geometry()).eval(xs[0].bound)  # any error in a window may move its largest element


@carry.register(ops.WindowSum)
@carry.register(ops.WindowSpread)
def _(op: ops.WindowSum | ops.WindowSpread, y: Array, xs: Sequence[Shade]) -> Any:
    x, *place = xs
    if any(p.uncertain.any() for p in place):
        return np.full(y.shape, np.inf)
    return op.eval(x.bound, *[p.value for p in place])


@roundoff.register(ops.WindowSum)
@roundoff.register(ops.WindowSpread)
def _(op: ops.WindowSum | ops.WindowSpread, y: Array, xs: Sequence[Shade]) -> Any:
    x, *place = xs
    return op.eval(magnitude(x), *[p.value for p in place]) * (0 if place and not op.overlaps else op.taps)
