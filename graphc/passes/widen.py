"""16-bit floats are only stored: every op on them becomes one on f32, between conversions."""

from __future__ import annotations

from collections.abc import Collection

from graphc.ir import build
from graphc.ir.graph import Graph
from graphc.ir.node import Leaf, Node


def widen(graph: Graph, skip: Collection[str] = ()) -> Graph:
    """The graph in which ops that compute read and give f32, and casts round: `op(x)` is `cast(op(cast(x)))`."""
    if not any(node.type.dtype.is_narrow for node in graph.nodes()):
        return graph
    new: dict[Node, Node] = {}
    for node in graph.nodes():
        with graph.scope.at(graph.scope.site_of(node)):
            new[node] = node if isinstance(node.op, Leaf) else widened(node, [new[i] for i in node.inputs])
    updates = tuple((name, new[node]) for name, node in graph.updates)
    return Graph(graph.name, graph.scope, graph.inputs, tuple(new[n] for n in graph.outputs), updates)


def widened(node: Node, operands: list[Node]) -> Node:
    """A node on new operands; in f32 and rounded, unless its op takes 16-bit floats as they are."""
    if node.op.narrow:
        return node.scope.node(node.op, *operands)
    wide = [build.cast(x, x.type.dtype.computed) for x in operands]
    result = node.scope.node(node.op.widened(), *wide)
    return build.cast(result, node.type.dtype) if node.type.dtype.is_narrow else result
