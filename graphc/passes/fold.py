"""Constant folding, by the ops' own meaning in NumPy."""

from __future__ import annotations

from dataclasses import fields

import numpy as np

from graphc.ir import build
from graphc.ir.dim import Dim
from graphc.ir.node import Constant, Leaf, Node, Op
from graphc.ops.control import Control, Item
from graphc.ops.indexing import Iota
from graphc.ops.movement import Broadcast
from graphc.passes.rewrite import structural

LARGEST_FOLDED = 1024  # elements; larger constants would cost more to load than to compute
KEPT = (Leaf, Broadcast, Iota, Control, Item)


@structural(Op)
def fold_constants(node: Node, op: Op) -> Node | None:
    """An op on constants is a constant; broadcasts stay explicit, so that scalars stay scalars, and so does iota."""
    if isinstance(op, KEPT) or not all(isinstance(i.op, Constant) for i in node.inputs):
        return None
    size = node.type.size
    if isinstance(size, Dim) or size > LARGEST_FOLDED or not is_static(op):
        return None
    arrays = [i.op.array(i.type) for i in node.inputs if isinstance(i.op, Constant)]
    with np.errstate(all="ignore"):
        value = np.asarray(op.eval(*arrays), node.type.dtype.numpy)
    return build.array_constant(node.scope, value)


def is_static(op: Op) -> bool:
    """Whether no attribute of an op is a symbolic size."""
    values = [getattr(op, f.name) for f in fields(op)]
    return not any(isinstance(s, Dim) for v in values for s in (v if isinstance(v, tuple) else (v,)))


@structural(Constant)
def spread_uniform_constant(node: Node, op: Constant) -> Node | None:
    """An array that holds one value throughout is a broadcast scalar, which patterns see and kernels need not load."""
    first = op.data[: node.type.dtype.itemsize]
    if not node.type.shape or not first or op.data != first * (len(op.data) // len(first)):
        return None
    scalar = node.scope.typed(Constant(first), node.type.with_shape(()))
    return build.broadcast(scalar, node.type.shape, ())


FOLDING = (fold_constants, spread_uniform_constant)
