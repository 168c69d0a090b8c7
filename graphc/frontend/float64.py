"""A graph of single precision in double precision: what gradient checks run on."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from graphc.ir.graph import Graph
from graphc.ir.node import Constant, Leaf, Node, Op, Scope
from graphc.ir.types import TensorType, f32, f64


def widened(graph: Graph) -> Graph:
    """The graph with f64 wherever it has f32: inputs, state, constants, casts and all between."""
    scope = Scope()
    new: dict[Node, Node] = {}
    for node in graph.nodes():
        with scope.at(graph.scope.site_of(node)):
            if isinstance(node.op, Leaf):
                new[node] = widened_leaf(scope, node)
            else:
                new[node] = scope.node(widened_op(node.op), *[new[i] for i in node.inputs])
    return Graph(
        graph.name,
        scope,
        tuple(new[n] for n in graph.inputs),
        tuple(new[n] for n in graph.outputs),
        tuple((name, new[n]) for name, n in graph.updates),
    )


def widened_leaf(scope: Scope, leaf: Node) -> Node:
    """An input, a read or a constant of the wide type."""
    op: Op = leaf.op
    if isinstance(op, Constant) and leaf.type.dtype == f32:
        op = Constant(op.array(leaf.type).astype(f64.numpy).tobytes())
    return scope.typed(op, widened_type(leaf.type))


def widened_type(type_: TensorType) -> TensorType:
    """The type with f64 for f32."""
    return type_.with_dtype(f64) if type_.dtype == f32 else type_


def widened_op(op: Op) -> Op:
    """The op with f64 for f32 among its attributes."""
    changed: dict[str, Any] = {f.name: f64 for f in fields(op) if getattr(op, f.name) == f32}
    return replace(op, **changed) if changed else op
