"""The graph's invariants, checked after every stage that makes one."""

from __future__ import annotations

from collections.abc import Sequence

from graphc.errors import GraphcError, InternalError
from graphc.ir.dim import symbols_of
from graphc.ir.graph import Graph
from graphc.ir.node import Constant, Input, Leaf, Node, Read
from graphc.ir.types import TensorType


def verify(graph: Graph) -> None:
    """Raise `InternalError`, naming the node, where a graph breaks an invariant.

    Every node's type is what its op infers; operands are older than their users and of the graph's scope; inputs are
    `Input` nodes of distinct names, and all there are; a Variable has one type, in reads and updates; each symbol is
    one that the inputs bind, with one set of facts.
    """
    nodes = everything(graph)
    inputs(graph, nodes)
    reads: dict[str, TensorType] = {}
    bound = {s.name: s for s in graph.symbols()}
    for node in nodes:
        expect(node.scope is graph.scope, node, "belongs to another scope")
        for operand in node.inputs:
            expect(operand.serial < node.serial, node, f"is older than its operand {operand}")
        for s in symbols_of(*node.type.shape):
            expect(bound.get(s.name) == s, node, f"uses the dimension {s.name}, which no input binds so")
        inferred(node)
        if isinstance(node.op, Read):
            known = reads.setdefault(node.op.variable, node.type)
            expect(known == node.type, node, f"reads a Variable that is {known} elsewhere")
    updates(graph, reads)


def expect(condition: bool, node: Node, fault: str) -> None:
    """Raise `InternalError` about a node unless a condition holds."""
    if not condition:
        raise InternalError(f"{node} {fault}", site=node.scope.site_of(node))


def everything(graph: Graph) -> list[Node]:
    """All nodes by identity: unlike `Graph.nodes`, which goes by serial numbers, it trusts nothing."""
    found: dict[Node, None] = {}
    stack = [*graph.inputs, *graph.roots]
    while stack:
        node = stack.pop()
        if node not in found:
            found[node] = None
            stack.extend(node.inputs)
    return sorted(found, key=lambda n: n.serial)


def inferred(node: Node) -> None:
    """Check a node's type."""
    if isinstance(node.op, Leaf):
        expect(not node.inputs, node, "is a leaf with operands")
        if isinstance(node.op, Constant):
            size = node.type.size
            expect(isinstance(size, int), node, "is a constant of symbolic shape")
            expect(len(node.op.data) == size * node.type.dtype.itemsize, node, "does not have the bytes of its type")
        return
    try:
        result = node.op.infer(*[x.type for x in node.inputs])
    except GraphcError as fault:
        raise InternalError(f"{node} does not type: {fault.message}", site=node.scope.site_of(node)) from fault
    expect(result == node.type, node, f"should be {result}")


def inputs(graph: Graph, nodes: Sequence[Node]) -> None:
    """Check that the graph's inputs are its `Input` nodes."""
    names: dict[str, Node] = {}
    for node in graph.inputs:
        expect(isinstance(node.op, Input), node, "is no Input, but among the inputs")
        if isinstance(node.op, Input):
            expect(node.op.name not in names, node, "has the name of another input")
            names[node.op.name] = node
    for node in nodes:
        if isinstance(node.op, Input):
            expect(names.get(node.op.name) is node, node, "is not among the graph's inputs")


def updates(graph: Graph, reads: dict[str, TensorType]) -> None:
    """Check that each Variable is updated once, with its own type."""
    seen: set[str] = set()
    for name, node in graph.updates:
        expect(name not in seen, node, f"updates {name} a second time")
        expect(reads.get(name, node.type) == node.type, node, f"updates {name}, which is {reads.get(name)}")
        seen.add(name)
