"""The loop nests of what goes along a row in order: cumulative operations, and sorting."""

from __future__ import annotations

import numpy as np

from graphc.ir.dim import Size
from graphc.ir.node import Node, Op
from graphc.ir.types import DType, TensorType, u8
from graphc.ops.cumulative import Cumulative
from graphc.ops.sorting import Argsort
from graphc.passes.roles import through_aliases
from graphc.schedule.access import Access, Buffer, Index, Row
from graphc.schedule.kernel import Carry, Compute, Sort, Store, Sweep
from graphc.schedule.lower import Lowering, at, axes_of


def assemble_cumulative(lowering: Lowering, node: Node, target: Buffer) -> None:
    """A sweep along the axis; around it the other axes, the last of them a vector at a time."""
    op, dtype = node.op, node.type.dtype
    assert isinstance(op, Cumulative)
    axes = axes_of(node.type.shape)
    others = [a for a in axes if a is not axes[op.axis]]
    lanes = op.axis < len(axes) - 1
    for axis in others:
        lowering.open(axis)
    frame = lowering.open(axes[op.axis])
    level = len(lowering.frames) - 1
    index = list(at(axes))
    if op.reverse:
        index[op.axis] = -1 * index[op.axis] + (axes[op.axis].extent - 1)
    carry = lowering.fresh(level)
    values = [lowering.value(x, tuple(index)) for x in node.inputs]

    def apply(elementwise: Op, *operands: int) -> int:
        result = lowering.fresh(level)
        frame.body.append(Compute(result, dtype, elementwise, operands))
        return result

    y, following = op.step(apply, carry, *values)
    frame.body.append(Store(Access(target, node.type.shape, tuple(index)), y))
    lowering.frames.pop()
    start = np.asarray(op.start(dtype), dtype.numpy).tobytes()
    sweep = Sweep(axes[op.axis], (Carry(carry, dtype, start, following),), tuple(frame.body))
    lowering.frames[-1].body.append(sweep)
    for i in range(len(others)):
        lowering.close_loop("lanes" if lanes and i == 0 else "serial")


def assemble_order(lowering: Lowering, node: Node, target: Buffer) -> None:
    """Each row's order."""
    op, (x,) = node.op, node.inputs
    assert isinstance(op, Argsort)
    *outer, along = axes_of(node.type.shape)
    for axis in outer:
        lowering.open(axis)
    index = (*at(tuple(outer)), Index())
    scratch = Buffer("scratch", TensorType(u8, (sort_scratch(x.type.dtype, along.extent),)), "arena")
    source = Row(lowering.buffers[through_aliases(x)][0], Access(target, node.type.shape, index).linear())
    lowering.frames[-1].body.append(Sort(source, Row(target, source.offset), along.extent, op.descending, scratch))
    for _ in outer:
        lowering.close_loop("serial")


def packs(dtype: DType) -> bool:
    """Whether an element and its place make one word of 64 bits."""
    return dtype.itemsize <= 4


def sort_scratch(dtype: DType, size: Size) -> Size:
    """Bytes of scratch to sort a row: two arrays of words, each with its place beside it where it does not fit in;
    and what is read beyond the end of the last."""
    return size * (16 if packs(dtype) else 32) + 64
