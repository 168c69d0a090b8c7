"""The NumPy interpreter: what a graph means, before and after any pass."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from graphc.errors import InternalError
from graphc.ir.binding import bind_symbols
from graphc.ir.graph import Graph, reachable
from graphc.ir.narrow import meaning
from graphc.ir.node import Array, Constant, Node, Read
from graphc.ir.shadow_graph import shadow
from graphc.ir.types import TupleType

__all__ = ["Evaluation", "evaluate", "evaluate_nodes", "shadow"]


class Observer(Protocol):
    """Sees each node that is evaluated, those of bodies between the `before` and the `after` of what runs them."""

    def before(self, node: Node) -> None:
        """It is evaluated now."""

    def after(self, node: Node, operands: Sequence[Array], value: Array) -> None:
        """It has a value."""


observer: ContextVar[Observer | None] = ContextVar("observer", default=None)


@contextmanager
def observed(by: Observer) -> Iterator[None]:
    """Evaluations inside are shown to an observer; what it raises ends them."""
    token = observer.set(by)
    try:
        yield
    finally:
        observer.reset(token)


@dataclass(frozen=True)
class Evaluation:
    """What an entry gives: the leaves of its result, and the new values of the Variables it assigns."""

    outputs: tuple[Array, ...]
    updates: dict[str, Array]


def evaluate(graph: Graph, inputs: Sequence[Array], state: Mapping[str, Array]) -> Evaluation:
    """Run a graph on arguments, in order, and the values of Variables by name.

    Raises `ShapeError` and `DTypeError` where arguments do not fit the inputs' types.
    """
    arguments = [np.asarray(x) for x in inputs]
    symbols = bind_symbols(graph.inputs, arguments)
    leaves = dict(zip(graph.inputs, arguments, strict=True))
    for node in graph.nodes():
        if isinstance(node.op, Read):
            leaves[node] = np.asarray(state[node.op.variable])
    results = evaluate_nodes(graph.roots, leaves, symbols)
    count = len(graph.outputs)
    names = (name for name, _ in graph.updates)
    return Evaluation(tuple(results[:count]), dict(zip(names, results[count:], strict=True)))


def evaluate_body(body: Graph, inputs: Sequence[Array], state: Mapping[str, Array]) -> tuple[list[Array], list[Array]]:
    """A body's outputs and its updates' new values; nothing in it is symbolic."""
    leaves = dict(zip(body.inputs, inputs, strict=True))
    leaves |= {n: state[n.op.variable] for n in body.nodes() if isinstance(n.op, Read)}
    results = evaluate_nodes(body.roots, leaves)
    return results[: len(body.outputs)], results[len(body.outputs) :]


def evaluate_nodes(
    nodes: Iterable[Node], values: Mapping[Node, Array], symbols: Mapping[str, int] | None = None
) -> list[Array]:
    """The values of nodes, given those of the nodes they depend on that are not to be computed (inputs, reads)."""
    roots, known, watch = list(nodes), dict(values), observer.get()
    with np.errstate(all="ignore"):
        for node in reachable(roots, known=values):
            operands = [known[x] for x in node.inputs]
            if watch is not None:
                watch.before(node)
            known[node] = evaluate_node(node, operands, symbols or {})
            if watch is not None:
                watch.after(node, operands, known[node])
    return [known[root] for root in roots]


def evaluate_node(node: Node, operands: Sequence[Array], symbols: Mapping[str, int]) -> Array:
    """One node's value from its operands' values; checked against its type."""
    if isinstance(node.op, Constant):
        return node.op.array(node.type)
    op = node.op.bind(symbols) if symbols else node.op
    expected = node.type.bind(symbols)
    if isinstance(expected, TupleType):
        return op.eval(*operands)
    value = meaning(op, operands, node.type.dtype)
    if value.dtype != expected.dtype.numpy or value.shape != expected.shape:
        raise InternalError(f"{node} evaluates to {value.dtype}{list(value.shape)}, not {expected}")
    return value
