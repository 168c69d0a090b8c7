"""The loop nests of windows: each result element from its taps, written out or, where there are many, looped over.

A window reads its operand at taps that follow from its own place along each axis. Transposed, an element q·s + r of an
axis with strides s lies in the windows q + c for some constants c that depend on the residue r; so each residue has
code of its own, and nothing is ever added to memory. Along an axis where a tap may fall beside the operand, the place
is clamped and the value left out.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, product
from math import gcd, prod

import numpy as np

from graphc.ir.dim import Size, known_le
from graphc.ir.node import Node, Op
from graphc.ir.types import DType, bool_, i32, i64
from graphc.ops.base import Reduction
from graphc.ops.elementwise import Add
from graphc.ops.logic import And, Eq, Ge, Le, Lt, Ne, Not, Or, Select
from graphc.ops.reduction import ReduceMax, ReduceMin, ReduceSum
from graphc.ops.window import WindowArgMax, Windowed, WindowMax, WindowSpread, lowest
from graphc.passes.fuse import Group
from graphc.runtime.targets import Target
from graphc.schedule.access import Axis, Buffer, Index
from graphc.schedule.kernel import Compute, Fold, Literal, Position, Range, Stmt
from graphc.schedule.lower import Lowering

#: A window of at most so many taps is written out.
MOST_TAPS = 25

#: The number of no tap.
NONE = 2**31 - 1

#: Residues that share one nest, at most: so many results are written out in its body.
MOST_RESIDUES = 9


@dataclass(frozen=True)
class Taps:
    """What a result element reads along one axis of `size`: `count` places from `start` on, each `step` further.

    Their numbers, as far as this axis makes them, start with `number` and differ by `number_step`.
    """

    count: int
    start: Index
    step: int
    number: int
    number_step: int
    size: Size


@dataclass(frozen=True)
class Point:
    """A result element along one axis: where it is, and its taps."""

    index: Index
    taps: Taps


@dataclass(frozen=True)
class Part:
    """A part of one axis of the result: its loop, and the elements that one round writes."""

    axis: Axis
    points: tuple[Point, ...]


def lower_windows(group: Group, buffers: Mapping[Node, tuple[Buffer, ...]], target: Target) -> tuple[Stmt, ...]:
    """A nest for each combination of the axes' parts; the last axis goes a vector at a time."""
    lowering = Lowering(group, buffers)
    anchor = group.anchor
    assert anchor is not None and isinstance(anchor.op, Windowed)
    split = split_axis if isinstance(anchor.op, WindowSpread) else slide_axis
    sizes = zip(anchor.type.shape, anchor.inputs[0].type.shape, strict=True)
    parts = [split(anchor.op, axis, size, read) for axis, (size, read) in enumerate(sizes)]
    if anchor.op.taps <= MOST_TAPS:
        parts = [*([p for part in axis for p in apart(part)] for axis in parts[:-1]), *parts[-1:]]
    for nest in product(*parts):
        lower_nest(lowering, group, nest)
    return tuple(lowering.frames[0].body)


def slide_axis(op: Windowed, axis: int, count: Size, size: Size) -> list[Part]:
    """The windows of an axis, one after the other."""
    outer = Axis(f"i{axis}", count)
    start = Index.of(outer) * op.strides[axis] + (-op.low[axis])
    taps = Taps(op.window[axis], start, op.dilation[axis], 0, op.tap_strides[axis], size)
    return [Part(outer, (Point(Index.of(outer), taps),))]


def split_axis(op: Windowed, axis: int, size: Size, count: Size) -> list[Part]:
    """The elements of an axis by their residue; residues share a loop as far as all of them have equally many."""
    stride = op.strides[axis]
    if isinstance(size, int) and size and stride <= MOST_RESIDUES:
        whole, rest = divmod(size, stride)
        parts = [residues(op, axis, whole, 0, range(stride), count), residues(op, axis, 1, whole, range(rest), count)]
        return [part for part in parts if part.points and part.axis.extent]
    return [residues(op, axis, (size - r + (stride - 1)) // stride, 0, range(r, r + 1), count) for r in range(stride)]


def residues(op: Windowed, axis: int, extent: Size, skipped: int, which: range, count: Size) -> Part:
    """The elements (skipped + q)·s + r of an axis for q below an extent and each residue r.

    Such an element is tap t of the window skipped + q + (r + low − t·d) / s wherever that is whole.
    """
    outer = Axis(f"i{axis}", extent)
    window, stride, dilation, numbers = op.window[axis], op.strides[axis], op.dilation[axis], op.tap_strides[axis]
    quotient = Index.of(outer) + skipped
    period = stride // gcd(stride, dilation)
    points = []
    for r in which:
        place = r + op.low[axis]
        hits = [t for t in range(window) if (place - t * dilation) % stride == 0]
        first = hits[0] if hits else 0
        start = quotient + (place - first * dilation) // stride
        taps = Taps(len(hits), start, -period * dilation // stride, first * numbers, period * numbers, count)
        points.append(Point(quotient * stride + r, taps))
    return Part(outer, tuple(points))


def apart(part: Part) -> list[Part]:
    """A part as its borders, where some tap falls outside, and what lies between them, where none does."""
    extent = part.axis.extent
    if not isinstance(extent, int):
        return [part]
    first, last = 0, extent
    for taps in (p.taps for p in part.points if p.taps.count):
        offset, step, size = taps.start.offset, taps.start.coefficient(part.axis), taps.size
        if not (isinstance(offset, int) and isinstance(step, int) and isinstance(size, int)):
            return [part]
        reach = taps.step * (taps.count - 1)
        first = max(first, -((offset + min(reach, 0)) // step))
        last = min(last, (size - 1 - offset - max(reach, 0)) // step + 1)
    if last <= first:
        return [part]
    cuts = (0, first, last, extent)
    return [moved(part, start, stop) for start, stop in pairwise(cuts) if start < stop]


def moved(part: Part, start: int, stop: int) -> Part:
    """The rounds of a part from start up to, not including, stop."""
    axis = replace(part.axis, extent=stop - start)

    def along(index: Index) -> Index:
        return Index.of(axis) * index.coefficient(part.axis) + (index.offset + index.coefficient(part.axis) * start)

    points = [Point(along(p.index), replace(p.taps, start=along(p.taps.start))) for p in part.points]
    return Part(axis, tuple(points))


def lower_nest(lowering: Lowering, group: Group, nest: Sequence[Part]) -> None:
    """Loops over one part of each axis, and in them every combination of the parts' points."""
    for part in nest:
        lowering.open(part.axis)
    for points in product(*[part.points for part in nest]):
        index = tuple(p.index for p in points)
        for node, value in Window(lowering, index, [p.taps for p in points]).values(group):
            lowering.frames[-1].known[(node, index)] = value
        for node in group.outputs:
            lowering.store(node, index)
    for i in range(len(nest)):
        lowering.close_loop("serial" if i else "lanes")


class Window:
    """Writes the statements that combine the taps of the result element at an index."""

    def __init__(self, lowering: Lowering, index: tuple[Index, ...], taps: Sequence[Taps]):
        self.lowering, self.index, self.taps = lowering, index, taps
        self.looped = prod(t.count for t in taps) > MOST_TAPS

    def values(self, group: Group) -> Iterator[tuple[Node, int]]:
        """The values of the group's nodes over windows."""
        anchor = group.anchor
        assert anchor is not None
        if not isinstance(anchor.op, WindowMax | WindowArgMax):
            yield anchor, self.sum(anchor)
            return
        over = [n for n in group.nodes if isinstance(n.op, Windowed)]
        places = any(isinstance(n.op, WindowArgMax) for n in over)
        largest = self.largest_looped if self.looped else self.largest
        best, place = largest(anchor.inputs[0], places)
        for node in over:
            yield node, best if isinstance(node.op, WindowMax) else place

    def sum(self, node: Node) -> int:
        """The sum of the taps, or of those that a second operand names."""
        dtype = node.type.dtype
        if self.looped:
            return self.fold(ReduceSum((0,)), dtype, lambda t: self.summand(node, t))
        total: int | None = None
        for t in self.each_tap():
            value = self.summand(node, t)
            total = value if total is None else self.compute(Add(), dtype, total, value)
        return self.literal(0, dtype) if total is None else total

    def summand(self, node: Node, t: tuple[Index, ...]) -> int:
        """The operand at a tap; 0 where it lies outside, or is not the one that is named."""
        source, *place = node.inputs
        at, valid = self.place(t)
        value = self.lowering.value(source, at)
        if place:
            named = self.lowering.value(place[0], at if isinstance(node.op, WindowSpread) else self.index)
            chosen = self.compute(Eq(), bool_, named, self.number(t))
            valid = chosen if valid is None else self.compute(And(), bool_, valid, chosen)
        return self.where(valid, value, self.literal(0, node.type.dtype), node.type.dtype)

    def largest(self, source: Node, places: bool) -> tuple[int, int]:
        """The first largest of the taps, written out; and its number, if that is wanted."""
        dtype = source.type.dtype
        low, none = self.literal(lowest(dtype), dtype), self.literal(-1, i32)
        best = place = -1
        sure = False  # whether a tap before was surely inside
        for t in self.each_tap():
            at, valid = self.place(t)
            value = self.where(valid, self.lowering.value(source, at), low, dtype)
            number = self.where(valid, self.number(t), none, i32) if places else -1
            if best < 0:
                best, place = value, number
            else:
                better = take = self.better(value, best, dtype)
                if places and not sure:
                    take = self.compute(Or(), bool_, better, self.compute(Eq(), bool_, place, none))
                if places:
                    place = self.compute(Select(), i32, take, number, place)
                best = self.compute(Select(), dtype, better, value, best)
            sure |= valid is None
        return best, place

    def better(self, value: int, best: int, dtype: DType) -> int:
        """Whether a value is larger than the best before it, or is the first NaN."""
        more = self.compute(Not(), bool_, self.compute(Le(), bool_, value, best))
        return self.compute(And(), bool_, more, self.compute(Eq(), bool_, best, best)) if dtype.is_float else more

    def largest_looped(self, source: Node, places: bool) -> tuple[int, int]:
        """The same by loops: the largest, then the least number of those taps that equal it (or are NaN)."""
        dtype = source.type.dtype
        low = self.literal(lowest(dtype), dtype)

        def element(t: tuple[Index, ...]) -> int:
            at, valid = self.place(t)
            return self.where(valid, self.lowering.value(source, at), low, dtype)

        best = self.fold(ReduceMax((0,)), dtype, element)
        if not places:
            return best, -1

        def candidate(t: tuple[Index, ...]) -> int:
            at, valid = self.place(t)
            value = self.lowering.value(source, at)
            hit = self.compute(Eq(), bool_, value, best)
            if dtype.is_float:
                hit = self.compute(Or(), bool_, hit, self.compute(Ne(), bool_, value, value))
            hit = hit if valid is None else self.compute(And(), bool_, hit, valid)
            return self.where(hit, self.number(t), self.literal(NONE, i32), i32)

        first = self.fold(ReduceMin((0,)), i32, candidate)
        missing = self.compute(Eq(), bool_, first, self.literal(NONE, i32))
        return best, self.where(missing, self.literal(-1, i32), first, i32)

    # -- taps -------------------------------------------------------------------------------------------------------

    def each_tap(self) -> Iterator[tuple[Index, ...]]:
        """The places of the taps among their axes' taps, in order of their numbers."""
        return product(*[[Index((), t) for t in range(taps.count)] for taps in self.taps])

    def place(self, t: tuple[Index, ...]) -> tuple[tuple[Index, ...], int | None]:
        """Where a tap reads, clamped where that may be outside; and whether it is inside, None where it always is."""
        at: list[Index] = []
        valid: int | None = None
        for taps, own in zip(self.taps, t, strict=True):
            index = taps.start + own * taps.step
            low, high = span(index)
            tests: list[tuple[Op, Size]] = [] if known_le(0, low) else [(Ge(), 0)]
            tests += [] if known_le(high + 1, taps.size) else [(Lt(), taps.size)]
            if not tests:
                at.append(index)
                continue
            number = self.range(index, i64)
            for test, limit in tests:
                holds = self.compute(test, bool_, number, self.range(Index((), limit), i64))
                valid = holds if valid is None else self.compute(And(), bool_, valid, holds)
            at.append(Index.of(self.clamped(number, taps.size)))
        return tuple(at), valid

    def number(self, t: tuple[Index, ...]) -> int:
        """The number of a tap, as a value."""
        total = Index()
        for taps, own in zip(self.taps, t, strict=True):
            total = total + own * taps.number_step + taps.number
        return self.range(total, i32)

    def fold(self, op: Reduction, dtype: DType, element: Callable[[tuple[Index, ...]], int]) -> int:
        """Fold an element of each tap, by loops over the taps."""
        axes = tuple(Axis(f"t{i}", taps.count) for i, taps in enumerate(self.taps))
        self.lowering.open(*[axis for axis in axes if axis.extent != 1])
        value = element(tuple(Index.of(axis) if axis.extent != 1 else Index() for axis in axes))
        self.lowering.next_value += 1
        result = self.lowering.next_value
        self.lowering.close_reduce(False, [Fold(result, op, dtype, value)])
        return result

    # -- statements, each once in a frame where its operands are known ----------------------------------------------

    def where(self, condition: int | None, value: int, other: int, dtype: DType) -> int:
        """A value where a condition holds, if there is one."""
        return value if condition is None else self.compute(Select(), dtype, condition, value, other)

    def compute(self, op: Op, dtype: DType, *operands: int) -> int:
        """An elementwise op on values."""
        level = max(self.lowering.level_of[o] for o in operands)
        return self.once(level, (op, *operands), lambda result: Compute(result, dtype, op, operands))

    def literal(self, value: float, dtype: DType) -> int:
        """A number."""
        data = np.asarray(value).astype(dtype.numpy).tobytes()
        return self.once(0, (dtype, data), lambda result: Literal(result, dtype, data))

    def range(self, index: Index, dtype: DType) -> int:
        """An index as a number."""
        level = self.lowering.axis_level(index)
        return self.once(level, (dtype, index), lambda result: Range(result, dtype, index))

    def clamped(self, number: int, size: Size) -> int:
        """A number as a place along an axis."""
        level = self.lowering.level_of[number]
        return self.once(level, (number, size), lambda result: Position(result, number, size))

    def once(self, level: int, key: Hashable, statement: Callable[[int], Stmt]) -> int:
        """The result of a statement, which is appended to a frame if no open one has it."""
        found = self.lowering.lookup(key)
        if found is not None:
            return found
        result = self.lowering.fresh(level)
        self.lowering.frames[level].body.append(statement(result))
        self.lowering.frames[level].known[key] = result
        return result


def span(index: Index) -> tuple[Size, Size]:
    """The least and the greatest value of an index over axes, where each has an element."""
    low = high = index.offset
    for term, coefficient in index.terms:
        assert isinstance(term, Axis) and isinstance(coefficient, int)
        reach = coefficient * (term.extent - 1)
        low, high = (low, high + reach) if coefficient > 0 else (low + reach, high)
    return low, high
