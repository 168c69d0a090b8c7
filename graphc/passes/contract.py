"""Contractions: transposes move into their dimension numbers, products without a matrix become multiply and reduce.

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
from graphc.ir.types import f32, f64, i32, i64
from graphc.ops.contraction import DotGeneral
from graphc.ops.elementwise import Mul
from graphc.ops.movement import Transpose, inverse
from graphc.passes.movement import large_axes, squeeze
from graphc.passes.rewrite import structural

Axes = tuple[int, ...]
Name = tuple[str, int]

#: What the matrix kernels multiply.
MATRIX_DTYPES = (f32, f64, i32, i64)


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
def multiply_and_reduce(node: Node, op: DotGeneral) -> Node | None:
    """What is no matrix product is the products of all pairs, summed."""
    return None if is_matrix_product(node, op) else as_products(node, op)


def is_matrix_product(node: Node, op: DotGeneral) -> bool:
    """Whether there are rows, columns and something to add, of a dtype that matrix kernels take."""
    lhs, rhs = node.inputs
    free = op.lhs_free(lhs.type.rank) and op.rhs_free(rhs.type.rank)
    return bool(op.lhs_contract and free) and node.type.dtype in MATRIX_DTYPES


def as_products(node: Node, op: DotGeneral) -> Node:
    """The products of all pairs, in the order of the operand with free axes, summed."""
    lhs, rhs = node.inputs
    if op.lhs_free(lhs.type.rank):
        first, second, names, others = lhs, rhs, *axis_names(op, lhs.type.rank, rhs.type.rank)
    else:
        first, second = rhs, lhs
        others, names = axis_names(op, lhs.type.rank, rhs.type.rank)
    added = [n for n in others if n not in names]
    space = names + added
    shape = (*first.type.shape, *(second.type.shape[others.index(n)] for n in added))
    order = sorted(range(len(others)), key=lambda a: space.index(others[a]))
    spread = build.broadcast(build.transpose(second, order), shape, tuple(sorted(space.index(n) for n in others)))
    product = node.scope.node(Mul(), build.broadcast(first, shape, tuple(range(len(names)))), spread)
    total = build.sum_(product, tuple(i for i, (kind, _) in enumerate(space) if kind == "contract"))
    kept = [name for name in space if name[0] != "contract"]
    return build.transpose(total, [kept.index(name) for name in sorted(kept)])


def axis_names(op: DotGeneral, lhs_rank: int, rhs_rank: int) -> tuple[list[Name], list[Name]]:
    """What each operand's axes are; names sort as the result's axes stand, and partners share theirs."""

    def named(free_kind: str, contract: Axes, batch: Axes, free: Axes) -> list[Name]:
        names = {a: (kind, i) for kind, axes in (("contract", contract), ("batch", batch), (free_kind, free))
                 for i, a in enumerate(axes)}  # fmt: skip
        return [names[a] for a in range(len(names))]

    return (
        named("left", op.lhs_contract, op.lhs_batch, op.lhs_free(lhs_rank)),
        named("right", op.rhs_contract, op.rhs_batch, op.rhs_free(rhs_rank)),
    )


def permuted(axes: Axes, order: Axes) -> Axes:
    """Where axes of a transposed operand are in the operand itself."""
    return tuple(order[a] for a in axes)


def is_sorted(axes: Axes) -> bool:
    """Whether axes are in increasing order."""
    return list(axes) == sorted(axes)


def renumbered(axes: Axes, kept: Sequence[int]) -> Axes:
    """Axes that are kept, by their numbers among the kept ones."""
    return tuple(kept.index(a) for a in axes if a in kept)


CONTRACTION = (read_through_transposes, order_contraction, squeeze_contraction, multiply_and_reduce)


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
    if order[batch:] == rows + columns:
        return build.dot_general(lhs, rhs, op.lhs_contract, op.rhs_contract, lhs_batch, rhs_batch)
    if order[batch:] == columns + rows:
        return build.dot_general(rhs, lhs, op.rhs_contract, op.lhs_contract, rhs_batch, lhs_batch)
    return None
