"""Recompute what is cheaper to recompute than to keep: the sign test of a rectified value, from the result itself.

With y = select(x <= 0, 0, x) the test x <= 0 is y <= 0, for NaN too. The backward pass asks for the test, and keeps y
anyway for the weight gradient: so neither x nor the test has to be stored by the forward pass.
"""

from __future__ import annotations

from collections.abc import Collection

from graphc.ir import build
from graphc.ir.graph import Graph
from graphc.ir.node import Constant, Node
from graphc.ops.logic import Le, Select
from graphc.ops.movement import Broadcast


def recompute(graph: Graph, skip: Collection[str] = ()) -> Graph:
    """Later readers of a rectifier's test take it from the rectifier's result."""
    rectified = {n.inputs[0]: n for n in graph.nodes() if is_rectifier(n)}
    if not rectified:
        return graph
    new: dict[Node, Node] = {}
    for node in graph.nodes():
        with graph.scope.at(graph.scope.site_of(node)):
            operands = [new[i] for i in node.inputs]
            for position, operand in enumerate(node.inputs):
                result = rectified.get(operand)
                if result is not None and result is not node and result in new:
                    operands[position] = build.apply(Le(), new[result], new[operand.inputs[1]])
            changed = any(a is not b for a, b in zip(operands, node.inputs, strict=True))
            new[node] = graph.scope.typed(node.op, node.type, *operands) if changed else node
    return graph.with_roots((new[n] for n in graph.outputs), ((v, new[n]) for v, n in graph.updates))


def is_rectifier(node: Node) -> bool:
    """Whether the node is select(x <= 0, 0, x)."""
    if not isinstance(node.op, Select) or not isinstance(node.inputs[0].op, Le):
        return False
    test, zero, x = node.inputs
    return test.inputs == (x, zero) and is_zero(zero)


def is_zero(node: Node) -> bool:
    """Whether the node is 0 everywhere (of either sign)."""
    source = node.inputs[0] if isinstance(node.op, Broadcast) else node
    return isinstance(source.op, Constant) and bool((source.op.array(source.type) == 0).all())
