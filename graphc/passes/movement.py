"""Rules for ops that only move elements, and for reductions over what was moved: fewer of them, on smaller operands.

Normal forms: at most one of each movement in a row; broadcasts last; a movement that only inserts, drops or passes
axes of size 1 is a reshape, which copies nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from graphc.ir import build
from graphc.ir.dim import Size, known_le
from graphc.ir.node import Constant, Node
from graphc.ops.base import Reduction
from graphc.ops.movement import Broadcast, Concat, Pad, Reshape, Slice, Transpose, inverse
from graphc.ops.reduction import ReduceMax, ReduceMin, ReduceProd, ReduceSum
from graphc.passes.rewrite import structural

# Transpose


@structural(Transpose)
def merge_transposes(node: Node, op: Transpose) -> Node | None:
    """No transpose, or one for two."""
    (x,) = node.inputs
    if isinstance(x.op, Transpose):
        return build.transpose(x.inputs[0], [x.op.permutation[a] for a in op.permutation])
    return x if op.permutation == tuple(range(x.type.rank)) else None


@structural(Transpose)
def transpose_below_broadcast(node: Node, op: Transpose) -> Node | None:
    """Transposing a broadcast is broadcasting the (smaller) operand, transposed where its own axes change order."""
    (x,) = node.inputs
    if not isinstance(x.op, Broadcast):
        return None
    (source,) = x.inputs
    places = [op.permutation.index(a) for a in x.op.axes]  # of the source's axes in the result
    order = inverse(places)
    return build.broadcast(build.transpose(source, order), node.type.shape, tuple(sorted(places)))


@structural(Transpose)
def reshape_from_transpose(node: Node, op: Transpose) -> Node | None:
    """A transpose that moves only axes of size 1 leaves the elements in order."""
    (x,) = node.inputs
    moved = [a for a in op.permutation if x.type.shape[a] != 1]
    return build.reshape(x, node.type.shape) if moved == sorted(moved) else None


# Reshape and Broadcast


@structural(Reshape)
def merge_reshapes(node: Node, op: Reshape) -> Node | None:
    """No reshape, or one for two."""
    (x,) = node.inputs
    source = x.inputs[0] if isinstance(x.op, Reshape) else x
    return build.reshape(source, node.type.shape) if source is not x or x.type == node.type else None


@structural(Reshape)
def reshape_below_broadcast(node: Node, op: Reshape) -> Node | None:
    """Reshaping a broadcast, where only axes of size 1 come or go or the operand is a scalar, is a broadcast."""
    (x,) = node.inputs
    if not isinstance(x.op, Broadcast):
        return None
    (source,) = x.inputs
    if not source.type.shape:
        return build.broadcast(source, node.type.shape, ())
    before, after = large_axes(x.type.shape), large_axes(node.type.shape)
    if [x.type.shape[a] for a in before] != [node.type.shape[a] for a in after]:
        return None
    place = dict(zip(before, after, strict=True))
    return build.broadcast(squeeze(source), node.type.shape, tuple(place[a] for a in x.op.axes if a in place))


@structural(Broadcast)
def merge_broadcasts(node: Node, op: Broadcast) -> Node | None:
    """No broadcast, or one for two."""
    (x,) = node.inputs
    if isinstance(x.op, Broadcast):
        return build.broadcast(x.inputs[0], node.type.shape, tuple(op.axes[a] for a in x.op.axes))
    return x if x.type == node.type else None


@structural(Broadcast)
def broadcast_over_reshape(node: Node, op: Broadcast) -> Node | None:
    """Axes of size 1 that a reshape inserts may as well come from the broadcast."""
    (x,) = node.inputs
    if not isinstance(x.op, Reshape):
        return None
    (source,) = x.inputs
    places = insertion(source.type.shape, x.type.shape)
    return None if places is None else build.broadcast(source, node.type.shape, tuple(op.axes[a] for a in places))


@structural(Broadcast)
def reshape_from_broadcast(node: Node, op: Broadcast) -> Node | None:
    """A broadcast that adds only axes of size 1 is a reshape; constants stay broadcast scalars."""
    (x,) = node.inputs
    if isinstance(x.op, Constant) and not x.type.shape:
        return None
    return build.reshape(x, op.shape) if set(large_axes(op.shape)) <= set(op.axes) else None


@structural(Broadcast)
def squeeze_broadcast(node: Node, op: Broadcast) -> Node | None:
    """The operand of a broadcast has no axes of size 1."""
    (x,) = node.inputs
    if 1 not in x.type.shape:
        return None
    return build.broadcast(squeeze(x), op.shape, tuple(a for a in op.axes if op.shape[a] != 1))


def squeeze(x: Node) -> Node:
    """A node without its axes of size 1."""
    return build.reshape(x, tuple(s for s in x.type.shape if s != 1))


def large_axes(shape: Sequence[Size]) -> list[int]:
    """The axes whose size is not (known to be) 1."""
    return [a for a, size in enumerate(shape) if size != 1]


def insertion(before: Sequence[Size], after: Sequence[Size]) -> list[int] | None:
    """The axis of `after` for each one of `before`, where `after` is `before` with axes of size 1 inserted."""
    places: list[int] = []
    for axis, size in enumerate(after):
        if len(places) < len(before) and size == before[len(places)]:
            places.append(axis)
        elif size != 1:
            return None
    return places if len(places) == len(before) else None


# Slice, Pad, Concat


@structural(Slice)
def merge_slices(node: Node, op: Slice) -> Node | None:
    """No slice, or one for two (where the inner one's steps are 1, so that symbolic bounds add up)."""
    (x,) = node.inputs
    if x.type == node.type and all(s == 0 for s in op.starts):
        return x
    if not isinstance(x.op, Slice) or any(s != 1 for s in x.op.steps):
        return None
    starts = tuple(a + b for a, b in zip(x.op.starts, op.starts, strict=True))
    stops = tuple(a + b for a, b in zip(x.op.starts, op.stops, strict=True))
    return build.slice_(x.inputs[0], starts, stops, op.steps)


@structural(Slice)
def slice_below_broadcast(node: Node, op: Slice) -> Node | None:
    """Slicing a broadcast is broadcasting the sliced operand."""
    (x,) = node.inputs
    if not isinstance(x.op, Broadcast):
        return None
    bounds = (op.starts, op.stops, op.steps)
    starts, stops, steps = (tuple(b[a] for a in x.op.axes) for b in bounds)
    return build.broadcast(build.slice_(x.inputs[0], starts, stops, steps), node.type.shape, x.op.axes)


@structural(Slice)
def slice_below_concat(node: Node, op: Slice) -> Node | None:
    """A slice that lies within one operand of a concatenation is a slice of that operand."""
    (x,) = node.inputs
    if not isinstance(x.op, Concat):
        return None
    axis, offset = x.op.axis, 0
    start, stop = op.starts[axis], op.stops[axis]
    for part in x.inputs:
        end: Size = offset + part.type.shape[axis]
        if known_le(offset, start) and known_le(stop, end) and known_le(start, stop):
            starts = put(op.starts, axis, start - offset)
            return build.slice_(part, starts, put(op.stops, axis, stop - offset), op.steps)
        offset = end  # type: ignore[assignment]
    return None


def put(values: tuple[Size, ...], axis: int, value: Size) -> tuple[Size, ...]:
    """The values with another one at an axis."""
    return (*values[:axis], value, *values[axis + 1 :])


@structural(Pad)
def drop_empty_pad(node: Node, op: Pad) -> Node | None:
    """Padding by nothing is the operand."""
    return node.inputs[0] if all(s == 0 for s in (*op.low, *op.high, *op.interior)) else None


@structural(Concat)
def flatten_concat(node: Node, op: Concat) -> Node | None:
    """One operand is itself; a concatenation within one along the same axis gives its operands to the outer.

    Operands that are known to be empty are left out, but for one where all are.
    """
    parts = [y for x in node.inputs for y in (x.inputs if x.op == op else (x,))]
    parts = [x for x in parts if x.type.shape[op.axis] != 0] or parts[:1]
    if len(parts) == 1:
        return parts[0]
    return node.scope.node(op, *parts) if tuple(parts) != node.inputs else None


# Reductions


REDUCTIONS: tuple[type[Reduction], ...] = (ReduceSum, ReduceProd, ReduceMax, ReduceMin)


@structural(*REDUCTIONS)
def squeeze_reduction(node: Node, op: Reduction) -> Node | None:
    """Nothing is reduced over, or beside, axes of size 1, nor over no axes at all."""
    (x,) = node.inputs
    if op.axes and 1 not in x.type.shape:
        return None
    kept = large_axes(x.type.shape)
    core = reduce_like(op, squeeze(x), [kept.index(a) for a in op.axes if a in kept])
    return build.reshape(core, node.type.shape)


@structural(*REDUCTIONS)
def merge_reductions(node: Node, op: Reduction) -> Node | None:
    """One reduction for two of a kind; the order of a sum is the schedule's."""
    (x,) = node.inputs
    if not isinstance(x.op, type(op)):
        return None
    (source,), inner = x.inputs, x.op.axes
    kept = [a for a in range(source.type.rank) if a not in inner]
    return reduce_like(op, source, [*inner, *(kept[a] for a in op.axes)])


@structural(*REDUCTIONS)
def reduce_below_transpose(node: Node, op: Reduction) -> Node | None:
    """Reducing a transposed operand is reducing the operand; what is left to transpose is smaller."""
    (x,) = node.inputs
    if not isinstance(x.op, Transpose):
        return None
    reduced = [x.op.permutation[a] for a in op.axes]
    kept = [a for a in x.op.permutation if a not in reduced]
    return build.transpose(reduce_like(op, x.inputs[0], reduced), [sorted(kept).index(a) for a in kept])


def reduce_like(op: Reduction, x: Node, axes: Sequence[int]) -> Node:
    """The same reduction over other axes; nothing to reduce is the operand."""
    return x.scope.node(replace(op, axes=tuple(sorted(axes))), x) if axes else x


MOVEMENT = (
    merge_transposes,
    transpose_below_broadcast,
    reshape_from_transpose,
    merge_reshapes,
    reshape_below_broadcast,
    merge_broadcasts,
    broadcast_over_reshape,
    reshape_from_broadcast,
    squeeze_broadcast,
    merge_slices,
    slice_below_broadcast,
    slice_below_concat,
    drop_empty_pad,
    flatten_concat,
    squeeze_reduction,
    merge_reductions,
    reduce_below_transpose,
)
