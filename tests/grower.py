"""Grows random well-typed graphs node by node, over every primitive but those of control flow."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from graphc import ops
from graphc.autodiff import gradients
from graphc.ir import build
from graphc.ir.dim import Dim, Size, evaluate, minimum, symbol
from graphc.ir.graph import Graph, users
from graphc.ir.node import Input, Node, Read, Scope
from graphc.ir.types import DType, TensorType, bool_, f32, f64, i32, i64, u8, u32
from tests.op_cases import elementwise_ops

N, T = symbol("N", typical=8), symbol("T", typical=4)
BATCHES = (1, 2, 3, 5, 8, 17, 0)
ROUNDS = (3, 2, 1, 5, 0)
MOST = {"N": max(BATCHES), "T": max(ROUNDS)}
SIZES: tuple[Size, ...] = (3, 1, 5, 2, 7, N)
LARGEST = 3000  # elements of a node, at the largest N and T

ELEMENTWISE = tuple(elementwise_ops())
REDUCTIONS = (ops.ReduceSum, ops.ReduceMax, ops.ReduceMin, ops.ReduceProd)


class Grower:
    """Grows a graph node by node. Fewer steps from the same numbers give a prefix of it: that is how cases shrink."""

    def __init__(self, rng: np.random.Generator, dtype: DType):
        self.rng, self.dtype, self.scope = rng, dtype, Scope()
        self.inputs: list[Node] = []
        self.reads: list[Node] = []
        self.pool: list[Node] = []
        self.sizes: tuple[Size, ...] = SIZES

    def choose(self, options: Sequence[Any]) -> Any:
        """One of some options."""
        return options[self.rng.integers(len(options))]

    def flip(self) -> bool:
        """A coin."""
        return bool(self.rng.integers(2))

    def subset(self, options: Sequence[int], most: int) -> tuple[int, ...]:
        """Some of the options, in increasing order."""
        chosen = [o for o in options if self.flip()]
        return tuple(chosen[:most])

    def shuffled(self, count: int) -> tuple[int, ...]:
        """A permutation."""
        return tuple(int(i) for i in self.rng.permutation(count))

    def symbols(self) -> list[Dim]:
        """The symbols that sizes are made of."""
        return [s for s in self.sizes if isinstance(s, Dim)]

    def symbol(self) -> Dim:
        """One of them."""
        return self.choose(self.symbols())  # type: ignore[no-any-return]

    # Leaves and operands

    def leaf(self, dtype: DType, shape: tuple[Size, ...]) -> Node:
        """An argument, or (where nothing is symbolic) the value of a Variable."""
        type_ = TensorType(dtype, shape)
        if dtype.is_float and not any(isinstance(s, Dim) for s in shape) and self.flip():
            self.reads.append(self.scope.typed(Read(f"w{len(self.reads)}"), type_))
            return self.reads[-1]
        self.inputs.append(self.scope.typed(Input(f"x{len(self.inputs)}"), type_))
        return self.inputs[-1]

    def any(self, least_rank: int = 0) -> Node:
        """A node of the pool, recent ones first."""
        found = [n for n in reversed(self.pool) if n.type.rank >= least_rank]
        return self.choose(found[:6]) if found else self.leaf(self.dtype, (3,) * least_rank)

    def like(self, shape: tuple[Size, ...], dtype: DType) -> Node:
        """An operand of a given type: a node of the shape, a scalar repeated, or a constant."""
        same = [n for n in reversed(self.pool) if n.type.shape in (shape, ())][:4]
        node = self.choose([*same, None])
        if node is None:
            numbers = [1.0, 0.5, -2.0, 0.0, -0.0, 3.0] if dtype.is_float else [1, 2, 0, 3]
            return build.constant(self.scope, self.choose(numbers), dtype, shape)
        operand = build.cast(node, dtype)
        return operand if node.type.shape == shape else build.broadcast(operand, shape, ())

    # Steps: each makes a node from the pool

    def elementwise(self) -> Node:
        """Any elementwise op, on operands brought into its domain."""
        op = self.choose(ELEMENTWISE)
        x = self.any()
        allowed = [t for t in (self.dtype, i32, bool_, u32, u8, i64) if takes(op, t)]
        dtype = x.type.dtype if x.type.dtype in allowed else (*allowed, f32)[0]
        operands = []
        for sample in op.samples:
            wanted = bool_ if isinstance(sample, ops.base.Booleans) else dtype
            operand = build.cast(x, wanted) if not operands else self.like(x.type.shape, wanted)
            operands.append(self.within(operand, sample, op))
        return self.scope.node(op, *operands)

    def within(self, x: Node, sample: Any, op: ops.Elementwise) -> Node:
        """A float operand clipped to where the op is tested; away from 0 where it divides."""
        if not x.type.dtype.is_float:
            return x
        if isinstance(sample, ops.base.Nonzero):
            return build.select(build.lt(build.abs_(x), sample.lo), build.ones_like(x), x)
        if isinstance(sample, ops.base.Uniform) and (sample != ops.base.SMALL or type(op) in ops.transcendental.ALL):
            return build.maximum(build.minimum(x, sample.hi), sample.lo)
        return x

    def cast(self) -> Node:
        return build.cast(self.any(), self.choose((f32, f64, i32, bool_, u8, i64, u32)))

    def broadcast(self) -> Node:
        x = self.any()
        shape: list[Size] = list(x.type.shape)
        axes = list(range(x.type.rank))
        for _ in range(self.choose((1, 2))):
            at = self.choose(range(len(shape) + 1))
            shape.insert(at, self.choose(self.sizes))
            axes = [a + (a >= at) for a in axes]
        return build.broadcast(x, tuple(shape), tuple(axes))

    def reshape(self) -> Node:
        x = self.any()
        shape = x.type.shape
        at = self.choose(range(len(shape) + 1))
        return build.reshape(
            x,
            self.choose((
                (*shape[:at], 1, *shape[at:]),
                (x.type.size,),
                tuple(s for s in shape if s != 1),
                (math.prod(shape[:at]), math.prod(shape[at:])),
            )),
        )

    def assume(self) -> Node:
        """A batch under a size that happens to equal it."""
        x = self.leaf(self.dtype, (self.choose(self.sizes), N))
        return build.apply(ops.Assume((minimum(N, LARGEST), x.type.shape[0])), x)

    def later(self) -> Node:
        """A node as it is once another one is computed."""
        return build.apply(ops.After(), self.any(), self.any())

    def transpose(self) -> Node:
        x = self.any(least_rank=1)
        return build.transpose(x, self.shuffled(x.type.rank))

    def reverse(self) -> Node:
        x = self.any()
        return build.flip(x, self.subset(range(x.type.rank), 2))

    def slice(self) -> Node:
        x = self.any(least_rank=1)
        bounds: list[tuple[Size, Size, int]] = []
        for size in x.type.shape:
            if isinstance(size, Dim):
                bounds.append((0, size, self.choose((1, 2))))
            else:
                start = self.choose(range(size + 1))
                bounds.append((start, self.choose(range(size, start - 1, -1)), self.choose((1, 2))))
        starts, stops, steps = zip(*bounds, strict=True)
        return build.slice_(x, starts, stops, steps)

    def pad(self) -> Node:
        x = self.any(least_rank=1)
        low, high, interior = (tuple(self.choose((0, 1, 2)) for _ in x.type.shape) for _ in range(3))
        return build.pad(x, self.like((), x.type.dtype), low, high, interior)

    def concat(self) -> Node:
        x = self.any(least_rank=1)
        axis = self.choose(range(x.type.rank))
        rest = put(x.type.shape, axis, 0)
        others = [n for n in self.pool if n.type.dtype == x.type.dtype and n.type.rank == x.type.rank]
        fitting = [n for n in others if put(n.type.shape, axis, 0) == rest] or [x]
        return self.scope.node(ops.Concat(axis), *(self.choose(fitting) for _ in range(self.choose((2, 1, 3)))), x)

    def reduction(self) -> Node:
        x = self.numeric(self.any())
        return self.scope.node(self.choose(REDUCTIONS)(self.subset(range(x.type.rank), 3)), x)

    def argument(self) -> Node:
        x = self.numeric(self.any(least_rank=1))
        return self.scope.node(self.choose((ops.ArgMax, ops.ArgMin))(self.choose(range(x.type.rank))), x)

    def cumulative(self) -> Node:
        x = self.numeric(self.any(least_rank=1))
        axis, reverse = self.choose(range(x.type.rank)), self.flip()
        if self.flip():
            return self.scope.node(self.choose((ops.CumSum, ops.CumMax))(axis, reverse), x)
        return self.scope.node(ops.Recurrence(axis, reverse), self.like(x.type.shape, x.type.dtype), x)

    def order(self) -> Node:
        return self.scope.node(ops.Argsort(self.flip()), self.any(least_rank=1))

    def windows(self) -> Node:
        x = self.numeric(self.any(least_rank=1))
        shape = x.type.shape
        sizes = ((1, 2, 3), (1, 2, 3), (1, 2))
        window, strides, dilation = (tuple(self.choose(some) for _ in shape) for some in sizes)
        low, high = (tuple(self.choose((0, 1, 3)) if s and isinstance(s, int) else 0 for s in shape) for _ in range(2))
        return self.scope.node(self.choose((ops.WindowMax, ops.WindowSum))(window, strides, dilation, low, high), x)

    def numeric(self, x: Node) -> Node:
        """A node that is not bool."""
        return build.cast(x, self.dtype) if x.type.dtype == bool_ else x

    def contraction(self) -> Node:
        lhs = self.numeric(self.any())
        contract = self.subset(range(lhs.type.rank), 2)
        batch = self.subset([a for a in range(lhs.type.rank) if a not in contract], 1)
        shared = [lhs.type.shape[a] for a in contract + batch]
        sizes = [*shared, *(self.choose((2, 1, 3, 5)) for _ in range(self.choose((1, 0, 2))))]
        order = self.shuffled(len(sizes))
        place = [order.index(i) for i in range(len(shared))]
        rhs = self.leaf(lhs.type.dtype, tuple(sizes[i] for i in order))
        sides = (contract, tuple(place[: len(contract)]), batch, tuple(place[len(contract) :]))
        if self.flip():
            return build.dot_general(lhs, rhs, *sides)
        return build.dot_general(rhs, lhs, sides[1], sides[0], sides[3], sides[2])

    def convolution(self) -> Node:
        """An image (or a result, for the transposed one) with a kernel; kernel gradients come by differentiation."""
        x = self.any(least_rank=3)
        if x.type.dtype != self.dtype or x.type.rank > 4 or isinstance(x.type.shape[-1], Dim):
            shape = (self.choose(self.sizes), self.choose((3, 5)), self.choose((1, 4, 6)))
            x = self.leaf(self.dtype, (self.choose((self.symbol(), 2)), *shape))
        spatial, channels = x.type.rank - 2, x.type.shape[-1]
        groups = self.choose([g for g in (1, 2, channels) if channels and channels % g == 0] or [1])
        strides, low, dilation = (tuple(self.choose(o) for _ in range(spatial)) for o in ((1, 2, 3), (0, 1), (1, 2)))
        window = tuple(self.choose((3, 1, 2)) for _ in range(spatial))
        sizes = tuple(self.choose((2, s, 4)) for s in x.type.shape[1:-1])
        others = self.choose((2, 1, 3, 17))
        if self.flip():
            kernel = self.leaf(self.dtype, (*window, channels // groups, groups * others))
            return self.scope.node(ops.Conv(strides, low, dilation, sizes, groups), x, kernel)
        kernel = self.leaf(self.dtype, (*window, others, channels))
        return self.scope.node(ops.ConvInput(strides, low, dilation, sizes, groups), x, kernel)

    def indexing(self) -> Node:
        x = self.any(least_rank=1)
        axis = self.choose(range(x.type.rank))
        batch = self.choose((0, min(axis, 1)))
        indices = self.leaf(i32, (*x.type.shape[:batch], *self.choose(((4,), (), (self.symbol(),), (2, 3)))))
        taken = build.gather(x, indices, axis, batch)
        if x.type.dtype == bool_ or self.flip():
            return taken
        scatter = self.choose(ops.indexing.SCATTERS)(axis, batch)
        return build.apply(scatter, x, indices, taken if self.flip() else build.ones_like(taken))

    def iota(self) -> Node:
        shape = tuple(self.choose(self.sizes) for _ in range(self.choose((1, 2))))
        return build.iota(self.scope, self.choose((i32, self.dtype)), shape, self.choose(range(len(shape))))

    def size(self) -> Node:
        symbol = self.symbol()
        return self.scope.node(ops.size.SizeOf(self.dtype, self.choose((symbol, symbol * 3 + 1))))

    STEPS: Sequence[Callable[[Any], Node]] = (
        *(elementwise,) * 14, broadcast, reshape, transpose, reduction, reduction, contraction, slice, pad, concat,
        indexing, argument, cumulative, order, cast, iota, size, assume, reverse, windows, convolution,
        later,
    )  # fmt: skip

    def grow(self, count: int) -> None:
        """Two leaves or three, then some steps."""
        self.pool += [self.leaf(self.dtype, (N, 3)), self.leaf(self.dtype, (self.choose(SIZES),))]
        if self.choose((0, 1, 2)) == 0:
            self.sizes = (*SIZES, T)
            self.pool.append(self.leaf(self.dtype, self.choose(((T, N, 2), (T, 3), (T,)))))
        self.steps(count)

    def steps(self, count: int) -> None:
        """Some more nodes."""
        for _ in range(count):
            self.keep(self.choose(self.STEPS)(self))

    def keep(self, node: Node) -> None:
        """Put a node into the pool, unless it is too large."""
        if node.type.rank <= 4 and evaluate(node.type.size, MOST) <= LARGEST:
            self.pool.append(node)

    def finish(self) -> tuple[Graph, tuple[Node, ...]]:
        """The loss over what nothing reads, its gradients as outputs, a step of descent as updates."""
        readers = users(dict.fromkeys(self.pool))
        sinks = [n for n in dict.fromkeys(self.pool) if not readers[n]]
        loss = build.constant(self.scope, 0.0, self.dtype)
        for node in sinks:
            value = build.cast(node, self.dtype)
            loss = loss + build.sum_(build.tanh(value * 0.25), tuple(range(value.type.rank)))
        parameters = tuple(n for n in (*self.reads, *self.inputs) if n.type.dtype == self.dtype)
        slopes = gradients(loss, parameters)
        steps = zip(parameters, slopes, strict=True)
        updates = [(n.op.variable, n - g * 0.1) for n, g in steps if isinstance(n.op, Read)]
        outputs = (loss, *(n for n in sinks if not n.type.dtype.is_float), *slopes)
        return Graph("random", self.scope, tuple(self.inputs), outputs, tuple(updates)), parameters


def takes(op: ops.Elementwise, dtype: DType) -> bool:
    """Whether an op is defined on a dtype: what is of f32 is of 16-bit floats too, but for the next float."""
    return dtype in op.dtypes or (dtype.is_narrow and f32 in op.dtypes and not isinstance(op, ops.NextAfter))


def put(shape: tuple[Size, ...], axis: int, size: Size) -> tuple[Size, ...]:
    """The shape with another size at an axis."""
    return (*shape[:axis], size, *shape[axis + 1 :])
