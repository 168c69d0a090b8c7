"""`gr.checkpoint`: a function whose interior the backward pass computes again instead of keeping it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any

import numpy as np

from graphc import autodiff
from graphc.frontend.custom import with_rule
from graphc.frontend.eager import called, compiled_form, tracing
from graphc.frontend.promotion import as_tensor
from graphc.frontend.signature import expect_function
from graphc.frontend.standins import StandIns
from graphc.frontend.structure import flatten
from graphc.frontend.tensor import Tensor
from graphc.ir import build
from graphc.ir.graph import reachable
from graphc.ir.node import Constant, Node
from graphc.ops.movement import Broadcast, Reshape
from graphc.ops.order import After, Rule
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
    value = function(*arguments, **named)
    outside = taken_from_outside([as_tensor(leaf).node for leaf in flatten(value)[0]], list(stand_ins.new))
    inside = list(stand_ins.new.values())
    stand_ins.state()
    return with_rule(stand_ins.tree(value), Again(len(inside)), [*inside, *outside])


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
    """Computes again what lies between the first `count` operands and the ys, once a cotangent is there."""

    def __init__(self, count: int):
        self.count = count

    def vjp(self, cts: Sequence[Node | None], ys: Sequence[Node], xs: Sequence[Node]) -> Sequence[Node | None]:
        """The cotangents of operands, through nodes of the backward pass's own."""
        given = [(y, ct) for y, ct in zip(ys, cts, strict=True) if ct is not None]
        new = {x: later(x, given[0][1]) for x in xs[: self.count]} | {x: x for x in xs[self.count :]}
        targets = {new[x]: x for x in xs if x.type.dtype.is_float}
        for node in reachable(ys, known=xs):
            operands = tuple([new[i] for i in node.inputs])
            with node.scope.at(node.scope.site_of(node)):
                new[node] = node if operands == node.inputs else node.scope.typed(node.op, node.type, *operands)
        again = autodiff.summed([new[y] for y, _ in given], [ct for _, ct in given])
        found = dict(zip(targets, autodiff.backward(again, list(targets)), strict=True))
        return [found.get(new[x]) for x in xs]

    def batched(self, which: Sequence[bool]) -> Rule:
        """The same: it goes by the nodes that it finds between."""
        return self


def later(x: Node, token: Node) -> Node:
    """x as it is after a cotangent is computed (or where that is constant, whenever, but as a node of its own)."""
    while isinstance(token.op, (Broadcast, Reshape)):
        token = token.inputs[0]
    return build.apply(After(), x, x if isinstance(token.op, Constant) else token)
