"""Contractions: transposes move into their dimension numbers, products with a vector become multiply and reduce.

A matmul's register tile is idle where one side has a single row or column, while the reduction kernels stream at the
speed of memory; so those products leave the contraction form. The order in which terms are added changes with that:
it depends on the sizes alone, as the contract of reductions asks.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from graphc.ir import build
from graphc.ir.graph import Graph, users
from graphc.ir.node import Node
from graphc.ops.contraction import DotGeneral
from graphc.ops.elementwise import Mul
from graphc.ops.movement import Transpose, inverse
from graphc.passes.movement import large_axes, squeeze
from graphc.passes.rewrite import structural

Axes = tuple[int, ...]


@structural(DotGeneral)
def read_through_transposes(node: Node, op: DotGeneral) -> Node | None:
    """A transposed operand is read in its own order, where that leaves the free axes in theirs."""
    lhs, rhs = node.inputs
    if isinstance(lhs.op, Transpose):
        order = lhs.op.permutation
        if is_sorted(permuted(op.lhs_free(lhs.type.rank), order)):
            contract, batch = permuted(op.lhs_contract, order), permuted(op.lhs_batch, order)
            return build.dot_general(lhs.inputs[0], rhs, contract, op.rhs_contract, batch, op.rhs_batch)
    if isinstance(rhs.op, Transpose):
        order = rhs.op.permutation
        if is_sorted(permuted(op.rhs_free(rhs.type.rank), order)):
            contract, batch = permuted(op.rhs_contract, order), permuted(op.rhs_batch, order)
            return build.dot_general(lhs, rhs.inputs[0], op.lhs_contract, contract, op.lhs_batch, batch)
    return None


@structural(DotGeneral)
def order_contraction(node: Node, op: DotGeneral) -> Node | None:
    """Contracted pairs stand in the order of lhs's axes, so that equal contractions are one node."""
    order = inverse(op.lhs_contract)
    if is_sorted(op.lhs_contract):
        return None
    left, right = permuted(order, op.lhs_contract), permuted(order, op.rhs_contract)
    return node.scope.node(replace(op, lhs_contract=left, rhs_contract=right), *node.inputs)


@structural(DotGeneral)
def squeeze_contraction(node: Node, op: DotGeneral) -> Node | None:
    """Operands have no axes of size 1, so that vectors and missing batches show as such."""
    lhs, rhs = node.inputs
    if 1 not in lhs.type.shape + rhs.type.shape:
        return None
    left, right = large_axes(lhs.type.shape), large_axes(rhs.type.shape)
    squeezed = DotGeneral(
        renumbered(op.lhs_contract, left), renumbered(op.rhs_contract, right),
        renumbered(op.lhs_batch, left), renumbered(op.rhs_batch, right),
    )  # fmt: skip
    return build.reshape(node.scope.node(squeezed, squeeze(lhs), squeeze(rhs)), node.type.shape)


@structural(DotGeneral)
def multiply_outer(node: Node, op: DotGeneral) -> Node | None:
    """Without a batch and with nothing to add: the outer product lhs[i…]·rhs[j…]."""
    if op.lhs_batch or op.lhs_contract:
        return None
    (lhs, rhs), places = node.inputs, tuple(range(node.type.rank))
    rows = build.broadcast(lhs, node.type.shape, places[: lhs.type.rank])
    return node.scope.node(Mul(), rows, build.broadcast(rhs, node.type.shape, places[lhs.type.rank :]))


@structural(DotGeneral)
def multiply_and_reduce(node: Node, op: DotGeneral) -> Node | None:
    """Without a batch and with one row or column on a side: that vector times the other side, summed."""
    lhs, rhs = node.inputs
    if op.lhs_batch:
        return None
    if len(op.rhs_contract) == rhs.type.rank:
        return reduce_product(lhs, op.lhs_contract, rhs, op.rhs_contract)
    if len(op.lhs_contract) == lhs.type.rank:
        return reduce_product(rhs, op.rhs_contract, lhs, op.lhs_contract)
    return None


def reduce_product(matrix: Node, axes: Axes, vector: Node, partners: Axes) -> Node:
    """Σ over `axes` of matrix·vector, whose own axes are the partners of those."""
    aligned = build.transpose(vector, [partners[i] for i in inverse(axes)])
    spread = build.broadcast(aligned, matrix.type.shape, tuple(sorted(axes)))
    return build.sum_(matrix.scope.node(Mul(), matrix, spread), tuple(sorted(axes)))


def permuted(axes: Axes, order: Axes) -> Axes:
    """Where axes of a transposed operand are in the operand itself."""
    return tuple(order[a] for a in axes)


def is_sorted(axes: Axes) -> bool:
    """Whether axes are in increasing order."""
    return list(axes) == sorted(axes)


def renumbered(axes: Axes, kept: Sequence[int]) -> Axes:
    """Axes that are kept, by their numbers among the kept ones."""
    return tuple(kept.index(a) for a in axes if a in kept)


CONTRACTION = (read_through_transposes, order_contraction, squeeze_contraction, multiply_outer, multiply_and_reduce)


def orient(graph: Graph, skip: Collection[str] = ()) -> Graph:
    """Contractions that are only read transposed give the transposed result: their operands change places.

    A contraction with other readers keeps its transpose: computing it twice would cost more. There is nothing to skip.
    """
    nodes = graph.nodes()
    readers, roots = users(nodes), set(graph.roots)
    sole = {n for n in nodes if isinstance(n.op, DotGeneral) and len(readers[n]) == 1 and n not in roots}
    new: dict[Node, Node] = {}
    for node in nodes:
        operands = tuple(new[i] for i in node.inputs)
        with graph.scope.at(graph.scope.site_of(node)):
            swapped = transposed(operands[0], node.op) if sole.intersection(node.inputs) else None
            unchanged = node if operands == node.inputs else graph.scope.typed(node.op, node.type, *operands)
            new[node] = swapped or unchanged
    return graph.with_roots((new[n] for n in graph.outputs), ((v, new[n]) for v, n in graph.updates))


def transposed(dot: Node, transpose: object) -> Node | None:
    """A contraction with its result's axes in another order, where operands and batch order can give it."""
    if not isinstance(transpose, Transpose) or not isinstance(dot.op, DotGeneral):
        return None
    op, (lhs, rhs), order = dot.op, dot.inputs, transpose.permutation
    batch, left = len(op.lhs_batch), len(op.lhs_free(lhs.type.rank))
    rows, columns = tuple(range(batch, batch + left)), tuple(range(batch + left, dot.type.rank))
    lhs_batch, rhs_batch = (tuple(b[a] for a in order[:batch] if a < batch) for b in (op.lhs_batch, op.rhs_batch))
    if len(lhs_batch) != batch:
        return None
    if order[batch:] == rows + columns:
        return build.dot_general(lhs, rhs, op.lhs_contract, op.rhs_contract, lhs_batch, rhs_batch)
    if order[batch:] == columns + rows:
        return build.dot_general(rhs, lhs, op.rhs_contract, op.lhs_contract, rhs_batch, lhs_batch)
    return None
