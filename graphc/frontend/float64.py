"""A graph of single or half precision in double precision, for given sizes: what gradient checks run on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from graphc.ir.graph import Graph, with_bodies
from graphc.ir.node import Constant, Leaf, Node, Op, Scope
from graphc.ir.types import TensorType, f64


def widened(graph: Graph, symbols: Mapping[str, int]) -> Graph:
    """The graph with f64 for every float (inputs, state, constants, casts and all between), symbols replaced."""
    scope = Scope()
    new: dict[Node, Node] = {}
    for node in graph.nodes():
        with scope.at(graph.scope.site_of(node)):
            if isinstance(node.op, Leaf):
                new[node] = scope.typed(widened_leaf(node), widened_type(node.type.bind(symbols)))
            else:
                op = with_bodies(node.op.bind(symbols), lambda body: widened(body, {}))
                new[node] = scope.node(widened_op(op), *[new[i] for i in node.inputs])
    updates = tuple((name, new[n]) for name, n in graph.updates)
    return Graph(graph.name, scope, tuple(new[n] for n in graph.inputs), tuple(new[n] for n in graph.outputs), updates)


def widened_leaf(leaf: Node) -> Op:
    """A leaf's op: constants hold wide numbers."""
    if isinstance(leaf.op, Constant) and leaf.type.dtype.is_float:
        return Constant(leaf.op.array(leaf.type).astype(f64.numpy).tobytes())
    return leaf.op


def widened_type(type_: TensorType) -> TensorType:
    """The type with f64 for any float."""
    return type_.with_dtype(f64) if type_.dtype.is_float else type_


def widened_op(op: Op) -> Op:
    """The op with f64 for any float among its attributes."""
    changed: dict[str, Any] = {f.name: f64 for f in fields(op) if getattr(getattr(op, f.name), "is_float", False)}
    return replace(op, **changed) if changed else op
