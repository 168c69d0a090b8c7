"""The graph's invariants, checked after every stage that makes one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields

from graphc.errors import GraphcError, InternalError
from graphc.ir.dim import Size, Symbol, symbols_of
from graphc.ir.graph import Graph, bodies
from graphc.ir.node import Constant, Input, Leaf, Node, Op, Read
from graphc.ir.types import TensorType


def verify(graph: Graph, outside: Sequence[Symbol] = ()) -> None:
    """Raise `InternalError`, naming the node, where a graph breaks an invariant.

    Every node's type is what its op infers; operands are older than their users and of the graph's scope; inputs are
    `Input` nodes of distinct names, and all there are; a Variable has one type, in reads and updates; each symbol is
    one that the inputs bind, with one set of facts. Bodies of control flow keep all that too; they may use the symbols
    of the graph they are in, `outside`.
    """
    nodes = everything(graph)
    inputs = check_inputs(graph)
    variables: dict[str, TensorType] = {}
    symbols = {s.name: s for s in (*graph.symbols(), *outside)}
    for node in nodes:
        check_place(node, graph)
        check_type(node)
        for body in bodies(node.op).values():
            verify(body, tuple(symbols.values()))
        for s in symbols_of(*node.type.shape, *attribute_sizes(node.op)):
            if symbols.get(s.name) != s:
                raise fault(node, f"uses the dimension {s.name}, which no input binds so")
        if isinstance(node.op, Input) and inputs.get(node.op.name) is not node:
            raise fault(node, "is not among the graph's inputs")
        if isinstance(node.op, Read) and variables.setdefault(node.op.variable, node.type) != node.type:
            raise fault(node, f"reads a Variable that is {variables[node.op.variable]} elsewhere")
    check_updates(graph, variables)


def fault(node: Node, what: str) -> InternalError:
    """The error about a node."""
    return InternalError(f"{node} {what}", site=node.scope.site_of(node))


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


def attribute_sizes(op: Op) -> Iterator[Size]:
    """The sizes among an op's attributes."""
    for field in fields(op):
        value = getattr(op, field.name)
        yield from value if isinstance(value, tuple) else (value,)


def check_inputs(graph: Graph) -> dict[str, Node]:
    """The graph's inputs by name."""
    names: dict[str, Node] = {}
    for node in graph.inputs:
        if not isinstance(node.op, Input):
            raise fault(node, "is no Input, but among the inputs")
        if names.setdefault(node.op.name, node) is not node:
            raise fault(node, "has the name of another input")
    if len(names) != len(graph.inputs):
        raise fault(graph.inputs[0], "is an input twice")
    return names


def check_place(node: Node, graph: Graph) -> None:
    """A node is of the graph's scope, and younger than its operands."""
    if node.scope is not graph.scope:
        raise fault(node, "belongs to another scope")
    for operand in node.inputs:
        if operand.serial >= node.serial:
            raise fault(node, f"is older than its operand {operand}")


def check_type(node: Node) -> None:
    """A node's type is what its op gives; a leaf's is its own, if it has the bytes for it."""
    if isinstance(node.op, Leaf):
        if node.inputs:
            raise fault(node, "is a leaf with operands")
        if isinstance(node.op, Constant) and node.type.size != len(node.op.data) / node.type.dtype.itemsize:
            raise fault(node, "does not have the bytes of its type")
        return
    try:
        result = node.op.infer(*[x.type for x in node.inputs])
    except GraphcError as error:
        raise fault(node, f"does not type: {error.message}") from error
    if result != node.type:
        raise fault(node, f"should be {result}")


def check_updates(graph: Graph, variables: dict[str, TensorType]) -> None:
    """Each Variable is updated once, with its own type."""
    seen: set[str] = set()
    for name, node in graph.updates:
        if name in seen:
            raise fault(node, f"updates {name} a second time")
        if variables.get(name, node.type) != node.type:
            raise fault(node, f"updates {name}, which is {variables[name]}")
        seen.add(name)
