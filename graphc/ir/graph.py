"""A graph: one entry as a pure function from inputs and state to outputs and new state."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields, replace
from functools import cached_property
from operator import attrgetter

from graphc.ir.dim import Size, Symbol, symbols_of
from graphc.ir.node import Node, Op, Scope
from graphc.ir.types import TensorType, TupleType
from graphc.records import Record


class Graph(Record):
    """(inputs, state) -> (outputs, new state). State reads are the `Read` nodes among its nodes."""

    name: str
    scope: Scope
    inputs: tuple[Node, ...]  # `Input` nodes, in the order of the entry's arguments
    outputs: tuple[Node, ...]  # leaves of the entry's result, in order
    updates: tuple[tuple[str, Node], ...] = ()  # Variable name -> its new value, in order of first assignment

    @property
    def roots(self) -> tuple[Node, ...]:
        """Everything the graph must compute."""
        return self.outputs + tuple(node for _, node in self.updates)

    def interface(self) -> tuple[list[TensorType], list[TensorType]]:
        """The types of the inputs and of the outputs."""
        return [n.type for n in self.inputs], [n.type for n in self.outputs]

    def nodes(self) -> list[Node]:
        """Every node the roots need, operands before users, in order of creation; inputs always among them."""
        return list(self._nodes)

    @cached_property
    def _nodes(self) -> tuple[Node, ...]:
        return tuple(reachable((*self.inputs, *self.roots)))

    def work(self) -> Size:
        """About how many operations on numbers it takes."""
        return sum((node.work() for node in self.nodes()), start=0)

    def symbols(self) -> tuple[Symbol, ...]:
        """The symbolic dimensions of inputs, in order of first appearance."""
        found: dict[str, Symbol] = {}
        for node in self.inputs:
            for size in node.type.shape:
                for s in symbols_of(size):
                    found.setdefault(s.name, s)
        return tuple(found.values())

    def with_roots(self, outputs: Iterable[Node], updates: Iterable[tuple[str, Node]]) -> Graph:
        """The graph with other results."""
        return replace(self, outputs=tuple(outputs), updates=tuple(updates))

    def replaced(self, new: Mapping[Node, Node]) -> Graph:
        """The graph with other nodes for its results."""
        return self.with_roots((new[n] for n in self.outputs), ((v, new[n]) for v, n in self.updates))

    def bind(self, values: Mapping[str, int]) -> Graph:
        """The graph with symbolic sizes replaced by numbers, in a scope of its own."""
        scope = Scope()
        new: dict[Node, Node] = {}
        for node in self.nodes():
            with scope.at(self.scope.site_of(node)):
                new[node] = scope.typed(node.op.bind(values), node.type.bind(values), *[new[i] for i in node.inputs])
        return replace(self.replaced(new), scope=scope, inputs=tuple(new[n] for n in self.inputs))

    def rewrite(self, rule: Callable[[Node], Node]) -> Graph:
        """Rebuild the graph bottom-up: each node, over rewritten operands, replaced by what the rule says."""
        new: dict[Node, Node] = {}
        for node in self.nodes():
            operands = tuple(new[i] for i in node.inputs)
            with self.scope.at(self.scope.site_of(node)):
                same = operands == node.inputs
                new[node] = rule(node if same else self.scope.typed(node.op, node.type, *operands))
        return self.replaced(new)


def bodies(op: Op) -> dict[str, Graph]:
    """The graphs that an op of control flow runs, by attribute."""
    cls = type(op)
    if cls not in BODIES:
        BODIES[cls] = tuple(f.name for f in fields(cls) if f.type == Graph.__name__)
    return {name: getattr(op, name) for name in BODIES[cls]}


#: The attributes of ops' classes that are graphs, as they are met.
BODIES: dict[type[Op], tuple[str, ...]] = {}


def with_bodies(op: Op, change: Callable[[Graph], Graph]) -> Op:
    """An op with its bodies changed."""
    changed = {name: change(body) for name, body in bodies(op).items()}
    return replace(op, **changed) if changed else op


def every_node(graph: Graph) -> Iterator[Node]:
    """The nodes of a graph, and those of all bodies in it, however deep."""
    for node in graph.nodes():
        yield node
        if isinstance(node.type, TupleType):  # only control flow has bodies
            for body in bodies(node.op).values():
                yield from every_node(body)


def reachable(roots: Iterable[Node], known: Iterable[Node] = ()) -> list[Node]:
    """The nodes that roots depend on, operands first, in order of creation; not `known` ones nor what is below them."""
    seen = {node.serial for node in known}
    found: list[Node] = []
    stack = list(roots)
    while stack:
        node = stack.pop()
        if node.serial not in seen:
            seen.add(node.serial)
            found.append(node)
            stack.extend(node.inputs)
    return sorted(found, key=attrgetter("serial"))


def depending(nodes: Iterable[Node], on: Iterable[Node]) -> set[Node]:
    """The nodes that depend on some, these included; `nodes` has operands before users."""
    found = set(on)
    for node in nodes:
        if any(x in found for x in node.inputs):
            found.add(node)
    return found


def dependents(nodes: Iterable[Node], targets: Iterable[Node]) -> frozenset[Node]:
    """The targets, and the nodes whose value varies differentiably with one; `nodes` has operands before users."""
    active = set(targets)
    for node in nodes:
        if varies(node.type) and node.op.differentiable and any(x in active for x in node.inputs):
            active.add(node)
    return frozenset(active)


def varies(type_: TensorType) -> bool:
    """Whether there are floats in a value."""
    return any(t.dtype.is_float for t in type_.items) if isinstance(type_, TupleType) else type_.dtype.is_float


def users(nodes: Iterable[Node]) -> dict[Node, list[Node]]:
    """For each node the nodes that read it, in order."""
    readers: dict[Node, list[Node]] = {}
    for node in nodes:
        readers.setdefault(node, [])
        for operand in dict.fromkeys(node.inputs):
            readers.setdefault(operand, []).append(node)
    return readers
