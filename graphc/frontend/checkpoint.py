"""`gr.checkpoint`: a function whose interior the backward pass computes again instead of keeping it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any

import numpy as np

from graphc import autodiff
from graphc.frontend.eager import called, compiled_form, tracing
from graphc.frontend.promotion import as_tensor
from graphc.frontend.recording import current
from graphc.frontend.signature import expect_function
from graphc.frontend.standins import StandIns
from graphc.frontend.structure import flatten
from graphc.frontend.tensor import Tensor
from graphc.ir import build
from graphc.ir.graph import reachable
from graphc.ir.node import Constant, Node
from graphc.ops.movement import Broadcast, Reshape
from graphc.ops.order import After, Custom, Rule
from graphc.runtime.tree import unflatten


def checkpoint(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function; its derivatives keep its arguments only, and compute what is between anew when they need it.

    For a deep network, checkpoint each block: memory for one block's interior, at the price of about one more forward
    pass. `h = gr.checkpoint(block)(h)`; also usable as a decorator. What the function takes from outside (parameters,
    closures) is kept. Chen et al., "Training deep nets with sublinear memory cost", 2016.
    """
    expect_function("gr.checkpoint", function)

    @wraps(function)
    def checkpointed(*args: Any, **options: Any) -> Any:
        if not tracing():
            return compiled_form(called, checkpointed)(*args, **options)
        return recomputed(function, args, options)

    return checkpointed


def recomputed(function: Callable[..., Any], args: Sequence[Any], options: Mapping[str, Any]) -> Any:
    """The function's value in the trace in progress, with the derivative that computes it again."""
    stand_ins = StandIns()
    leaves, tree = flatten((tuple(args), dict(options)))
    given = [stand_ins.of(leaf) if isinstance(leaf, (Tensor, np.ndarray)) else leaf for leaf in leaves]
    arguments, named = unflatten(tree, given)
    outputs, output_tree = flatten(function(*arguments, **named))
    nodes = [as_tensor(leaf).node for leaf in outputs]
    outside = taken_from_outside(nodes, list(stand_ins.new))
    inside = list(stand_ins.new.values())
    stand_ins.state()
    values = [stand_ins.node(node) for node in nodes]
    rule = Again(len(inside))
    results = [current().node(Custom(rule), y, *inside, *outside) if y.type.dtype.is_float else y for y in values]
    return unflatten(output_tree, [Tensor(node) for node in results])


def taken_from_outside(nodes: Sequence[Node], arguments: Sequence[Node]) -> list[Node]:
    """The floats that what depends on the arguments takes from elsewhere."""
    dependent = set(arguments)
    found: dict[Node, None] = {}
    for node in reachable(nodes, known=arguments):
        if any(x in dependent for x in node.inputs):
            dependent.add(node)
            found |= dict.fromkeys(x for x in node.inputs if x not in dependent and x.type.dtype.is_float)
    return list(found)


class Again:
    """Computes again what lies between the first `count` operands and y, once the cotangent is there."""

    def __init__(self, count: int):
        self.count = count

    def vjp(self, ct: Node, y: Node, *xs: Node) -> tuple[Node | None, ...]:
        """The cotangents of operands, through nodes of the backward pass's own."""
        new = {x: later(x, ct) for x in xs[: self.count]} | {x: x for x in xs[self.count :]}
        targets = {new[x]: x for x in xs if x.type.dtype.is_float}
        for node in reachable([y], known=xs):
            operands = tuple([new[i] for i in node.inputs])
            new[node] = node if operands == node.inputs else y.scope.typed(node.op, node.type, *operands)
        found = dict(zip(targets, autodiff.backward({new[y]: ct}, list(targets)), strict=True))
        return tuple(found.get(new[x]) for x in xs)

    def batched(self, which: tuple[bool, ...]) -> Rule:
        """The same: it goes by the nodes that it finds between."""
        return self


def later(x: Node, token: Node) -> Node:
    """x as it is after a cotangent is computed (or where that is constant, whenever, but as a node of its own)."""
    while isinstance(token.op, (Broadcast, Reshape)):
        token = token.inputs[0]
    return build.apply(After(), x, x if isinstance(token.op, Constant) else token)
