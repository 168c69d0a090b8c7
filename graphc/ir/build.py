"""Strict constructors of nodes, for derivative rules, passes and the frontend: no promotion, no broadcasting.

They skip what does nothing (a cast to the same dtype, a reshape to the same shape). `graphc.ops` and this module need
each other: derivatives are graphs of ops. Importing it gives `Node` its operators, between operands of one type or
with Python numbers, which become constants of the node's type.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from graphc import ops
from graphc.errors import InternalError
from graphc.ir.dim import Size
from graphc.ir.node import Array, Constant, Node, Op, Scope
from graphc.ir.types import FROM_NUMPY, DType, TensorType, TupleType, i64

Number = bool | int | float
Shape = tuple[Size, ...]
Axes = tuple[int, ...]


def apply(op: Op, *operands: Node) -> Node:
    """The node of an op on at least one operand, in its scope."""
    return operands[0].scope.node(op, *operands)


def constant(scope: Scope, value: Number, dtype: DType, shape: Shape = ()) -> Node:
    """A number as a tensor: a scalar constant, broadcast where there is a shape."""
    data = np.asarray(value).astype(dtype.numpy).tobytes()
    return broadcast(scope.typed(Constant(data), TensorType(dtype)), shape, ())


def array_constant(scope: Scope, array: Array) -> Node:
    """A literal array."""
    array = np.asarray(array)
    return scope.typed(Constant(array.tobytes()), TensorType(FROM_NUMPY[array.dtype.newbyteorder("=")], array.shape))


def lift(value: Node | Number, like: Node) -> Node:
    """A node as it is; a number as a constant of another node's type."""
    if isinstance(value, Node):
        return value
    if not isinstance(value, (bool, int, float)):
        raise InternalError(f"{value!r} is neither a node nor a Python number (beside {like})")
    return constant(like.scope, value, like.type.dtype, like.type.shape)


def zeros_like(x: Node) -> Node:
    """Zeros of a node's type."""
    return lift(0, x)


def ones_like(x: Node) -> Node:
    """Ones of a node's type."""
    return lift(1, x)


def iota(scope: Scope, dtype: DType, shape: Shape, axis: int) -> Node:
    """Each element its index along an axis."""
    return scope.node(ops.Iota(dtype, shape, axis))


# Movement


def broadcast(x: Node, shape: Shape, axes: Axes) -> Node:
    """Repeat x along new axes; its axis i becomes `axes[i]`."""
    return x if x.type.shape == shape and axes == tuple(range(len(shape))) else apply(ops.Broadcast(shape, axes), x)


def spread(y: Node, like: Node, axes: Axes) -> Node:
    """Undo the shape of a reduction of `like` over `axes`, by repetition."""
    return broadcast(y, like.type.shape, tuple(a for a in range(like.type.rank) if a not in axes))


def repeat(x: Node, size: Size) -> Node:
    """x again and again, along a new first axis."""
    return broadcast(x, (size, *x.type.shape), tuple(range(1, x.type.rank + 1)))


def move_axis(x: Node, source: int, target: int) -> Node:
    """x with one axis at another place, the others in their order."""
    order = [a for a in range(x.type.rank) if a != source]
    order.insert(target, source)
    return transpose(x, order)


def reshape(x: Node, shape: Shape) -> Node:
    """The same elements in another shape."""
    return x if x.type.shape == shape else apply(ops.Reshape(shape), x)


def transpose(x: Node, permutation: Sequence[int]) -> Node:
    """The axes in another order: the result's axis i is x's axis `permutation[i]`."""
    order = tuple(permutation)
    return x if order == tuple(range(x.type.rank)) else apply(ops.Transpose(order), x)


def flip(x: Node, axes: Axes) -> Node:
    """x in reverse order along axes."""
    return apply(ops.Flip(x.type.shape, axes), x) if axes else x


def slice_(x: Node, starts: Shape, stops: Shape, steps: Shape | None = None) -> Node:
    """A box of x, every `steps`-th element (each one by default)."""
    steps = steps if steps is not None else (1,) * len(starts)
    whole = all(s == 0 for s in starts) and stops == x.type.shape and all(s == 1 for s in steps)
    return x if whole else apply(ops.Slice(starts, stops, steps), x)


def slice_axis(x: Node, axis: int, start: Size, stop: Size) -> Node:
    """The elements from start to stop of one axis."""
    starts = tuple(start if i == axis else 0 for i in range(x.type.rank))
    stops = tuple(stop if i == axis else s for i, s in enumerate(x.type.shape))
    return slice_(x, starts, stops)


def pad(x: Node, value: Node | Number, low: Shape, high: Shape, interior: Shape | None = None) -> Node:
    """x with copies of a rank-0 value around its axes and between neighbours."""
    between = interior if interior is not None else (0,) * len(low)
    if all(s == 0 for s in (*low, *high, *between)):
        return x
    filler = value if isinstance(value, Node) else constant(x.scope, value, x.type.dtype)
    return apply(ops.Pad(low, high, between), x, filler)


def concat(xs: Sequence[Node], axis: int) -> Node:
    """The operands one after the other along an axis."""
    return xs[0] if len(xs) == 1 else apply(ops.Concat(axis), *xs)


def item(x: Node, index: int) -> Node:
    """One result of a control node."""
    return x.inputs[index] if isinstance(x.op, ops.Pack) else apply(ops.Item(index), x)


def items(x: Node) -> list[Node]:
    """All results of a control node."""
    return [item(x, i) for i in range(len(x.type.items))] if isinstance(x.type, TupleType) else [x]


# Reductions, contractions, indexing


def sum_(x: Node, axes: Axes) -> Node:
    """Σ over axes."""
    return apply(ops.ReduceSum(axes), x) if axes else x


def prod(x: Node, axes: Axes) -> Node:
    """Π over axes."""
    return apply(ops.ReduceProd(axes), x) if axes else x


def reduce_max(x: Node, axes: Axes) -> Node:
    """The largest over axes."""
    return apply(ops.ReduceMax(axes), x) if axes else x


def reduce_min(x: Node, axes: Axes) -> Node:
    """The smallest over axes."""
    return apply(ops.ReduceMin(axes), x) if axes else x


def products_of_others(x: Node) -> Node:
    """For each element of a row (along the last axis) the product of all others."""
    last = x.type.rank - 1
    place = iota(x.scope, i64, x.type.shape, last)
    size = x.scope.node(ops.SizeOf(i64, x.type.shape[last]))
    none = lift(-0.0, x)
    first, final = (select(eq(place, at), ones_like(x), none) for at in (0, broadcast(size, x.type.shape, ()) - 1))
    before = apply(ops.Recurrence(last), ops.cumulative.delayed(x, last), first)
    after = apply(ops.Recurrence(last, reverse=True), x, final)
    return binary(ops.Mul(), before, after)


def dot_general(
    lhs: Node, rhs: Node, lhs_contract: Axes, rhs_contract: Axes, lhs_batch: Axes = (), rhs_batch: Axes = ()
) -> Node:
    """Σ over paired axes of products, batch by batch."""
    return apply(ops.DotGeneral(lhs_contract, rhs_contract, lhs_batch, rhs_batch), lhs, rhs)


def gather(x: Node, indices: Node, axis: int, shared: int = 0) -> Node:
    """The slices of x along an axis that indices name; the first `shared` axes of both are one."""
    return apply(ops.Gather(axis, shared), x, indices)


def scatter_add(x: Node, indices: Node, updates: Node, axis: int, shared: int = 0) -> Node:
    """x with updates added where `gather` would read."""
    return apply(ops.ScatterAdd(axis, shared), x, indices, updates)


# Elementwise


def binary(op: Op, x: Node, y: Node | Number) -> Node:
    """An op on two operands of one type, the second possibly a number."""
    return apply(op, x, lift(y, x))


def pow_(x: Node, y: Node | Number) -> Node:
    return binary(ops.Pow(), x, y)


def maximum(x: Node, y: Node | Number) -> Node:
    return binary(ops.Max(), x, y)


def minimum(x: Node, y: Node | Number) -> Node:
    return binary(ops.Min(), x, y)


def eq(x: Node, y: Node | Number) -> Node:
    return binary(ops.Eq(), x, y)


def ne(x: Node, y: Node | Number) -> Node:
    return binary(ops.Ne(), x, y)


def lt(x: Node, y: Node | Number) -> Node:
    return binary(ops.Lt(), x, y)


def le(x: Node, y: Node | Number) -> Node:
    return binary(ops.Le(), x, y)


def gt(x: Node, y: Node | Number) -> Node:
    return binary(ops.Gt(), x, y)


def ge(x: Node, y: Node | Number) -> Node:
    return binary(ops.Ge(), x, y)


def and_(x: Node, y: Node | Number) -> Node:
    return binary(ops.And(), x, y)


def or_(x: Node, y: Node | Number) -> Node:
    return binary(ops.Or(), x, y)


def not_(x: Node) -> Node:
    return apply(ops.Not(), x)


def abs_(x: Node) -> Node:
    return apply(ops.Abs(), x)


def sign(x: Node) -> Node:
    return apply(ops.Sign(), x)


def floor(x: Node) -> Node:
    return apply(ops.Floor(), x)


def exp(x: Node) -> Node:
    return apply(ops.Exp(), x)


def log(x: Node) -> Node:
    return apply(ops.Log(), x)


def sqrt(x: Node) -> Node:
    return apply(ops.Sqrt(), x)


def rsqrt(x: Node) -> Node:
    return apply(ops.Rsqrt(), x)


def tanh(x: Node) -> Node:
    return apply(ops.Tanh(), x)


def sigmoid(x: Node) -> Node:
    return apply(ops.Sigmoid(), x)


def sin(x: Node) -> Node:
    return apply(ops.Sin(), x)


def cos(x: Node) -> Node:
    return apply(ops.Cos(), x)


def stop_gradient(x: Node) -> Node:
    return apply(ops.StopGradient(), x)


def select(condition: Node, x: Node, y: Node) -> Node:
    """x where the condition holds, else y."""
    return apply(ops.Select(), condition, x, y)


def cast(x: Node, dtype: DType) -> Node:
    """x as another dtype."""
    return x if x.type.dtype == dtype else apply(ops.Cast(dtype), x)


Operator = Callable[[Node, Node | Number], Node]


def forward(make: Callable[[], Op]) -> Operator:
    """The method for `node ∘ other`."""
    return lambda x, y: binary(make(), x, y)


def reflected(make: Callable[[], Op]) -> Operator:
    """The method for `number ∘ node`."""
    return lambda x, y: apply(make(), lift(y, x), x)


Node.__add__, Node.__radd__ = forward(lambda: ops.Add()), reflected(lambda: ops.Add())
Node.__sub__, Node.__rsub__ = forward(lambda: ops.Sub()), reflected(lambda: ops.Sub())
Node.__mul__, Node.__rmul__ = forward(lambda: ops.Mul()), reflected(lambda: ops.Mul())
Node.__truediv__, Node.__rtruediv__ = forward(lambda: ops.Div()), reflected(lambda: ops.Div())
Node.__pow__ = forward(lambda: ops.Pow())
Node.__neg__ = lambda x: apply(ops.Neg(), x)
