"""The primitives: one class each, with all that is known of it."""

from __future__ import annotations

from graphc.ir.node import Op
from graphc.ops import (
    contraction,
    control,
    convolution,
    cumulative,
    elementwise,
    indexing,
    logic,
    movement,
    order,
    random,
    reduction,
    sorting,
    transcendental,
    window,
)
from graphc.ops.base import (
    ArgReduction,
    Contraction,
    Elementwise,
    Emitter,
    Generator,
    Indexing,
    Movement,
    Reduction,
)
from graphc.ops.contraction import DotGeneral
from graphc.ops.control import Cond, Control, Item, Pack, Scan, WhileLoop
from graphc.ops.convolution import Conv, ConvInput, ConvKernel, Convolution
from graphc.ops.cumulative import CumMax, CumSum, Cumulative, Recurrence
from graphc.ops.elementwise import (
    Abs,
    Add,
    Ceil,
    Div,
    Floor,
    Max,
    Min,
    Mul,
    Neg,
    NextAfter,
    Pow,
    Rem,
    Round,
    Sign,
    SignBit,
    StopGradient,
    Sub,
)
from graphc.ops.indexing import Gather, Iota, Scatter, ScatterAdd, ScatterMax, ScatterMul, ScatterSet
from graphc.ops.logic import And, Cast, Eq, Ge, Gt, Le, Lt, Ne, Not, Or, Select, Shl, Shr, Xor
from graphc.ops.movement import Assume, Broadcast, Concat, Flip, Pad, Reshape, Slice, Transpose
from graphc.ops.order import After
from graphc.ops.random import Threefry
from graphc.ops.reduction import ArgMax, ArgMin, ReduceMax, ReduceMin, ReduceProd, ReduceSum
from graphc.ops.size import SizeOf
from graphc.ops.sorting import Argsort
from graphc.ops.transcendental import Atan2, Cos, Erf, Exp, Expm1, Log, Log1p, Rsqrt, Sigmoid, Sin, Sqrt, Tanh
from graphc.ops.window import WindowArgMax, Windowed, WindowMax, WindowSpread, WindowSum

#: Every primitive, kind by kind.
ALL: tuple[type[Op], ...] = (
    *elementwise.ALL,
    *transcendental.ALL,
    *logic.ALL,
    *random.ALL,
    *movement.ALL,
    *reduction.ALL,
    *cumulative.ALL,
    *sorting.ALL,
    *contraction.ALL,
    *convolution.ALL,
    *indexing.ALL,
    *window.ALL,
    *order.ALL,
    SizeOf,
)

#: What runs graphs, or belongs to that: several results, no law of the others'.
CONTROL: tuple[type[Op], ...] = control.ALL

__all__ = [
    "ALL", "CONTROL", "Abs", "Add", "After", "And", "ArgMax", "ArgMin", "ArgReduction", "Argsort", "Assume", "Atan2",
    "Broadcast", "Cast", "Ceil", "Concat", "Cond", "Contraction", "Control", "Conv", "ConvInput", "ConvKernel",
    "Convolution", "Cos", "CumMax", "CumSum", "Cumulative", "Div", "DotGeneral", "Elementwise", "Emitter", "Eq", "Erf",
    "Exp", "Expm1", "Flip", "Floor", "Gather", "Ge", "Generator", "Gt", "Indexing", "Iota", "Item", "Le", "Log",
    "Log1p", "Lt", "Max", "Min", "Movement", "Mul", "Ne", "Neg", "NextAfter", "Not", "Or", "Pack", "Pad", "Pow",
    "Recurrence", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceSum", "Reduction", "Rem", "Reshape", "Round", "Rsqrt",
    "Scan", "Scatter", "ScatterAdd", "ScatterMax", "ScatterMul", "ScatterSet", "Select", "Shl", "Shr", "Sigmoid",
    "Sign", "SignBit", "Sin", "SizeOf", "Slice", "Sqrt", "StopGradient", "Sub", "Tanh", "Threefry", "Transpose",
    "WhileLoop", "WindowArgMax", "WindowMax", "WindowSpread", "WindowSum", "Windowed", "Xor",
]  # fmt: skip
