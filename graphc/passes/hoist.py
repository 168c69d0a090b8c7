"""Elementwise work moves to the smaller side of a broadcast, and off the axes of size 1."""

from __future__ import annotations

from graphc.ir import build
from graphc.ir.node import Node
from graphc.ops.base import Elementwise
from graphc.ops.movement import Broadcast
from graphc.passes.movement import squeeze
from graphc.passes.rewrite import structural


@structural(Elementwise)
def hoist_over_broadcasts(node: Node, op: Elementwise) -> Node | None:
    """f(broadcast(x), broadcast(y)) is broadcast(f(x, y)) where both spread over the same axes; scalars join either."""
    places = [i.op.axes for i in node.inputs if isinstance(i.op, Broadcast)]
    axes = max(places, key=len, default=())
    if len(places) != len(node.inputs) or any(p not in (axes, ()) for p in places):
        return None
    shape = tuple(node.type.shape[a] for a in axes)
    aligned = [x if x.type.shape else build.broadcast(x, shape, ()) for x in (i.inputs[0] for i in node.inputs)]
    return build.broadcast(node.scope.node(op, *aligned), node.type.shape, axes)


@structural(Elementwise)
def squeeze_elementwise(node: Node, op: Elementwise) -> Node | None:
    """Nothing is computed over axes of size 1: a reshape brings them back, and costs nothing."""
    if 1 not in node.type.shape:
        return None
    return build.reshape(node.scope.node(op, *(squeeze(x) for x in node.inputs)), node.type.shape)


HOISTING = (hoist_over_broadcasts, squeeze_elementwise)
