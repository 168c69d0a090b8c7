"""Every primitive on operands it is defined on: what the laws of ops are tested over."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest

from graphc import ops
from graphc.ir.node import Array, Input, Node, Op, Scope
from graphc.ir.types import FROM_NUMPY, DType, TensorType, f64, i32
from graphc.ops.base import ANY, NUMERIC

SHAPES = ((), (5,), (3, 4), (0, 3))


@dataclass(frozen=True)
class Case:
    """An op with the shapes and dtypes of its operands; `dtype` None stands for the tested one."""

    op: Op
    shapes: tuple[tuple[int, ...], ...]
    indices: tuple[int, ...] = ()  # operands that are indices, not elements

    def operands(self, rng: np.random.Generator, dtype: DType) -> list[Array]:
        """Random operands."""
        if isinstance(self.op, ops.Elementwise):
            return [s.draw(rng, shape, dtype) for s, shape in zip(self.op.samples, self.shapes, strict=True)]
        return [
            rng.integers(-2, 9, shape).astype(np.int32) if i in self.indices else ops.base.SMALL.draw(rng, shape, dtype)
            for i, shape in enumerate(self.shapes)
        ]


#: Shapes with window, strides, dilation, low and high: side by side, overlapping, apart, dilated and padded, none.
WINDOWS: dict[tuple[int, ...], tuple[tuple[int, ...], ...]] = {
    (2, 4, 5): ((1, 2, 1), (1, 2, 1), (1, 1, 1), (0, 0, 0), (0, 0, 0)),
    (6, 5, 2): ((3, 2, 1), (2, 1, 1), (1, 1, 1), (1, 0, 0), (1, 1, 0)),
    (7, 1, 3): ((2, 1, 2), (3, 1, 2), (2, 1, 1), (2, 0, 1), (3, 0, 0)),
    (1, 3): ((1, 4), (1, 1), (1, 1), (0, 0), (0, 0)),
}


def windows(shape: tuple[int, ...], geometry: tuple[tuple[int, ...], ...]) -> tuple[int, ...]:
    """How many windows there are along each axis."""
    return tuple(int(n) for n in ops.WindowSum(*geometry).windows(shape))  # type: ignore[arg-type]


CASES: tuple[Case, ...] = (
    Case(ops.Broadcast((4, 3, 2), (1,)), ((3,),)),
    Case(ops.Broadcast((4, 3), ()), ((),)),
    Case(ops.Broadcast((0, 3), (1,)), ((3,),)),
    Case(ops.Reshape((2, 6)), ((3, 4),)),
    Case(ops.Reshape((1, 1)), ((),)),
    Case(ops.Reshape((4, 0)), ((0, 3),)),
    Case(ops.Assume((2, 6)), ((3, 4),)),
    Case(ops.Transpose((2, 0, 1)), ((2, 3, 4),)),
    Case(ops.Transpose(()), ((),)),
    Case(ops.Flip((3, 4), (1,)), ((3, 4),)),
    Case(ops.Flip((2, 0, 3), (0, 2)), ((2, 0, 3),)),
    Case(ops.Slice((1, 0), (5, 2), (2, 1)), ((6, 3),)),
    Case(ops.Slice((0,), (5,), (3,)), ((7,),)),
    Case(ops.Slice((2,), (2,), (1,)), ((4,),)),
    Case(ops.Pad((1, 0), (2, 1), (0, 2)), ((2, 3), ())),
    Case(ops.Pad((1,), (0,), (2,)), ((0,), ())),
    Case(ops.Concat(1), ((2, 3), (2, 1), (2, 0))),
    Case(ops.ReduceSum((0, 2)), ((2, 3, 4),)),
    Case(ops.ReduceSum((1,)), ((3, 0),)),
    Case(ops.ReduceProd((1,)), ((3, 4),)),
    Case(ops.ReduceProd((0, 1)), ((0, 2),)),
    Case(ops.ReduceMax((1,)), ((3, 4),)),
    Case(ops.ReduceMax((0,)), ((0, 2),)),
    Case(ops.ReduceMin((0, 1)), ((3, 4),)),
    Case(ops.ArgMax(1), ((3, 4),)),
    Case(ops.ArgMin(0), ((3, 4),)),
    Case(ops.ArgMin(0), ((0, 2),)),
    Case(ops.CumSum(0), ((5,),)),
    Case(ops.CumSum(1, True), ((2, 3, 4),)),
    Case(ops.CumSum(0), ((0, 3),)),
    Case(ops.CumMax(0), ((5, 2),)),
    Case(ops.CumMax(1, True), ((3, 4),)),
    Case(ops.Recurrence(0), ((5,), (5,))),
    Case(ops.Recurrence(1, True), ((2, 3, 4), (2, 3, 4))),
    Case(ops.Recurrence(1), ((3, 0), (3, 0))),
    Case(ops.Argsort(), ((3, 7),)),
    Case(ops.Argsort(True), ((6,),)),
    Case(ops.Argsort(), ((2, 0),)),
    Case(ops.DotGeneral((1,), (0,)), ((3, 4), (4, 2))),
    Case(ops.DotGeneral((1,), (0,)), ((3, 0), (0, 2))),
    Case(ops.DotGeneral((), ()), ((3,), (2,))),
    Case(ops.DotGeneral((0, 3), (2, 1), (2,), (0,)), ((2, 4, 3, 5), (3, 5, 2, 6))),
    Case(ops.DotGeneral((2, 0), (0, 1), (), ()), ((2, 4, 3), (3, 2))),
    Case(ops.Conv((1, 2), (1, 0), (1, 1), (4, 2)), ((2, 4, 5, 2), (3, 2, 2, 3))),
    Case(ops.Conv((2,), (-1,), (2,), (3,), 2), ((2, 7, 4), (2, 2, 6))),
    Case(ops.Conv((1,), (0,), (1,), (0,)), ((1, 2, 1), (3, 1, 1))),
    Case(ops.ConvInput((2, 1), (1, 0), (1, 2), (5, 4)), ((1, 3, 2, 3), (3, 2, 2, 3))),
    Case(ops.ConvInput((3,), (0,), (2,), (9,), 3), ((2, 3, 3), (2, 1, 3))),
    Case(ops.ConvKernel((1, 2), (1, 1), (2, 1), (2, 3)), ((2, 4, 5, 2), (2, 4, 3, 3))),
    Case(ops.ConvKernel((1,), (1,), (1,), (2,), 2), ((0, 4, 4), (0, 4, 2))),
    Case(ops.Conv((1, 1, 1), (1, 1, 1), (1, 1, 1), (2, 2, 2)), ((1, 2, 2, 2, 1), (3, 3, 3, 1, 2))),
    Case(ops.Gather(0), ((5, 3), (4,)), (1,)),
    Case(ops.Gather(1), ((2, 5, 3), (2, 2)), (1,)),
    Case(ops.Gather(2, 1), ((2, 3, 5, 2), (2, 4)), (1,)),
    Case(ops.Gather(0), ((5, 3), ()), (1,)),
    Case(ops.Gather(0), ((0, 3), (2,)), (1,)),
    Case(ops.ScatterAdd(0), ((5, 3), (7,), (7, 3)), (1,)),
    Case(ops.ScatterAdd(2, 1), ((2, 3, 5, 2), (2, 4), (2, 3, 4, 2)), (1,)),
    Case(ops.ScatterAdd(0), ((0, 3), (2,), (2, 3)), (1,)),
    *(
        Case(scatter(*places), shapes, (1,))
        for scatter in (ops.ScatterSet, ops.ScatterMax, ops.ScatterMul)
        for places, shapes in (
            ((0,), ((5, 3), (7,), (7, 3))),
            ((2, 1), ((2, 3, 5, 2), (2, 4), (2, 3, 4, 2))),
            ((0,), ((0, 3), (2,), (2, 3))),
            ((1, 0), ((3, 4), (), (3,))),
        )
    ),
    Case(ops.Iota(f64, (3, 4), 1), ()),
    Case(ops.Iota(i32, (0, 4), 0), ()),
    Case(ops.After(), ((3, 4), (2,))),
    Case(ops.SizeOf(f64, 7), ()),
    *(
        Case(op(*geometry), (shape,))
        for op in (ops.WindowSum, ops.WindowMax, ops.WindowArgMax)
        for shape, geometry in WINDOWS.items()
    ),
    *(
        Case(ops.WindowSpread(*geometry, shape), (windows(shape, geometry),) * count, (1,))
        for count in (1, 2)
        for shape, geometry in WINDOWS.items()
    ),
    *(
        Case(ops.WindowSum(*geometry), (shape, windows(shape, geometry)), (1,))
        for shape, geometry in WINDOWS.items()
    ),
)


def elementwise_ops() -> Iterator[ops.Elementwise]:
    """Each elementwise op, with each of its attributes."""
    for op in ops.ALL:
        if op is ops.Cast:
            yield from (ops.Cast(t) for t in ANY)
        elif op is ops.Threefry:
            yield from (ops.Threefry(word) for word in (0, 1))
        elif issubclass(op, ops.Elementwise):
            yield op()


ELEMENTWISE = tuple(Case(op, (shape,) * len(op.samples)) for op in elementwise_ops() for shape in SHAPES)
EVERY = ELEMENTWISE + CASES


def dtypes(op: Op) -> tuple[DType, ...]:
    """The dtypes to try an op on."""
    if isinstance(op, (ops.Elementwise, ops.Convolution)):
        return op.dtypes
    return ANY if isinstance(op, (ops.Movement, ops.Gather, ops.Argsort)) else NUMERIC


def label(case: Case) -> str:
    """A test's name for a case."""
    return f"{case.op.mnemonic()}-{'-'.join('x'.join(map(str, s)) or 'scalar' for s in case.shapes)}"


def type_of(array: Array) -> TensorType:
    """The type of a concrete array."""
    return TensorType(FROM_NUMPY[array.dtype], array.shape)


def inputs(scope: Scope, operands: list[Array]) -> list[Node]:
    """An `Input` node for each array."""
    return [scope.typed(Input(f"x{i}"), type_of(x)) for i, x in enumerate(operands)]


each_case = pytest.mark.parametrize("case", EVERY, ids=label)
