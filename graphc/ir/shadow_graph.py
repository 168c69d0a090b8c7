"""A float64 shadow of a graph with a running error bound: how far a compiled result may be from the exact one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import singledispatch
from typing import Any

import numpy as np

from graphc import ops
from graphc.ir.binding import bind_symbols
from graphc.ir.graph import Graph
from graphc.ir.node import Array, Constant, Node, Op, Read
from graphc.ir.shadow import Shade, exact, shade
from graphc.ops.base import numbers
from graphc.ops.control import reads


def shadow(graph: Graph, inputs: Sequence[Array], state: Mapping[str, Array]) -> list[tuple[Array, Array]]:
    """(value, bound) of each root of a graph: outputs, then updates. Arguments and state count as exact."""
    arguments = [np.asarray(x) for x in inputs]
    symbols = bind_symbols(graph.inputs, arguments)
    leaves = {node: exact(x) for node, x in zip(graph.inputs, arguments, strict=True)}
    for node in graph.nodes():
        if isinstance(node.op, Read):
            leaves[node] = exact(np.asarray(state[node.op.variable]))
    with np.errstate(all="ignore"):
        return [(root.value, root.bound) for root in roots(graph, leaves, symbols)]


def roots(graph: Graph, leaves: Mapping[Node, Shade], symbols: Mapping[str, int]) -> list[Shade]:
    """The shades of a graph's roots from those of its inputs and reads."""
    shades: dict[Node, Any] = dict(leaves)
    for node in graph.nodes():
        if node in shades:
            continue
        xs = [shades[x] for x in node.inputs]
        match node.op:
            case Constant():
                shades[node] = exact(node.op.array(node.type))
            case ops.Item(index):
                shades[node] = xs[0][index]
            case ops.Control():
                shades[node] = flow(node.op.bind(symbols), xs)
            case _:
                shades[node] = shade(node, node.op.bind(symbols), xs)
    return [shades[root] for root in graph.roots]


def run(body: Graph, inputs: Sequence[Shade], carries: Sequence[Shade]) -> tuple[list[Shade], list[Shade]]:
    """A body's outputs, and the new carries."""
    leaves = dict(zip(body.inputs, inputs, strict=True)) | {node: carries[i] for node, i in reads(body)}
    results = roots(body, leaves, {})
    return results[: len(body.outputs)], results[len(body.outputs) :]


@singledispatch
def flow(op: Op, xs: Sequence[Shade]) -> list[Shade]:
    """The results of a bound control op."""
    raise NotImplementedError(op.mnemonic())


@flow.register
def _(op: ops.Scan, xs: Sequence[Shade]) -> list[Shade]:
    consts, carries, slices = op.split(xs)
    (length,) = numbers((op.length,))
    rounds: dict[int, list[Shade]] = {}
    for t in reversed(range(length)) if op.reverse else range(length):
        index = [exact(np.asarray(t, np.int64))] * op.indexed
        rounds[t], carries = run(op.body, [*consts, *(part(x, t) for x in slices), *index], carries)
    return [*carries, *(stacked([rounds[t][i] for t in range(length)], o) for i, o in enumerate(op.body.outputs))]


@flow.register
def _(op: ops.WhileLoop, xs: Sequence[Shade]) -> list[Shade]:
    consts, carries = list(xs[: op.consts]), list(xs[op.consts :])
    while True:
        ((test,), _) = run(op.condition, consts, carries)
        if test.uncertain:
            return [unknown(x) for x in carries]
        if not test.value:
            return carries
        _, carries = run(op.body, consts, carries)


@flow.register
def _(op: ops.Cond, xs: Sequence[Shade]) -> list[Shade]:
    test, *rest = xs
    results, _ = run(op.then if test.value else op.otherwise, rest, [])
    return [unknown(x) for x in results] if test.uncertain else results


def part(x: Shade, t: int) -> Shade:
    """A slice along the first axis."""
    return Shade(x.value[t], x.bound[t])


def stacked(xs: Sequence[Shade], like: Node) -> Shade:
    """Shades along a new first axis; `like` has the type of each."""
    if not xs:
        return exact(np.zeros((0, *numbers(like.type.shape)), like.type.dtype.numpy))
    return Shade(np.stack([x.value for x in xs]), np.stack([x.bound for x in xs]))


def unknown(x: Shade) -> Shade:
    """A value that may be anything."""
    return Shade(x.value, np.full(x.value.shape, np.inf))
